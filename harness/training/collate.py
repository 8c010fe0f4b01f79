"""From single samples to batches.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from harness.api.batch import Batch
from harness.core.errors import DataError


@dataclass(frozen=True)
class Drawn:
    """One sample as training sees it: C×H×W, uint8, uint16 or float32. None for what no loss reads."""

    key: str
    lq: np.ndarray | None = None
    gt: np.ndarray | None = None
    prior: np.ndarray | None = None
    settings: dict[str, float] = field(default_factory=dict)


def chw(image_HWC: np.ndarray) -> np.ndarray:
    """An image as networks take it, C×H×W; contiguous."""
    return np.ascontiguousarray(image_HWC.transpose(2, 0, 1))


def assembled(inputs: Sequence[Drawn], clean: Sequence[Drawn] = ()) -> Batch:
    """A batch of samples, and of clean images of other scenes.

    Raises DataError when images differ in size, channels or type.
    """
    keys = [each.key for each in inputs]
    priors = [each.prior for each in inputs if each.prior is not None]
    settings = {name: torch.tensor([each.settings[name] for each in inputs]) for name in inputs[0].settings}
    lq_BCHW = _stacked([each.lq for each in inputs], keys)
    assert lq_BCHW is not None, keys
    return Batch(
        lq_BCHW=lq_BCHW,
        gt_BCHW=_stacked([each.gt for each in inputs], keys),
        prior_BD=torch.from_numpy(np.stack(priors)) if priors else None,
        keys=keys,
        clean_BCHW=_stacked([each.gt for each in clean], [each.key for each in clean]),
        settings=settings,
    )


def _stacked(images: Sequence[np.ndarray | None], keys: Sequence[str]) -> Tensor | None:
    """The images as one tensor B×C×H×W; None when there are none."""
    given = [image for image in images if image is not None]
    if not given:
        return None
    kinds: dict[str, list[str]] = {}
    for image, key in zip(given, keys, strict=True):
        kinds.setdefault(f"{'×'.join(map(str, image.shape))} {image.dtype.name}", []).append(key)
    if len(kinds) > 1:
        found = ", ".join(f"{kind} ({len(of)}, as {of[0]})" for kind, of in kinds.items())
        hint = "a data set whose images have one number of channels and one type of pixels"
        raise DataError(f"images of a batch differ, channels × height × width: {found}", hint=hint)
    return torch.from_numpy(np.stack(given))
