"""A frozen network that sees depth in single images, read from a folder as transformers saves it.

Shape letters: B batch, C channels, H×W image, h×w the network's depth.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForDepthEstimation

from harness.core.errors import HarnessError


class DepthNetwork(nn.Module):
    """DPT, Depth Anything and their like. Images are resized to a square, which of square patches distorts nothing.

    Nothing is fetched, and no code of the folder runs. Raises HarnessError (kind `weights`) when the folder is no such
    network, or when its weights do not fill it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.side, mean, std = _preparation(folder / "preprocessor_config.json")
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.network = _network(folder).requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, image_BCHW: Tensor) -> Tensor:
        """RGB images in [0, 1] to their relative inverse depth, B×1×H×W, stretched to [0, 1] in each."""
        square = _resized(image_BCHW.clamp(0, 1), (self.side, self.side)).clamp(0, 1)
        depth_Bhw = self.network(pixel_values=(square - self.mean) / self.std).predicted_depth.float()
        depth_B1HW = _resized(depth_Bhw[:, None], tuple(image_BCHW.shape[-2:]))
        low, high = depth_B1HW.aminmax(dim=-1, keepdim=True)
        low, high = low.amin(-2, keepdim=True), high.amax(-2, keepdim=True)
        return (depth_B1HW - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)


def _resized(image_BCHW: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(image_BCHW, size=size, mode="bicubic", antialias=True, align_corners=False)


def _preparation(path: Path) -> tuple[int, list[float], list[float]]:
    """Side, mean and standard deviation that the network wants its input to have."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        size = content["size"]
        side = size if isinstance(size, int) else size["height"]
        return int(side), list(map(float, content["image_mean"])), list(map(float, content["image_std"]))
    except (ValueError, LookupError, TypeError) as error:
        what = f"does not say how images are prepared: {type(error).__name__} {error}"
        raise HarnessError(what, where=str(path), hint="`size`, `image_mean`, `image_std`", kind="weights") from error


def _network(folder: Path) -> Any:
    try:
        # Loading draws a progress bar, and random numbers for what it then fills.
        with contextlib.redirect_stderr(io.StringIO()), torch.random.fork_rng(devices=[]):
            network, loading = AutoModelForDepthEstimation.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"no network for depth estimation: {reason}"
        raise HarnessError(what, where=str(folder), hint="fetch it again", kind="weights") from error
    missing = sorted(loading["missing_keys"])
    if missing:
        what = f"the weights do not fill the network: {missing[0]} and {len(missing) - 1} more are missing"
        raise HarnessError(what, where=str(folder), hint="fetch it again", kind="weights")
    return network
