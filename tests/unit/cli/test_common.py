"""Where results and data lie; exit codes of work."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import exits
from harness.cli.common import layout_for
from harness.core.paths import storage_error
from tests.unit.cli.results import bench


def test_results_lie_below_the_working_directory_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    layout = layout_for("smoke", None)
    assert (layout.out, layout.data) == (tmp_path / "results" / "smoke", tmp_path / "results" / "smoke" / "data")


def test_a_folder_and_shared_data_are_taken_as_given_and_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIORBENCH_DATA", "shared")
    layout = layout_for("smoke", Path("mine"))
    assert (layout.out, layout.data) == (tmp_path / "mine", tmp_path / "shared")


def test_what_cannot_be_a_folder_names_the_setting(tmp_path, monkeypatch):
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    (tmp_path / "file").write_text("")
    for out, what in (
        (tmp_path / "file", f"{tmp_path / 'file'} is a file, not a folder"),
        (tmp_path / "file" / "below", f"{tmp_path / 'file'} is a file, not a folder"),
        (tmp_path / "a\x1bb", f"a folder cannot be called {str(tmp_path / 'a')[:-1]!r}"[:30]),
        (tmp_path / ("n" * 256), "a folder's name has at most 255 bytes"),
    ):
        with pytest.raises(exits.WrongArgument) as caught:
            layout_for("smoke", out)
        assert caught.value.where == "--out"
        assert caught.value.what.startswith(what)
    for data, what in ((" ", "it is empty, and should name a folder"), (str(tmp_path / "file"), "is a file, not a f")):
        monkeypatch.setenv("PRIORBENCH_DATA", data)
        with pytest.raises(exits.WrongArgument) as caught:
            layout_for("smoke", None)
        assert (caught.value.where, what in caught.value.what) == ("PRIORBENCH_DATA", True)


def test_a_folder_of_no_name_is_refused():
    result = bench("plan", "smoke", "--out", "")
    assert (result.exit_code, "'--out': it is empty, and should name a folder" in result.output) == (2, True)


def test_a_folder_that_cannot_be_written_names_its_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "data"))
    for path, setting in ((tmp_path / "data" / "x", "PRIORBENCH_DATA"), (tmp_path / "out", "--out")):
        assert (
            storage_error(PermissionError(errno.EACCES, "no"), path).hint == f"choose a writable folder with {setting}"
        )


@pytest.mark.parametrize(
    ("failed", "blocked", "code"), [(False, False, 0), (True, False, 1), (True, True, 1), (False, True, 3)]
)
def test_a_failure_outweighs_what_is_blocked(failed, blocked, code):
    assert exits.code_of_run(failed=failed, blocked=blocked) == code


def test_a_wrong_address_is_a_wrong_argument_and_leaves_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli.main", "run", "smoke", "--address", "nowhere", "--out", "o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "host:port" in done.stderr
    assert not (tmp_path / "o").exists()
