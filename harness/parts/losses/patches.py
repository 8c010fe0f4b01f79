"""Random patches, for losses that look at an image piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def random_patches(images: tuple[Tensor, ...], count: int, side: int) -> Iterator[tuple[Tensor, ...]]:
    """`count` times the same square of each B×C×H×W batch, at one random place; all of a shorter image's side.

    Of a longer side the last row, or column, is in no square, as EnlightenGAN's authors draw them
    (`models/single_model.py`, `forward`).
    Places come from torch's generator of the CPU, whose state is in the checkpoints: a resumed training draws the same.
    """
    height, width = images[0].shape[-2:]
    rows, columns = min(side, height), min(side, width)
    for _ in range(count):
        top = int(torch.randint(max(1, height - rows), ()))
        left = int(torch.randint(max(1, width - columns), ()))
        yield tuple(image[..., top : top + rows, left : left + columns] for image in images)
