"""What runs is what was planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.loading import load_part
from harness.core.errors import HarnessError
from harness.core.registry import Entry, Registry

PART = """
from harness.api.prior import PriorTraits


class P:
    traits = PriorTraits(version=2)

    def __init__(self, *, dim: int = 3) -> None: ...
"""


def registry(tmp_path: Path, text: str) -> Registry:
    file = tmp_path / "part.py"
    file.write_text(text)
    return Registry([Entry("prior", "p", f"{file}:P")])


def test_a_part_is_loaded_as_it_is_declared(tmp_path: Path) -> None:
    assert load_part(registry(tmp_path, PART), "prior", "p").traits.version == 2


@pytest.mark.parametrize("change", ["exec('P.traits = PriorTraits(version=3)')", "globals()['P'] = len"])
def test_traits_that_change_on_import_are_refused(tmp_path: Path, change: str) -> None:
    with pytest.raises(HarnessError, match="other traits after its import") as caught:
        load_part(registry(tmp_path, f"{PART}\n\n{change}\n"), "prior", "p")
    assert caught.value.where == f"{tmp_path / 'part.py'}:5"
