"""Makes a network a fixed function."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def freeze(module: Module) -> Module:
    """Takes every parameter out of training and puts the module in evaluation mode; gives it back.

    A parent's `train()` would switch the mode back: RestorationModel guards its backbone against that.
    """
    module.requires_grad_(False)
    return module.eval()
