"""Operations that torch refuses on a GPU in deterministic mode, by the names under which a CPU runs them too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.parts.ops import steady

TOLD: dict[str, tuple[str, ...]] = {
    "nn.AvgPool3d": ("avg_pool3d_backward",),
    "nn.AdaptiveAvgPool2d": ("_adaptive_avg_pool2d_backward",),
    "nn.AdaptiveAvgPool3d": ("_adaptive_avg_pool3d_backward",),
    "nn.AdaptiveMaxPool2d": ("adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward"),
    "nn.FractionalMaxPool2d": ("fractional_max_pool2d_backward",),
    "nn.FractionalMaxPool3d": ("fractional_max_pool3d_backward",),
    "nn.MaxUnpool1d": ("max_unpool2d",),
    "nn.MaxUnpool2d": ("max_unpool2d",),
    "nn.MaxUnpool3d": ("max_unpool3d",),
    "nn.functional.interpolate": (
        "upsample_linear1d_backward",
        "upsample_bicubic2d_backward",
        "_upsample_bilinear2d_aa_backward",
        "_upsample_bicubic2d_aa_backward",
    ),
    "nn.ReflectionPad1d": ("reflection_pad1d_backward",),
    "nn.ReflectionPad2d": ("reflection_pad2d_backward",),
    "nn.ReflectionPad3d": ("reflection_pad3d_backward",),
    "nn.NLLLoss": ("nll_loss_forward", "nll_loss2d_forward"),
    "nn.CTCLoss": ("_ctc_loss_backward",),
    "nn.EmbeddingBag": ("_embedding_bag_backward",),
    "Tensor.put_": ("put_", "put"),
    "histc": ("histc",),
    "bincount": ("bincount",),
    "median": ("median",),
    "nn.functional.grid_sample": ("grid_sampler_2d_backward", "grid_sampler_3d_backward"),
    "Tensor.scatter_reduce": ("scatter_reduce", "scatter_reduce_"),
    "Tensor.resize_": (),  # of quantized tensors
}
"""What the documentation of torch.use_deterministic_algorithms says that fails → operations. Of F.interpolate the modes
`bilinear` and `trilinear` are left out, and F.pad's `replicate`: there it computes them in another way itself."""

REFUSED = frozenset(name for names in TOLD.values() for name in names)


def documented() -> set[str]:
    """What torch's documentation says that fails."""
    text = str(torch.use_deterministic_algorithms.__doc__)
    fails = text[text.index("operations will throw a") : text.index("In addition, several operations")]
    return set(re.findall(r"\* :(?:class|func):`torch\.([\w.]+)`", fails))


class _Names(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def refused_of(compute: Callable[[], torch.Tensor]) -> set[str]:
    """The operations that torch would refuse on a GPU while a number and its gradients are computed."""
    with pytest.MonkeyPatch.context() as patch, _Names() as mode:
        patch.setattr(steady, "wanted", lambda x: True)
        compute().backward()
    assert len(mode.names) > 3, "nothing was computed"
    return mode.names & REFUSED
