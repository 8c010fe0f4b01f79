"""Whether a recipe fits a network: the sizes of tiles, the colours, the modules that train."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import Recipe, Stage
from harness.core.errors import HarnessError
from harness.jobs.classify import classify
from harness.models.assemble import RestorationModel
from harness.models.fits import check_fit, misfits
from tests.small_world import small_cell


class Net(nn.Module):
    traits = BackboneTraits()

    def __init__(self, **capabilities: Any) -> None:
        super().__init__()
        self.capabilities = replace(Capabilities(), **capabilities)
        self.body = nn.Conv2d(3, 3, 1)


def found(cell: Cell, **capabilities: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(misfit.field, misfit.hint) for misfit in misfits(cell, RestorationModel(Net(**capabilities)))]


@pytest.mark.parametrize(
    ("patch", "multiple", "least", "hint"),
    [
        (32, 8, 1, None),
        (50, 8, 1, "patch: 48, or patch: 56"),
        (60, 128, 1, "patch: 128"),
        (24, 8, 32, "patch: 32"),
        (33, 1, 1, None),
        (40, 8, 40, None),
        (36, 8, 20, "patch: 32, or patch: 40"),
    ],
)
def test_a_tile_is_a_multiple_and_large_enough(patch: int, multiple: int, least: int, hint: str | None) -> None:
    cell = small_cell(recipe=Recipe(patch=patch))
    expected = [] if hint is None else [(("patch",), hint)]
    assert found(cell, size_multiple=multiple, min_size=least) == expected


def test_every_stage_has_tiles() -> None:
    stages = (Stage(steps=2, patch=20), Stage(steps=2), Stage(steps=2, patch=48))
    cell = small_cell(recipe=Recipe(steps=6, patch=36, stages=stages))
    assert [field for field, _ in found(cell, size_multiple=8)] == [("stages", 0, "patch"), ("patch",)]


def test_a_network_for_grey_images_is_refused() -> None:
    reads, gives = "options with which it reads 3 channels", "options with which it gives 3 channels"
    assert [hint for _, hint in found(small_cell(), channels_in=1)] == [reads]
    assert [hint for _, hint in found(small_cell(), channels_in=1, channels_out=1)] == [reads, gives]


@pytest.mark.parametrize(
    ("options", "channels", "hints"),
    [
        ({"img_channel": 1}, (1, 1), ["img_channel: 3", "img_channel: 3"]),
        ({"in_nc": 5, "out_nc": 3}, (4, 3), ["in_nc: 4"]),  # the fourth one is the noise map
        ({"in_nc": 4, "out_nc": 1}, (3, 1), ["out_nc: 3"]),
        ({"dual": True}, (9, 3), ["dual: false"]),
        ({"inp_channels": 6, "dual_pixel_task": True}, (6, 3), ["inp_channels: 3, dual_pixel_task: false"]),
        ({"dd_in": 4, "in_chans": 3}, (4, 3), ["dd_in: 3"]),
    ],
)
def test_the_options_that_move_the_channels_are_named(
    options: Any, channels: tuple[int, int], hints: list[str]
) -> None:
    cell = small_cell(backbone=PartRef(name="net", options=options))
    assert [hint for _, hint in found(cell, channels_in=channels[0], channels_out=channels[1])] == hints


def test_a_misfit_is_the_suites_and_no_bug() -> None:
    with pytest.raises(HarnessError, match="takes sides that are multiples of 7, and patch is 32") as caught:
        check_fit(small_cell(), RestorationModel(Net(size_multiple=7)))
    assert classify(caught.value) == "suite"
    assert caught.value.hint == "patch: 28, or patch: 35"
