"""Every built-in backbone has a contract test of its own, `backbones/test_<name>.py`."""

from __future__ import annotations

from pathlib import Path

from harness.parts.catalogue import REGISTRY


def test_every_backbone_is_here() -> None:
    tested = {path.stem.removeprefix("test_") for path in (Path(__file__).parent / "backbones").glob("test_*.py")}
    assert tested == set(REGISTRY.names("backbone"))
