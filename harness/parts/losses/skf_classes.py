"""What SKF's losses have in common: the classes of a batch's pixels, from whatever in a cell can tell them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses.outputs import truth_of


def class_probabilities(inputs: LossInputs, source: Literal["truth", "restored"], loss: str) -> Tensor:
    """B×K×H×W, of the truth's pixels or the restoration's, without gradients.

    Raises HarnessError where nothing in the cell tells classes, that is, without the refiner `skf`.
    """
    segment: Callable[[Tensor], Tensor] | None = inputs.outputs.get("segment")
    if segment is None:
        raise HarnessError(
            f"{loss} needs the classes of pixels, and nothing in this cell tells them",
            hint="use it with the refiner skf, whose segmentation network does",
        )
    return segment(truth_of(inputs, loss=loss) if source == "truth" else inputs.restored_BCHW.detach()).detach()
