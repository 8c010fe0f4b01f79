"""What SKF's losses have in common: the classes of a batch's pixels, from whatever in a cell can tell them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses.outputs import truth_of


def class_probabilities(
    inputs: LossInputs, source: Literal["truth", "restored"], loss: str, *, gradient: bool = False
) -> Tensor:
    """B×K×H×W, of the truth's pixels or the restoration's. `gradient`: whether the restoration gets one from them.

    Raises HarnessError where nothing in the cell finds classes, that is, without the refiner `skf`.
    """
    segment: Callable[[Tensor], Tensor] | None = inputs.outputs.get("segment")
    if segment is None:
        raise HarnessError(
            f"{loss} needs the classes of pixels, and nothing in this cell tells them",
            hint="use it with the refiner skf, whose segmentation network does",
        )
    if source == "truth":
        image_BCHW = truth_of(inputs, loss=loss)
    else:
        image_BCHW = inputs.restored_BCHW if gradient else inputs.restored_BCHW.detach()
    with nullcontext() if gradient else torch.no_grad():
        return segment(image_BCHW)
