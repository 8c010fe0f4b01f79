"""What losses take from their inputs, or say that it is not there."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError


def output_of(inputs: LossInputs, name: str, *, loss: str, network: str) -> Any:
    """What the network's `outputs` gave under a name. Raises HarnessError where it gives nothing of the kind."""
    if name not in inputs.outputs:
        raise HarnessError(
            f"the loss {loss} reads {name!r}, which this network does not make",
            hint=f"it is the loss of {network}; train other networks with losses of the restored image",
        )
    return inputs.outputs[name]


def truth_of(inputs: LossInputs, *, loss: str) -> Tensor:
    """The truth. Raises HarnessError where the data have none."""
    if inputs.gt_BCHW is None:
        raise HarnessError(f"the loss {loss} compares with the clean images, and there are none", hint="train on pairs")
    return inputs.gt_BCHW


def zero_like(inputs: LossInputs) -> Tensor:
    """A loss of zero, for a term that concerns F alone on a refined image."""
    return inputs.restored_BCHW.new_zeros(())
