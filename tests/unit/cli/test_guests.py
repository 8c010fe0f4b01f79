"""Commands with plug-ins that fail: each says whose fault it is, and one bad part leaves the others alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli import exits
from harness.cli.main import app

PLUGIN = '''
from harness.api.dataset import DatasetTraits


class Good:
    """Pictures."""

    traits = DatasetTraits()

    def splits(self): return ("train", "test")
    def fingerprint(self): return "0a"


class Bad:
    """No pictures."""

    traits = DatasetTraits()

    def splits(self): return ("train", "test")
    def fingerprint(self):
        print("noise")
        {act}


CATALOGUE = (("dataset", "good", "Good"), ("dataset", "bad", "Bad"))
'''
SUITE = """
suite: guests
plugins: [parts.py]
defaults: {task: low_light, backbone: nafnet}
blocks:
  - dataset: bad
  - dataset: good
"""


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "400"})


def suite(folder: Path, act: str) -> Path:
    (folder / "parts.py").write_text(PLUGIN.format(act=act))
    (folder / "guests.yaml").write_text(SUITE)
    return folder / "guests.yaml"


ACTS = [
    ("raise RuntimeError('on fire')", "dataset bad: RuntimeError: on fire"),
    ("return {}['a']", "dataset bad: KeyError: 'a'"),
    ("raise SystemExit(3)", "dataset bad: it ends the process (sys.exit, code 3)"),
]


@pytest.mark.parametrize(("act", "said"), ACTS)
def test_check_names_the_place_in_the_plug_in(tmp_path: Path, act: str, said: str) -> None:
    result = bench("check", suite(tmp_path, act))
    assert result.exit_code == exits.WRONG
    assert f"{tmp_path / 'parts.py'}:22: {said}" in result.output
    assert "report it" not in result.output


@pytest.mark.parametrize(("act", "said"), ACTS)
def test_a_broken_data_set_blocks_its_cells_alone(tmp_path: Path, act: str, said: str) -> None:
    result = bench("plan", suite(tmp_path, act), "--out", tmp_path / "out")
    assert result.exit_code == exits.BLOCKED
    lines = [line for line in result.stdout.splitlines() if line.split()[1:2] == ["shards"]]
    blocked = [line for line in lines if line.split()[0] == "blocked"]
    assert {line.split()[2] for line in blocked} == {"bad/train", "bad/test"}
    assert all(f"{tmp_path / 'parts.py'}:22: {said}" in line for line in blocked)
    assert {line.split()[2] for line in lines if line not in blocked} == {"good/train", "good/test"}
    assert "noise" not in result.stdout.splitlines()


def test_a_fingerprint_that_never_stays_is_the_plug_ins_fault(tmp_path: Path) -> None:
    act = "import random; return str(random.random())"
    result = bench("check", suite(tmp_path, act))
    assert result.exit_code == exits.WRONG
    assert "dataset bad: fingerprint() gives another digest at every call" in result.output


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = suite(tmp_path, "return '0b'")
    text = (tmp_path / "parts.py").read_text().replace('"bad", "Bad"', '"../../bad", "Bad"')
    (tmp_path / "parts.py").write_text(text)
    result = bench("plan", path, "--out", tmp_path / "out")
    assert result.exit_code == exits.WRONG
    assert "a name holds no '/': folders are called by it" in result.output
    assert not (tmp_path / "out").exists()
