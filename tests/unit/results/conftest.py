"""A folder of results."""

from __future__ import annotations

import pytest

from harness.core.paths import Layout


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    return Layout(tmp_path / "out", tmp_path / "out" / "data")
