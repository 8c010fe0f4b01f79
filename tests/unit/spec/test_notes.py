"""Notes on what a suite leaves unsaid."""

from __future__ import annotations

import pytest

from harness.api.protocols import PROTOCOLS
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.suite import Labels, ResolvedSuite, SuiteCell
from harness.parts.catalogue import REGISTRY
from harness.spec.notes import notes
from tests.small_world import RANDOM, low_light, refined_cell, small_cell

CLIP = PartRef(name="clip")
SHUFFLED = PartRef(name="shuffled", derived_from=CLIP)


@pytest.mark.parametrize(
    ("cell", "protocol", "sides"),
    [
        (refined_cell(CLIP), "sid_resized", "960×512"),
        (refined_cell(CLIP), "snr_lol", "608×400"),
        (refined_cell(SHUFFLED), "sid_resized", "960×512"),
        (refined_cell(CLIP), "rgb_uint8", ""),
        (refined_cell(RANDOM), "sid_resized", ""),
        (small_cell(), "sid_resized", ""),
    ],
)
def test_a_prior_that_sees_another_image_than_its_network_is_noted(cell: Cell, protocol: str, sides: str) -> None:
    cell = cell.model_copy(update={"task": low_light()})
    labels = Labels(task="low_light", backbone="NAFNet", variant="ptg_rm")
    tests = (cell.test_set(PartRef(name="sid")),)
    protocols = (PROTOCOLS[protocol],)
    suite = ResolvedSuite(
        name="s", metrics=(), protocols=protocols, cells=(SuiteCell(cell=cell, labels=labels, tests=tests),)
    )
    said = f"sid: under {protocol} the prior saw the images as they are stored, the network at {sides}"
    assert [note.startswith(said) for note in notes(suite, REGISTRY)] == [True] * bool(sides)
