"""Small networks with parameters that are hard to divide over processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.api.batch import Restored


class Unread(nn.Module):
    """A network with parameters that its loss does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unread = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return self.used(lq_BCHW)


class Tiny(nn.Module):
    """Parameters of one number, fewer than processes: some shares are empty."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Conv2d(3, 3, 1)
        self.gain, self.offset = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1, 1, 1))
        self.seven = nn.Parameter(torch.linspace(0, 1, 7))

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return self.used(lq_BCHW) * self.gain + self.offset + self.seven.mean()


class Scalar(Tiny):
    """A parameter that is a single number without an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))


class Neighbour(Tiny):
    """Weights that are read beside the module that owns them."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        plain = nn.functional.conv2d(lq_BCHW, self.other.weight, padding=1)
        return super().forward(lq_BCHW) + plain + self.other(lq_BCHW)


class Odd(nn.Module):
    """One of these as a cell's network."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.inner = {"unread": Unread, "tiny": Tiny, "scalar": Scalar, "neighbour": Neighbour}[kind]()

    def forward(self, lq_BCHW: Tensor, prior_BD: Tensor | None = None) -> Restored:
        return Restored(self.inner(lq_BCHW), None)
