"""A plug-in file to read."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.unit.api.sources import IMPORTS


@pytest.fixture
def source(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "part.py"
        assert not path.exists(), "a module is read once"
        path.write_text(IMPORTS + "\n" + dedent(text))
        return str(path)

    return write
