"""Whether a recipe fits a network: the sizes of tiles, the colours, the modules that train."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.reference import PartRef
from harness.api.refiner import RefinerTraits
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Darken, Grain, Mixup, Recipe, Scale, Stage
from harness.core.errors import DataError, HarnessError
from harness.jobs.classify import classify
from harness.models.assemble import RestorationModel
from harness.models.fits import Seen, check_fit, check_images, misfits
from tests.small_world import denoising, low_light, small_cell


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


def test_networks_for_images_that_no_data_set_has_are_refused() -> None:
    reads, gives = "options with which it reads 3 channels", "options with which it gives 3 channels"
    assert [hint for _, hint in found(small_cell(), channels_in=2)] == [reads]
    assert [hint for _, hint in found(small_cell(), channels_in=9, channels_out=6)] == [reads, gives]
    for channels_in, channels_out in ((1, 1), (3, 3), (6, 3), (3, 1)):
        assert found(small_cell(), channels_in=channels_in, channels_out=channels_out) == []


@pytest.mark.parametrize(
    ("options", "channels", "hints"),
    [
        ({"img_channel": 2}, (2, 2), ["img_channel: 3", "img_channel: 3"]),
        ({"in_nc": 5, "out_nc": 3}, (4, 3), ["in_nc: 4"]),  # the fourth one is the noise map
        ({"in_nc": 4, "out_nc": 2}, (3, 2), ["out_nc: 3"]),
        ({"dual": True}, (9, 3), ["dual: false"]),
        ({"dd_in": 4, "in_chans": 3}, (4, 3), ["dd_in: 3"]),
    ],
)
def test_the_options_that_move_the_channels_are_named(
    options: Any, channels: tuple[int, int], hints: list[str]
) -> None:
    cell = small_cell(backbone=PartRef(name="net", options=options))
    assert [hint for _, hint in found(cell, channels_in=channels[0], channels_out=channels[1])] == hints


RGB = Seen("samples photos/train", degraded=(3,), clean=(3,), sizes=((64, 96),))


def check(
    seen: Seen, options: Any | None = None, recipe: Recipe | None = None, **capabilities: Any
) -> DataError | None:
    changes: dict[str, Any] = {"recipe": recipe} if recipe else {}
    cell = small_cell(backbone=PartRef(name="net", options=options or {}), **changes)
    try:
        check_images(cell, RestorationModel(Net(**capabilities)), seen)
    except DataError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("images", "channels", "options", "what", "hint"),
    [
        (((3,), (3,)), (3, 3), {}, None, ""),
        (((6,), (3,)), (6, 3), {}, None, ""),
        (((3,), ()), (3, 3), {}, None, ""),  # unpaired
        (((1,), (1,)), (3, 3), {"img_channel": 3}, "reads images of 3 channels, and degraded images here have 1",
         "img_channel: 1"),
        (((6,), (3,)), (3, 3), {"inp_channels": 3, "dual_pixel_task": False},
         "reads images of 3 channels, and degraded images here have 6", "inp_channels: 6, dual_pixel_task: true"),
        (((6,), (3,)), (3, 3), {"in_nc": 4}, "reads images of 3 channels, and degraded images here have 6", "in_nc: 7"),
        (((3,), (1,)), (3, 3), {"out_nc": 3}, "gives images of 3 channels, and clean images here have 1", "out_nc: 1"),
        (((1, 3), (3,)), (3, 3), {}, "and degraded images here have 1", "another data set"),
    ],
)  # fmt: skip
def test_the_training_images_have_the_channels_of_the_network(
    images: Any, channels: tuple[int, int], options: Any, what: str | None, hint: str
) -> None:
    seen = replace(RGB, degraded=images[0], clean=images[1])
    error = check(seen, options, channels_in=channels[0], channels_out=channels[1])
    if what is None:
        assert error is None
    else:
        assert error is not None
        assert (error.kind, error.where) == ("data", "samples photos/train")
        assert what in error.what
        assert hint in error.hint


def test_whole_images_have_sides_that_the_network_takes() -> None:
    whole = Recipe(patch="whole", batch=1)
    assert check(RGB, recipe=whole, size_multiple=32) is None
    error = check(replace(RGB, sizes=((64, 96), (100, 90))), recipe=whole, size_multiple=8)
    assert error is not None
    assert (
        error.what == "net takes sides that are multiples of 8, and patch is whole: there are images of 100×90 pixels"
    )
    assert error.hint == "resize: [104, 96], or a patch of a fixed size"
    resized = Recipe(patch="whole", batch=1, resize=(96, 128))
    assert check(replace(RGB, sizes=((100, 90),)), recipe=resized, size_multiple=8) is None


def test_patches_of_two_sides_and_resized_images() -> None:
    two = small_cell(recipe=Recipe(patch=(50, 64)))
    assert found(two, size_multiple=8) == [(("patch",), "patch: [48, 64], or patch: [56, 64]")]
    resized = small_cell(recipe=Recipe(patch="whole", resize=(400, 608)))
    assert found(resized, size_multiple=16) == []
    assert found(resized, size_multiple=64) == [(("resize",), "resize: [384, 576], or resize: [448, 640]")]
    assert found(small_cell(recipe=Recipe(patch="whole")), size_multiple=64) == []


def test_a_misfit_is_the_suites_and_no_bug() -> None:
    with pytest.raises(HarnessError, match="takes sides that are multiples of 7, and patch is 32") as caught:
        check_fit(small_cell(), RestorationModel(Net(size_multiple=7)))
    assert classify(caught.value) == "suite"
    assert caught.value.hint == "patch: 28, or patch: 35"


@pytest.mark.parametrize(
    "recipe",
    [
        {"mixup": Mixup(alpha=1.2)},
        {"grain": Grain(chance=0.1, sigma=0.1)},
        {"grey": 0.3},
        {"scale": Scale(chance=0.5, least=0.7)},
        {"darken": Darken(chance=0.5)},
    ],
)
def test_a_network_that_is_told_of_its_images_takes_none_that_were_changed_since(recipe: Any) -> None:
    [field] = recipe
    noisy, bright = (small_cell(recipe=Recipe(patch=32, **recipe), task=task) for task in (denoising(), low_light()))
    [misfit] = misfits(noisy, RestorationModel(Net(told=("sigma",))))
    assert misfit.field == (field,)
    assert misfit.what == f"nafnet is told the sigma of every image, which is another one after {field}"
    assert misfit.hint == f"remove {field}, or give nafnet sigma: null"
    assert found(noisy) == []
    assert found(bright, told=("sigma",), assumes=("sigma",)) == [], "nothing is told where nothing is drawn"
    assert found(small_cell(recipe=Recipe(patch=32)), told=("sigma",)) == []
    with pytest.raises(HarnessError, match="told the sigma of every image"):
        check_fit(noisy, RestorationModel(Net(told=("sigma",))))


def test_grain_on_the_truth_needs_a_truth_like_the_input() -> None:
    grain = Grain(chance=0.1, sigma=0.1)
    both, one = (small_cell(recipe=Recipe(grain=grain.model_copy(update={"truth": truth}))) for truth in (True, False))
    assert found(both, channels_in=6) == [(("grain", "truth"), "truth: false")]
    assert found(both) == found(one, channels_in=6) == []


class Refiner(nn.Module):
    def __init__(self, **traits: Any) -> None:
        super().__init__()
        self.traits = RefinerTraits(**traits)
        self.body = nn.Conv2d(3, 3, 1)


def test_a_refiner_on_images_takes_those_that_it_is_made_for() -> None:
    cell = small_cell(variant=Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss")))

    def told(channels_in: int, channels_out: int, taps: tuple[str, ...] = (), **traits: Any) -> list[tuple[str, str]]:
        net = Net(channels_in=channels_in, channels_out=channels_out)
        model = RestorationModel(net, Refiner(**traits), taps=taps)
        return [(misfit.what, misfit.hint) for misfit in misfits(cell, model)]

    rgb: dict[str, Any] = {"channels": 3, "placements": ("image", "features")}
    on = "ptg_rm on images takes 3 channels, and nafnet reads"
    assert told(6, 3, **rgb) == [(f"{on} 6 and gives 3", "placement: features")]
    assert told(1, 1, channels=3) == [(f"{on} 1 and gives 1", "a network of images of 3 channels")]
    assert told(3, 3, **rgb) == told(6, 3, ("body",), **rgb) == told(6, 3) == []
