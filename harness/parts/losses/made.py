"""What losses take from a view, or say that it is not there."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from harness.api.parts import View
from harness.core.errors import HarnessError


def made_by_network(view: View, name: str, *, loss: str, network: str) -> Any:
    """What the network's `outputs` gave under a name. Raises HarnessError where it gives nothing of the kind."""
    if name not in view.made:
        raise HarnessError(
            f"the loss {loss} reads {name!r}, which this network does not make",
            hint=f"it is the loss of {network}; other networks learn by losses of the restored image",
        )
    return view.made[name]


def truth_of(view: View, *, loss: str) -> Tensor:
    """The truth. Raises HarnessError where the data have none."""
    if view.gt_BCHW is None:
        raise HarnessError(f"the loss {loss} compares with the clean images, and there are none", hint="train on pairs")
    return view.gt_BCHW


def zero_like(view: View) -> Tensor:
    """A loss of zero, for a term that concerns F alone on a refined view."""
    return view.restored_BCHW.new_zeros(())
