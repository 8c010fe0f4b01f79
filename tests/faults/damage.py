"""Damage to single files."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def as_a_folder(path: Path) -> None:
    """Puts a folder where a file was."""
    path.unlink()
    path.mkdir()
