"""What networks that split an image into reflectance and illumination share with their losses."""

from __future__ import annotations

from torch import Tensor

GAMMA = 2.2


def bright_illumination(image_BCHW: Tensor) -> Tensor:
    """The illumination that a bright image in [0, 1] is taken to have: its largest channel to the power of 1/2.2,
    B×1×H×W.

    URetinex-Net's decomposition of bright images aims at it (URetinex-Net-PLUS, model.py, `DecomModel`).
    """
    return image_BCHW.amax(1, keepdim=True).clamp(min=0) ** (1 / GAMMA)
