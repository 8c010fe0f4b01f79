"""What a record says of the pictures that a prior saw in training."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.cells.cell import Variant
from harness.jobs.prior_saw import prior_saw
from harness.parts.catalogue import REGISTRY
from tests.small_world import denoising, low_light, small_cell

NSS = PartRef(name="nss")


def blind() -> PartRef:
    options = {"sigma": [0.0, 50.0], "quantise": "none"}
    noise = PartRef(name="gaussian_noise", options=options, drawn=True)
    return PartRef(name="gaussian_denoise", options=options, derived_from=noise)


@pytest.mark.parametrize(
    ("task", "prior", "how", "said"),
    [
        (low_light(), NSS, {}, "whole degraded images"),
        (low_light(), NSS, {"views": 8}, "whole degraded images, in every orientation"),
        (denoising(), NSS, {}, "whole degraded images, with the one fixed gaussian_noise that test images have"),
        (
            blind(),
            NSS,
            {},
            "whole degraded images, with one fixed draw of gaussian_noise, whose sigma was drawn from [0,50] once an "
            "image",
        ),
        (blind(), NSS, {"features": "live"}, "the images of every step"),
        (low_light(), NSS, {"features": "crop"}, "the crops of a grid"),
        (denoising(), PartRef(name="random"), {}, "no image"),
        (low_light(), PartRef(name="shuffled", derived_from=NSS), {}, "whole degraded images"),
    ],
)
def test_what_a_prior_saw(task: PartRef, prior: PartRef, how: Any, said: str) -> None:
    cell = small_cell(task=task, variant=Variant(refiner=PartRef(name="ptg_rm"), prior=prior, **how))
    assert prior_saw(cell, REGISTRY) == said
    assert prior_saw(small_cell(task=task), REGISTRY) is None
