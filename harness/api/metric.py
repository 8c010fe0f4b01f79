"""Metrics: one number per restored image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from harness.api.traits import Traits

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class MetricTraits(Traits):
    """What a metric declares. Tables call it by its name in the catalogue."""

    higher_is_better: bool
    unit: str = ""
    decimals: int = 4
    """Digits after the point in tables, from 0 to 12."""
    reference: Literal["full", "none"] = "full"
    """`full`: it compares with the clean image; `none`: it is called with the restored image alone."""
    masked: bool = False
    """Whether it takes a mask, H×W float64 of 0 and 1, as third argument, under protocols that align images: what is 0
    counts nowhere, and is black in both. Others get the two images alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decimals <= 12:
            raise ValueError(f"decimals is a whole number from 0 to 12, not {self.decimals}")


class Metric(Protocol):
    """One number per image. Constructor: (protocol,) given by the harness, then keyword-only options."""

    traits: MetricTraits

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255], already cut, clipped and rounded as the protocol says. May be inf (PSNR).

        Raises DataError, with the reason, for an image that has no value; NaN is taken likewise. The metric is then
        left out of the record under this protocol, and nothing else.
        """
