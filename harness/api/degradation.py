"""Degradations: they turn a clean image into the degraded one that a network gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from harness.api.traits import Traits

if TYPE_CHECKING:
    import numpy as np


Draw = Literal["named", "seed0"]
"""How the random numbers of a test image are drawn.

`named`: from a generator of its own, whose seed follows from the names of task, data set, split and image.
`seed0`: from numpy's legacy generator, seeded with 0 before every image, as the scripts of the denoising papers do.
"""


@dataclass(frozen=True, kw_only=True)
class DegradationTraits(Traits):
    """What a degradation declares."""

    quantised: bool
    """Whether results are 8-bit images (a camera's file) or unclipped floats (the denoising convention)."""
    synthetic: bool = False
    """Whether it imitates what real photographs have, such as darkness, rain or shake: tables mark its tasks so."""
    draws: tuple[Draw, ...] = ("named",)
    """The ways in which its random numbers can be drawn. One with `seed0` is `DrawnLikeTheField`, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "named" not in self.draws:
            raise ValueError("draws holds 'named': training data are drawn in no other way")


class Degradation(Protocol):
    """Turns a clean image into a degraded one. Constructor: keyword-only options."""

    traits: DegradationTraits

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to the same shape; randomness only from `random`."""


class DrawnLikeTheField(Protocol):
    """A degradation whose traits have the draw `seed0`."""

    def with_legacy(self, clean: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """As `__call__`, with the random numbers of numpy's legacy generator, number by number as the papers' scripts.

        `random` has just been seeded with 0.
        """
