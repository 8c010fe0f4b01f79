"""The values that pass between the loader, the model and the losses.

Shape letters: B batch, C channels, H height, W width, D prior width. Images are floats in [0, 1] unless said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Batch:
    """What the loader gives: images, prior rows or None, sample keys.

    Images are as they are stored: uint8, uint16 or float32 with white at 255, 65535 or 1. The training step scales them
    on the device; networks and losses see float32 alone. Degraded images have float32 where their noise is drawn.
    The truth (`gt_BCHW`) and clean images of other scenes (`clean_BCHW`) are None unless a loss reads them
    (harness.api.loss.Reads).
    """

    lq_BCHW: Tensor
    gt_BCHW: Tensor | None
    prior_BD: Tensor | None
    keys: list[str]
    clean_BCHW: Tensor | None = None
    settings: dict[str, Tensor] = field(default_factory=dict)
    """Float32 [B] by option: the values that were drawn of the degradation's varying options (traits `varies`)."""


@dataclass
class Restored:
    """What an assembled model gives: Î = F(I_d), Ī when there is a refiner, and in training their other outputs."""

    initial_BCHW: Tensor
    refined_BCHW: Tensor | None = None
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> Tensor:
        return self.initial_BCHW if self.refined_BCHW is None else self.refined_BCHW
