"""A cell's network: backbone F, and refiner R where the variant has one, under the variant's regime.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from harness.api.parts import Capabilities, Restored
from harness.api.reference import PartRef, Placement
from harness.core.errors import HarnessError
from harness.core.identity import seed
from harness.core.registry import Registry
from harness.models.freeze import freeze
from harness.models.weights import fill, read_state
from harness.parts.taps import edited, tapped
from harness.spec.cell import Cell, Variant

T = TypeVar("T")

BACKBONE = "backbone."
"""Prefix of the backbone's entries in a model's state dict."""


class RestorationModel(nn.Module):
    """F alone, or F and R. Its state dict is what a cell's checkpoint holds.

    With `frozen`, F takes no part in training: no gradients, and evaluation mode even after `train()`. With `tap`, R
    edits that module's output inside F, so that F's result is the refined restoration; eq. 8 then has one term.
    """

    def __init__(
        self, backbone: nn.Module, refiner: nn.Module | None = None, *, frozen: bool = False, tap: str | None = None
    ) -> None:
        super().__init__()
        self.backbone = freeze(backbone) if frozen else backbone
        self.refiner = refiner
        self.frozen = frozen
        self.tap = tap

    @property
    def capabilities(self) -> Capabilities:
        """The backbone's, with a size multiple that suits the refiner too."""
        own = _capabilities(self.backbone)
        other = 1 if self.tap else getattr(self.refiner, "size_multiple", 1)
        return replace(own, size_multiple=lcm(own.size_multiple, other), min_size=max(own.min_size, other))

    @property
    def size_multiple(self) -> int:
        return self.capabilities.size_multiple

    def parameter_counts(self) -> tuple[int, int]:
        """Parameters of the backbone, and those that the refiner adds; frozen ones count."""
        return _count(self.backbone), _count(self.refiner) if self.refiner is not None else 0

    def train(self, mode: bool = True) -> RestorationModel:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, lq_BCHW: Tensor, prior_BD: Tensor | None = None) -> Restored:
        """Degraded images, sides multiples of `size_multiple`, and their prior vectors where there is a refiner."""
        if self.refiner is not None and prior_BD is None:
            raise HarnessError(f"{type(self.refiner).__name__} needs the images' prior vectors")
        if self.refiner is not None and self.tap is not None:
            # A frozen F still carries gradients from its result to R inside it.
            edit: Callable[[Tensor, Tensor | None], Tensor] = self.refiner.edit  # type: ignore[assignment]
            with edited(self.backbone, self.tap, lambda features: edit(features, prior_BD)):
                return Restored(self.backbone(lq_BCHW))
        with torch.no_grad() if self.frozen else nullcontext():
            initial_BCHW = self.backbone(lq_BCHW)
        if self.refiner is None:
            return Restored(initial_BCHW)
        return Restored(initial_BCHW, self.refiner(lq_BCHW, initial_BCHW, prior_BD))


def build_model(cell: Cell, registry: Registry, prior_dim: int | None) -> RestorationModel:
    """The cell's network with fresh weights; `prior_dim` is the width D of its prior's vectors.

    Weights depend on the cell alone, and the process's random state is left as it was. The regimes `from_base` and
    `frozen` still need `start_from_base`. Raises HarnessError for what cannot be put together.
    """
    if cell.backbone is None:
        raise HarnessError(f"cell {cell.id} is the degraded input: it has no network")
    backbone = _seeded(seed("init", cell.id), _maker(registry, "backbone", cell.backbone))
    tap = _deepest_tap(backbone) if cell.variant.placement == "features" else None
    refiner = _build_refiner(cell, registry, prior_dim, _channels(backbone, tap) if tap else None)
    return RestorationModel(backbone, refiner, frozen=cell.variant.regime == "frozen", tap=tap)


def start_from_base(model: RestorationModel, checkpoint: Path) -> None:
    """Gives the model's backbone the trained weights of its base cell's checkpoint.

    Raises DataError (kind `checkpoint`) when the file is missing, damaged, or of another backbone.
    """
    state = read_state(checkpoint)
    backbone = {key.removeprefix(BACKBONE): state[key] for key in state if key.startswith(BACKBONE)}
    fill(model.backbone, backbone, where=str(checkpoint))


def _capabilities(backbone: nn.Module) -> Capabilities:
    can: Capabilities = backbone.capabilities  # type: ignore[assignment]
    return can


def _deepest_tap(backbone: nn.Module) -> str:
    taps = _capabilities(backbone).taps
    if not taps:
        raise HarnessError(f"{type(backbone).__name__} declares no tap", hint="placement: image")
    return taps[-1]


def _channels(backbone: nn.Module, tap: str) -> int:
    """Channels of a tap's map, found by restoring the smallest image."""
    can = _capabilities(backbone)
    side = -(-max(can.min_size, 16) // can.size_multiple) * can.size_multiple
    training = backbone.training
    with tapped(backbone.eval(), tap) as features, torch.no_grad(), torch.random.fork_rng(devices=[]):
        backbone(torch.full((1, can.channels_in, side, side), 0.5))
    backbone.train(training)
    return features[0].shape[1]


def _build_refiner(cell: Cell, registry: Registry, prior_dim: int | None, channels: int | None) -> nn.Module | None:
    variant = cell.variant
    if variant.refiner is None:
        return None
    if prior_dim is None:
        raise HarnessError(f"refiner {variant.refiner.name!r} needs a prior", hint="give the variant a `prior`")
    _check_placement(variant, registry.load("refiner", variant.refiner.name))
    given = (prior_dim,) if channels is None else (prior_dim, channels)
    return _seeded(seed("init", cell.id, "refiner"), _maker(registry, "refiner", variant.refiner, *given))


def _check_placement(variant: Variant, refiner: type) -> None:
    supported: tuple[Placement, ...] = getattr(refiner, "placements", ("image",))
    if variant.placement not in supported:
        raise HarnessError(
            f"{refiner.__name__} cannot be placed on {variant.placement!r}",
            hint="supported: " + ", ".join(supported),
        )


def _maker(registry: Registry, kind: str, part: PartRef, *given: int) -> Callable[[], nn.Module]:
    return lambda: registry.load(kind, part.name)(*given, **part.arguments)


def _seeded(number: int, make: Callable[[], T]) -> T:
    """What `make` gives under that seed of the CPU's generator, whose state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        return make()


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
