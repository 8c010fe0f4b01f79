"""HRNet for segmentation: J. Wang et al., "Deep High-Resolution Representation Learning", TPAMI 2021, arXiv 1908.07919.

SKF's prior is HRNetV2-W48 trained on PASCAL-Context (59 classes). Our own code, checked against sampled outputs; the
parameter names are the authors', so that their checkpoint loads.

Shape letters: B batch, K classes, C channels, H×W image. A feature map at scale s has sides ⌈H/s⌉×⌈W/s⌉.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError

BOTTLENECK = 64
"""Width of the stem and, inside, of the bottlenecks behind it, which give four times as many channels."""


@dataclass(frozen=True)
class Semantics:
    """What a segmentation network says of a batch of images."""

    logits_BKHW: Tensor
    features: tuple[Tensor, ...]
    """Deepest features of each branch, from 1/4 resolution down, each half the sides of the one before."""

    def classes(self) -> Tensor:
        """Class probabilities of each pixel, B×K×H×W."""
        return self.logits_BKHW.softmax(1)


class HRNet(nn.Module):
    """Branches at 1/4, 1/8, … resolution side by side, which exchange their features after each module.

    `channels` are the widths of the branches; stage n works with the first n of them. `modules` counts the exchanges of
    stages 2, 3, …, `blocks` the residual blocks of the stem and of each branch between exchanges. RGB in [0, 1]; the
    published weights for SKF expect no normalisation. Any size works, multiples of 32 best. Raises HarnessError for
    options that do not fit.
    """

    size_multiple = 32

    # The authors' files hold their training loss beside the network.
    official = OfficialNames(parts={"model": ""}, extras=frozenset({"loss.criterion.weight"}))

    def __init__(
        self,
        *,
        classes: int = 59,
        channels: tuple[int, ...] = (48, 96, 192, 384),
        modules: tuple[int, ...] = (1, 4, 3),
        blocks: int = 4,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if len(channels) != 4 or len(modules) != 3:
            raise HarnessError("hrnet has four branches and three stages: `channels` takes 4 numbers, `modules` 3")
        self.channels = channels
        self.align_corners = align_corners
        self.conv1 = nn.Conv2d(3, BOTTLENECK, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, BOTTLENECK, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(BOTTLENECK)
        deep = 4 * BOTTLENECK
        self.layer1 = nn.Sequential(*(Bottleneck(deep if n else BOTTLENECK, BOTTLENECK) for n in range(blocks)))
        self.transition1 = _transition((deep,), channels[:2])
        self.transition2 = _transition(channels[:2], channels[:3])
        self.transition3 = _transition(channels[:3], channels)

        def stage(branches: int, count: int) -> nn.Sequential:
            widths = channels[:branches]
            return nn.Sequential(*(Exchange(widths, blocks, align_corners=align_corners) for _ in range(count)))

        self.stage2, self.stage3, self.stage4 = (stage(n, count) for n, count in zip((2, 3, 4), modules, strict=True))
        total = sum(channels)
        self.last_layer = nn.Sequential(
            nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(), nn.Conv2d(total, classes, 1)
        )

    def forward(self, image_BCHW: Tensor) -> Semantics:
        branches = self.features(image_BCHW)
        finest = branches[0].shape[-2:]
        pyramid = [branches[0], *(_resize(branch, finest, self.align_corners) for branch in branches[1:])]
        logits = self.last_layer(torch.cat(pyramid, 1))
        return Semantics(_resize(logits, image_BCHW.shape[-2:], self.align_corners), branches)

    def features(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """What `Semantics.features` holds, without the cost of the classes."""
        x = F.relu(self.bn1(self.conv1(image_BCHW)))
        x = F.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            # Branches beyond those there are grow out of the deepest one.
            branches = [step(branches[min(n, len(branches) - 1)]) for n, step in enumerate(transition)]
            branches = stage(branches)
        return tuple(branches)


class Exchange(nn.Module):
    """Residual blocks on each branch, then every branch becomes the sum of all, resampled to its size and width."""

    def __init__(self, channels: Sequence[int], blocks: int, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(C) for _ in range(blocks))) for C in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resampling(source, target, channels) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        fused = []
        for own, steps in zip(branches, self.fuse_layers, strict=True):
            total = torch.zeros_like(own)
            for step, x in zip(cast(nn.ModuleList, steps), branches, strict=True):
                total = total + _resize(step(x), own.shape[-2:], self.align_corners)
            fused.append(F.relu(total))
        return fused


class BasicBlock(nn.Module):
    """conv3×3 – norm – ReLU – conv3×3 – norm around a skip, then ReLU (ResNet)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(x_BCHW + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x_BCHW))))))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions with norms, four times as wide outside as inside, around a skip (ResNet)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * inner, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * inner)
        same = channels == 4 * inner
        self.downsample = nn.Identity() if same else nn.Sequential(*_conv_norm(channels, 4 * inner, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x_BCHW)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + self.downsample(x_BCHW))


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Steps from the branches of one stage to those of the next: one more, half as large as the smallest."""
    steps = nn.ModuleList()
    for branch, channels in enumerate(after):
        if branch >= len(before):
            grown = nn.Sequential(*_conv_norm(before[-1], channels, 3, 2), nn.ReLU())
            steps.append(nn.Sequential(grown))
        elif before[branch] == channels:
            steps.append(nn.Identity())
        else:
            steps.append(nn.Sequential(*_conv_norm(before[branch], channels, 3, 1), nn.ReLU()))
    return steps


def _resampling(source: int, target: int, channels: Sequence[int]) -> nn.Module:
    """From one branch to another: a 1×1 convolution up (resizing follows), strided ones down, nothing to itself."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*_conv_norm(channels[source], channels[target], 1, 1))
    halvings: list[nn.Module] = [
        nn.Sequential(*_conv_norm(channels[source], channels[source], 3, 2), nn.ReLU())
        for _ in range(target - source - 1)
    ]
    return nn.Sequential(*halvings, nn.Sequential(*_conv_norm(channels[source], channels[target], 3, 2)))


def _conv_norm(channels: int, out: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out)


def _resize(x_BCHW: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    if x_BCHW.shape[-2:] == tuple(size):
        return x_BCHW
    return F.interpolate(x_BCHW, size=tuple(size), mode="bilinear", align_corners=align_corners)
