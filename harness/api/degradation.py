"""Degradations: they turn a clean image into the degraded one that a network gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.api.traits import Traits

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class DegradationTraits(Traits):
    """What a degradation declares."""

    quantised: bool
    """Whether results are 8-bit images (a camera's file) or unclipped floats (the denoising convention)."""


class Degradation(Protocol):
    """Turns a clean image into a degraded one. Constructor: keyword-only options."""

    traits: DegradationTraits

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to the same shape; randomness only from `random`."""
