"""What SMG's appearance and enhancement networks share: a small U of three scales without normalisation.

Shape letters: B batch, C width, H×W image, at 1/s scale h×w = H/s×W/s.
"""

from __future__ import annotations

from torch import Tensor, nn

from harness.parts.ops.steady import ReflectionPad2d


class Encoder(nn.Module):
    """Image to features of C, 2C and 4C channels at full, 1/2 and 1/4 scale, the last also after residual blocks."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = _conv_relu(channels, width, 1)
        self.conv2 = _conv_relu(width, 2 * width, 2)
        self.conv3 = _conv_relu(2 * width, 4 * width, 2)
        self.blocks = nn.Sequential(*(ReflectedBlock(4 * width) for _ in range(blocks)))

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        full = self.conv1(image_BCHW)
        half = self.conv2(full)
        quarter = self.conv3(half)
        return full, half, quarter, self.blocks(quarter)


class ReflectedBlock(nn.Sequential):
    """conv3×3 – ReLU – conv3×3 around a skip, borders mirrored."""

    def __init__(self, channels: int) -> None:
        convs = [[ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)] for _ in range(2)]
        super().__init__(*convs[0], nn.ReLU(), *convs[1])

    def forward(self, x_BChw: Tensor) -> Tensor:
        return x_BChw + super().forward(x_BChw)


class Up(nn.Sequential):
    """conv3×3 – pixel shuffle – ReLU: twice the sides."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.Conv2d(channels, 4 * out, 3, padding=1), nn.PixelShuffle(2), nn.ReLU())


class Tail(nn.Sequential):
    """conv3×3 – ReLU – conv1×1 to an RGB residual."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 1))


ENCODER_NAMES = {
    "model1": "encoder.conv1",
    "model2": "encoder.conv2",
    "model3": "encoder.conv3",
    "model4": "encoder.blocks",
    "conv_block": "",
}
"""Dotted parts of the published parameter names → those of the encoder (harness.api.weights.OfficialNames)."""


def _conv_relu(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1), nn.ReLU())
