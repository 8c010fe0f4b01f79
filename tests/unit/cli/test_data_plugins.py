"""Data sets of the field that plug-ins declare, at the command line."""

from __future__ import annotations

import re
from contextlib import chdir
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli import exits
from harness.cli.main import app

GUIDE = Path(__file__).parents[3] / "docs" / "dataset.md"


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (declared,) = (block for block in code if "(Declared)" in block)
    (tmp_path / "night.py").write_text(declared)
    stranger = declared.replace("(Declared)", "").replace("super().__init__(root)", "self.root = root")
    (tmp_path / "stranger.py").write_text(stranger)


def bench(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def test_the_data_set_of_the_guide_is_prepared_from_its_example(tmp_path: Path) -> None:
    with chdir(tmp_path):
        made = bench("data", "example", "night", "--plugin", "night.py", "--to", "ex")
        assert made.exit_code == exits.DONE, made.output
        assert "bench data prepare night --plugin night.py --from ex" in made.output
        done = bench("data", "prepare", "night", "--plugin", "night.py", "--from", "ex", "--executor", "local")
    assert done.exit_code == exits.DONE, done.output
    assert "night (example): official layout, 1 train, 1 test images" in done.output
    assert (tmp_path / "library" / "datasets" / "night.json").is_file()


def test_a_source_without_its_reader_is_the_plug_in_s_fault(tmp_path: Path) -> None:
    with chdir(tmp_path):
        (tmp_path / "ex").mkdir()
        done = bench("data", "prepare", "night", "--plugin", "stranger.py", "--from", "ex")
    assert done.exit_code != exits.DONE
    assert "is no data set that reads them by it" in done.output
    assert not (tmp_path / "library" / "datasets").exists()
