"""Names of every kind in the formats of a leaderboard, and tables that are wider than the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.identity import digest
from harness.core.paths import Layout
from harness.parts.plugins import open_suite
from harness.reports.aggregate import TableEntry
from harness.reports.formats import comma_separated, markdown, table
from harness.reports.formats.markdown import escaped
from harness.reports.leaderboard import board_of
from harness.reports.text import entry
from tests.unit.records.made import cell, finish, listed, photos, suite, values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x>&amp;", "&lt;img src=x&gt;&amp;amp;"),
        ("*a* _b_ __c__ `d` ~e~ $f$", r"\*a\* \_b\_ \_\_c\_\_ \`d\` \~e\~ \$f\$"),
        ("ptg_rm+nss", "ptg_rm+nss"),
        ("[a](http://b.c) www.d.e", r"\[a\](http:/&#47;b.c) www&#46;d.e"),
        ("a|b\\c", r"a\|b\\c"),
        ("a\n| b\r\nc", r"a \| b c"),
        ("@me #12 - x", "&#64;me &#35;12 - x"),
        ("- x", r"\- x"),
        ("-0.06 ± 0.35", "-0.06 ± 0.35"),
        ("a\x1b[31m", r"a\\x1b\[31m"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def hostile(layout: Layout) -> str:
    return "a\x1b[31m\u202e\nb|<b>"


def test_no_format_but_csv_lets_control_characters_through(layout: Layout) -> None:
    finish(layout, cell(), values([20.0]))
    board = board_of([suite(listed(cell(), hostile(layout)), metrics=["psnr"])], layout)
    for text in (table.write(board, 80), table.write(board, 40), markdown.write(board)):
        assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert r"a\\x1b\[31m\\u202e b\|&lt;b&gt;" in markdown.write(board)


def test_a_data_set_is_called_by_its_label(layout: Layout) -> None:
    finish(layout, cell(), values([20.0]))
    labels = {digest(photos().identity(), 8): "Set 5"}
    stored = suite(listed(cell()), metrics=["psnr"]).model_copy(update={"dataset_labels": labels})
    board = board_of([stored], layout)
    assert "Set 5 PSNR (dB) ↑" in table.write(board, 200)
    assert "Set 5.psnr@rgb_uint8/v1.mean" in comma_separated.write(board).splitlines()[0]


def test_a_suite_keeps_the_labels_of_its_data_sets(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = "suite: s\ndefaults: {dataset: {name: photos, label: Ours}}\nblocks: [{task: low_light, backbone: nafnet}]\n"
    file.write_text(text)
    labelled, _ = open_suite(str(file))
    test = labelled.cells[0].tests[0]
    assert labelled.dataset_labels == {digest(test.dataset.identity(), 8): "Ours"}
    file.write_text(text.replace(", label: Ours", ""))
    plain, _ = open_suite(str(file))
    assert [each.cell.id for each in plain.cells] == [each.cell.id for each in labelled.cells], "no part of identity"
    assert "dataset_labels" not in plain.model_dump(mode="json")


@pytest.mark.parametrize("width", [40, 48, 60, 80, 200])
def test_numbers_are_whole_at_every_width(layout: Layout, width: int) -> None:
    finish(layout, cell(0), values([20.0, 22.0], [0.5, 0.6]))
    finish(layout, cell(1), values([21.0, 23.0], [0.5, 0.7]))
    board = board_of([suite(listed(cell(0)), listed(cell(1)), metrics=["psnr", "ssim"])], layout)
    numbers = [word for word in table.write(board, 400).split() if re.fullmatch(r"[\d.]+", word)]
    assert len(numbers) >= 4
    text = table.write(board, width)
    assert max(map(len, text.splitlines())) <= width
    assert sorted(word for word in text.split() if re.fullmatch(r"[\d.]+", word)) == sorted(numbers)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("failed (nan): the loss is NaN at step 7", "— failed (nan)"),
        ("shards low_light on a set with a very long name train p64 failed (data): no file", "— shards failed (data)"),
        ("blocked: metric lpips needs weights", "— blocked"),
        ("not run yet", "— not run yet"),
        ("a reason that nobody shortened before it came here", "— a reason that nobody shortene…"),
        ("", "— no images"),
    ],
)
def test_a_gap_takes_few_characters(reason: str, shown: str) -> None:
    gap = TableEntry(None, 0, 0, 0, None, 0, 0, 1, reason)
    assert entry(gap, 2) == shown
