"""Limits of a suite: they are told before anything large is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.core import yaml
from harness.core.errors import Problem, SpecErrors, UnknownName
from harness.spec.parse import load_suite
from harness.spec.reading import MAX_FILES
from harness.spec.sizes import MAX_CELLS
from tests.suite_world import World

HEAD = "suite: s\ndefaults: {dataset: pictures}\n"


def refused(file: Path) -> list[Problem]:
    with pytest.raises(SpecErrors) as caught:
        load_suite(str(file))
    return list(caught.value.problems)


def test_a_suite_of_a_million_cells_is_counted_and_not_made(
    shared_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.spec.expand._Expansion", None)  # nothing is expanded
    numbers = ", ".join(f"{{name: net, width: {width}}}" for width in range(1, 101))
    rates = ", ".join(f"{{lr: {number}e-5}}" for number in range(1, 101))
    block = f"{{task: denoise, matrix: {{backbone: [{numbers}], recipe: [{rates}]}}, seeds: {list(range(100))}}}"
    [found] = shared_world.problems(f"{HEAD}blocks: [{{task: denoise, backbone: net}}, {block}]\n")
    assert found.path == "blocks.1"
    assert found.what == (
        f"the suite has 1,000,001 cells, and at most {MAX_CELLS:,} are possible "
        "(this block alone 1,000,000: backbone 100 × recipe 100 × seeds 100)"
    )


def test_a_large_file_is_refused_before_it_is_parsed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "YAML", None)  # nothing is parsed
    [found] = refused(world.write("# " + "x" * 10_000_000))
    assert found.what == f"the file has 10,000,002 bytes, and a suite at most {yaml.MAX_BYTES:,}"
    assert "aliases" not in str(found)


def test_a_large_text_is_refused_wherever_it_comes_from() -> None:
    tree, [found] = yaml.load("é" * yaml.MAX_BYTES, yaml.Place("f"))
    assert tree is None
    assert found.what.startswith(f"the file has {2 * yaml.MAX_BYTES:,} bytes")


def test_too_many_values_are_counted_as_they_are_read() -> None:
    tree, [found] = yaml.load("a: [" + "1," * yaml.MAX_NODES + "]", yaml.Place("f"))
    assert (tree, found.what) == (None, f"more than {yaml.MAX_NODES:,} values")


def test_includes_count_as_often_as_they_are_included(world: World) -> None:
    for number in range(20):  # each includes the next one twice: 2 ** 20 files
        world.write(f"include: [f{number + 1}.yaml, f{number + 1}.yaml]\n", f"f{number}.yaml")
    world.write("run: {cpus: 1}\n", "f20.yaml")
    found = refused(world.folder / "f0.yaml")
    assert {each.what for each in found if each.path == "include"} == {f"a suite includes more than {MAX_FILES} files"}


def test_what_is_no_plain_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "cells").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    for name, what in (
        ("pipe", "this is a pipe, not a file"),
        ("empty", "this is an empty folder, not a suite file, and no suite has been run into it"),
        ("run", "this is a folder of results without suites/, which says what was run into it"),
        ("loop", "this link leads to no file"),
    ):
        with pytest.raises(UnknownName) as caught:
            load_suite(str(tmp_path / name))
        assert caught.value.what == what


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("suite: s\n".encode("utf-16"), "this is UTF-16, not UTF-8 text"),
        (b"suite: s\n# \xff\n", "not UTF-8 text (byte 11, in line 2)"),
        (b"suite: s\0\n", "this is no text: it holds zero bytes"),
    ],
)
def test_what_is_no_text_is_told(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "s.yaml").write_bytes(content)
    assert [each.what for each in refused(tmp_path / "s.yaml")] == [what]


def test_seeds_are_labelled_together(shared_world: World) -> None:
    """As many settings as there are: the labels of ten seeds cost no more than those of one."""
    nets = "[{name: net, width: 8}, {name: net, width: 16}]"
    block = f"{{task: denoise, matrix: {{backbone: {nets}}}, seeds: {list(range(10))}}}"
    cells = shared_world.expand(f"{HEAD}blocks: [{block}]\n").cells
    assert {(each.labels.backbone, each.labels.variant) for each in cells[1:]} == {
        ("net(width=8)", "base"),
        ("net", "base"),
    }
    assert len(cells) == 21
