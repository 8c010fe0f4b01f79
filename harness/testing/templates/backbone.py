"""The backbone `my_part`: name the paper and the authors' code."""

from __future__ import annotations

from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Channels, Count


class MyPart(nn.Module):
    """Convolutions that predict what to add to the image. (This line is shown by `bench list backbones`.)

    Options: `width`, channels of its layers; `depth`, how many of them.
    """

    # `half`, `compiles` and `exports` are claims that `bench test` checks, once they are made.
    traits = BackboneTraits(taps=True, licence="not yet chosen", paper="not yet written")

    def __init__(self, *, width: Channels = 16, depth: Count = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for _ in range(depth - 1):
            layers += [nn.GELU(), nn.Conv2d(width, width, 3, padding=1)]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        # What depends on options: sides must be multiples of `size_multiple` (images are padded and cut back), `taps`
        # are the modules whose maps a refiner or a prior may read, deepest last.
        self.capabilities = Capabilities(size_multiple=1, taps=("body",))

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded RGB images, white at 1, to restored ones of the same size, not clamped."""
        return lq_BCHW + self.last(self.body(lq_BCHW))


CATALOGUE = (("backbone", "my_part", "MyPart"),)
