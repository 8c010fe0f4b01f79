"""Degradations: they turn a clean image into the degraded one that a network gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from harness.api.traits import Traits

if TYPE_CHECKING:
    import numpy as np


Acts = Literal["fixed", "drawn"]
"""When a degradation acts. `fixed`: once an image, and what it makes is stored; `drawn`: at every draw of a training
image, of which nothing is stored. Test images are the same for everybody in both cases."""

Draw = Literal["named", "seed0"]
"""How the random numbers of a test image are drawn.

`named`: from a generator of its own, whose seed follows from the names of degradation, data set, split and image.
`seed0`: from numpy's legacy generator, seeded with 0 before every image, as the scripts of the denoising papers do.
"""


@dataclass(frozen=True, kw_only=True)
class DegradationTraits(Traits):
    """What a degradation declares."""

    quantised: bool
    """Whether results are 8-bit images (a camera's file) or unclipped floats (the denoising convention)."""
    acts: Acts = "fixed"
    """When it acts. One that is `drawn` sees crops in training and whole images in test."""
    varies: tuple[str, ...] = ()
    """Options that may be a range, of which one value is drawn for every image, as (0, 50). A `drawn` one has them in
    training only: tests say a value. With any of them it is a `VaryingDegradation`."""
    synthetic: bool = False
    """Whether it imitates what real photographs have, such as darkness, rain or shake: tables mark its tasks so."""
    draws: tuple[Draw, ...] = ("named",)
    """The ways in which its random numbers can be drawn. One with `seed0` is `DrawnLikeTheField`, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "named" not in self.draws:
            raise ValueError("draws holds 'named': training data are drawn in no other way")
        if self.varies and self.acts != "drawn":
            raise ValueError("options that vary are those of a degradation that is drawn")


class Degradation(Protocol):
    """Turns a clean image into a degraded one. Constructor: keyword-only options."""

    traits: DegradationTraits

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×C float32 in [0, 1] to the same shape; randomness only from `random`."""


class VaryingDegradation(Degradation, Protocol):
    """A degradation whose traits name options that vary (`varies`), each of which may be a range (low, high).

    `__call__(clean, random)` is `with_settings(clean, random, settings(random))`.
    """

    def settings(self, random: np.random.Generator) -> dict[str, float]:
        """One value of every option of `varies`, in the option's unit, drawn where it is a range.

        An option that is a single number takes no random number. Networks that are told such a setting get this value
        (harness.api.backbone.Capabilities.told).
        """

    def with_settings(
        self, clean: np.ndarray, random: np.random.Generator, settings: Mapping[str, float]
    ) -> np.ndarray:
        """As `__call__`, with the values that `settings` drew."""


class DrawnLikeTheField(Protocol):
    """A degradation whose traits have the draw `seed0`."""

    def with_legacy(self, clean: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """As `__call__`, with the random numbers of numpy's legacy generator, number by number as the papers' scripts.

        `random` has just been seeded with 0. Options that vary have a single value.
        """
