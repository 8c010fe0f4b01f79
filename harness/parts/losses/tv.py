"""Total variation."""

from __future__ import annotations

from torch import Tensor, nn

from harness.api.loss import LossInputs, LossTraits


class TV(nn.Module):
    """Total variation of the restoration, squared; it needs no truth. Mahendran & Vedaldi, CVPR 2015, with β = 2."""

    traits = LossTraits(takes="inputs", reads="degraded")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar in the images' units squared."""
        return total_variation(inputs.restored_BCHW)


def total_variation(image_BCHW: Tensor) -> Tensor:
    """Twice the sum of the mean squared differences between neighbours, up and down and side by side.

    The factor is that of the code which low-light networks are trained with. At least 2×2 pixels.
    """
    down = (image_BCHW[..., 1:, :] - image_BCHW[..., :-1, :]).square().mean()
    right = (image_BCHW[..., 1:] - image_BCHW[..., :-1]).square().mean()
    return 2 * (down + right)
