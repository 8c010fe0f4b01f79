"""One test a golden file."""

from __future__ import annotations

import pytest

from tests.conftest import DEFAULT_GOLDENS

SLOW = ("grl__base", "grl__heldout_base", "smg_sag__size512")
"""Beginnings of goldens that take long on a CPU, left out by `-m "not slow"`: GRL's base, the largest SAG."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_path" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--goldens")
    folder = chosen or DEFAULT_GOLDENS
    paths = sorted(folder.glob("*.json"))
    if chosen is not None and not paths:
        raise pytest.UsageError(f"--goldens: no JSON files in {folder}")
    if not paths:
        reason = pytest.mark.skip(reason="no goldens here: name their folder with --goldens DIR")
        metafunc.parametrize("golden_path", [pytest.param(None, id="none", marks=reason)])
        return
    slow = (pytest.mark.slow, pytest.mark.timeout(1800))
    params = [pytest.param(path, id=path.stem, marks=slow if path.stem.startswith(SLOW) else ()) for path in paths]
    metafunc.parametrize("golden_path", params)
