"""Fixtures of whole runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.bench import TINY, Bench


@pytest.fixture(scope="session")
def short_home() -> Iterator[Path]:
    """A home folder with a short path: Ray's sockets lie under it, and socket paths end at 107 characters."""
    home = Path(tempfile.mkdtemp(prefix="pb"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def bench(tmp_path: Path, short_home: Path) -> Bench:
    return Bench(tmp_path, short_home)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, short_home: Path) -> Path:
    """The output folder of the tiny suite, run once through Ray and MLflow. Read it, copy it, never write to it."""
    folder = tmp_path_factory.mktemp("finished")
    bench = Bench(folder, short_home)
    (folder / "stdout.txt").write_text(bench.ok("run", TINY, "--out", folder / "out"))
    return folder / "out"
