"""The values that pass between the loader, the model and the losses.

Shape letters: B batch, C channels, H height, W width, D prior width. Images are RGB floats in [0, 1] unless said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Batch:
    """What the loader gives: float32 images, prior rows or None, sample keys.

    The truth (`gt_BCHW`) and clean images of other scenes (`clean_BCHW`) are None unless a loss reads them
    (harness.api.loss.Reads).
    """

    lq_BCHW: Tensor
    gt_BCHW: Tensor | None
    prior_BD: Tensor | None
    keys: list[str]
    clean_BCHW: Tensor | None = None


@dataclass
class Restored:
    """What an assembled model gives: Î = F(I_d), Ī when there is a refiner, and in training their other outputs."""

    initial_BCHW: Tensor
    refined_BCHW: Tensor | None = None
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> Tensor:
        return self.initial_BCHW if self.refined_BCHW is None else self.refined_BCHW
