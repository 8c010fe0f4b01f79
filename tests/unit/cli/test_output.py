"""What reaches a terminal: characters that show, numbers that stay whole, in any encoding and width."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import tables
from harness.cli.output import PrintableStream, guard_streams
from harness.core.encoding import ERRORS, encodable
from harness.core.text import least_width, on_one_line, printable

HOSTILE = "a\x1b[31mb\x07\x9bc\u202ed\u2066\u200be\ud800\x00\x7f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE, "a\\x1b[31mb\\x07\\x9bc\\u202ed\\u2066\\u200be\\ud800\\x00\\x7f"),
        ("24.31 ± 0.05 · a → b\n\tc", "24.31 ± 0.05 · a → b\n\tc"),
        ("a\rb", "a\\rb"),
        ("é漢字", "é漢字"),
    ],
)
def test_only_what_shows_as_itself_is_printed(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_stays_a_line() -> None:
    assert on_one_line("a\nb\u2028c\td\x85e") == "a b c d e"


def test_a_stream_passes_no_control_character_on() -> None:
    behind = io.StringIO()
    stream = PrintableStream(behind)
    stream.writelines([HOSTILE, "\n"])
    stream.write("\r 3 MB")
    assert behind.getvalue() == f"{printable(HOSTILE)}\n\r 3 MB"
    assert stream.rich_proxied_file is behind


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", b"1 +/- 2 x 3 | a -> b ... -- \\u6f22"),
        ("latin-1", b"1 \xb1 2 \xd7 3 \xb7 a -> b ... -- \\u6f22"),
        ("utf-8", "1 ± 2 × 3 · a → b … — 漢".encode()),
    ],
)
def test_any_encoding_has_a_form_of_every_character(
    encoding: str, shown: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(behind, encoding=encoding))
    monkeypatch.setattr(logging, "raiseExceptions", True)
    guard_streams()
    print("1 ± 2 × 3 · a → b … — 漢", flush=True)
    assert behind.getvalue() == shown + b"\n"
    assert logging.raiseExceptions is False
    assert sys.stdout.errors == ERRORS


def bench(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "harness.cli.main", *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)


def test_ascii_has_no_traceback_and_no_other_byte(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text('suite: s\n"a\\e[31m\\u202e\\u6f22": 1\nblocks: 3\n')
    done = bench("check", str(tmp_path / "s.yaml"), PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert max(done.stdout + done.stderr) < 128
    assert b"\x1b" not in done.stderr
    assert b"a\\x1b[31m\\u202e\\u6f22 | unknown key" in done.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    command = [sys.executable, "-m", "harness.cli.main", "list", "losses"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# --- tables -------------------------------------------------------------------------------------------------------

TITLES = ("state", "task", "backbone", "variant", "seed", "cell", "reason")
ROW = (
    "stale",
    "low_light (synthetic)",
    "NAFNet-w8 with a long label",
    "ptg_rm+nss",
    "12345",
    "0123456789ab",
    "the recipe: 1,234.5678 instead of 0.0001",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_width_splits_a_number(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", screen)
    tables.print_table(TITLES, [ROW, ("done", *ROW[1:])])
    tables.show("", TITLES, [ROW])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    words = [word for line in lines for word in line.replace("│", " ").split()]
    for whole in ("12345", "0123456789ab", "1,234.5678", "0.0001"):
        assert words.count(whole) == 3


def test_a_hostile_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(("state", "what"), [("done", f"x\ny {HOSTILE}")])
    assert capsys.readouterr().out.splitlines()[1] == f"done   x y {printable(HOSTILE)}"


@pytest.mark.parametrize(
    ("text", "width"),
    [("24.31 ± 0.05 (+0.521,", 8), ("a_name_without_any_digits", 12), ("0123456789ab", 12), ("", 0), ("x" * 80, 12)],
)
def test_numbers_keep_their_width_and_long_names_do_not(text: str, width: int) -> None:
    assert least_width(text) == width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_columns_lie_below_each_other_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for a character may be longer than it is."""
    behind = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(behind, encoding=encoding))
    guard_streams()
    tables.print_table(("state ↑", "what", "end"), [("done", "24.31 ± 0.05 → é", "Q"), ("a…", "漢", "Z")])
    tables.show("", ("name ↑", "end"), [("24.31 ± 0.05 → é", "Q"), ("a…", "Z")])
    sys.stdout.flush()
    first, second = behind.getvalue().decode(encoding).splitlines()[1:3]
    assert first.index("Q") == second.index("Z")
    assert len({len(line) for line in behind.getvalue().decode(encoding).splitlines()[3:]}) == 1


def test_a_text_that_the_terminal_has_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert encodable("é ± →") == "é ± ->"
