"""The guide to protocols has the table that the code has."""

from __future__ import annotations

from pathlib import Path

from harness.api.protocols import PROTOCOLS, steps_of

GUIDE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()


def test_the_table_is_that_of_the_code() -> None:
    rows = [line for line in GUIDE.splitlines() if line.startswith("| `")]
    expected = [f"| `{p.name}` | {p.version} | {steps_of(p)} | {p.used_by} |" for p in PROTOCOLS.values()]
    assert rows == expected
