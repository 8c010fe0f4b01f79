"""Working copies of a store in this process's memory, and what may go wrong at each of its operations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from harness.storage import reach
from harness.storage.copies import Copy, copy_of


class Machines:
    """Working copies of one store's folder, each as another machine has it."""

    below = ""
    """Where the data lie in the folder."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = f"memory://{uuid.uuid4().hex}/run"
        self._tmp_path, self._monkeypatch = tmp_path, monkeypatch

    def __call__(self, name: str) -> Copy:
        self._monkeypatch.setenv("PRIORBENCH_STORES", str(self._tmp_path / name))
        return copy_of(self.url)

    def objects(self) -> list[str]:
        """Of all objects that the store has."""
        return sorted(self("any").store.find(""))


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setattr(reach, "WAITS", (0.01, 0.02))
    yield Machines(tmp_path, monkeypatch)
    fsspec.filesystem("memory").store.clear()


def write(copy: Copy, unit: str, **files: str) -> Path:
    """Puts files into the folder of a unit, by name with `__` for a slash."""
    folder = copy.files / unit
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Of all files below a folder, by name."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
