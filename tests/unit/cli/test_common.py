"""Where results and data lie; exit codes of work."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import exits
from harness.cli.common import layout_for


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


@pytest.mark.parametrize(
    ("failed", "blocked", "code"), [(False, False, 0), (True, False, 1), (True, True, 1), (False, True, 3)]
)
def test_a_failure_outweighs_what_is_blocked(failed, blocked, code):
    assert exits.code_of_run(failed=failed, blocked=blocked) == code
