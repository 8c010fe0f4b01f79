"""A folder of results, and a machine that has no downloaded weights."""

from __future__ import annotations

import pytest

from harness.core.paths import Layout


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "data")


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """Weights are looked for where there are none; gives the folders by variable."""
    folders = {"PRIORBENCH_WEIGHTS": tmp_path / "weights", "TORCH_HOME": tmp_path / "torch"}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(folder))
    return folders
