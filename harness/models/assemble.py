"""A cell's network: backbone F, and refiner R where the variant has one, under the variant's regime.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import Any, TypeVar

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

    With `frozen`, F takes no part in training: no gradients, and evaluation mode even after `train()`. With `taps`, R
    edits those modules' outputs inside F, so that F's result is the refined restoration; eq. 8 then has one term.
    """

    def __init__(
        self,
        backbone: nn.Module,
        refiner: nn.Module | None = None,
        *,
        frozen: bool = False,
        taps: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.backbone = freeze(backbone) if frozen else backbone
        self.refiner = refiner
        self.frozen = frozen
        self.taps = tuple(taps)

    @property
    def reads_truth(self) -> bool:
        """Whether training has to give the truth to `forward`."""
        return bool(getattr(self.refiner, "reads_truth", False))

    @property
    def capabilities(self) -> Capabilities:
        """The backbone's, with a size multiple that suits the refiner too."""
        own = _capabilities(self.backbone)
        whole_map = self.taps and not getattr(self.refiner, "edits_decoder", False)
        other = 1 if whole_map else getattr(self.refiner, "size_multiple", 1)
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

    def forward(self, lq_BCHW: Tensor, prior_BD: Tensor | None = None, truth_BCHW: Tensor | None = None) -> Restored:
        """Degraded images, sides multiples of `size_multiple`, and their prior vectors where the refiner needs them.

        `truth_BCHW`: for a refiner that reads it in training. What the networks' `outputs` give beside restorations is
        in `made`, in training only.
        """
        refiner = self.refiner
        if refiner is not None and prior_BD is None and getattr(refiner, "needs_prior", True):
            raise HarnessError(f"{type(refiner).__name__} needs the images' prior vectors")
        if refiner is not None and self.taps:
            edits, made = _edits(refiner, lq_BCHW, prior_BD, truth_BCHW)
            with ExitStack() as stack:
                for tap, edit in zip(self.taps, edits, strict=True):
                    stack.enter_context(edited(self.backbone, tap, edit))
                # A frozen F still carries gradients from its result to R inside it.
                restored_BCHW, inside = self._run(self.backbone, lq_BCHW)
            return Restored(restored_BCHW, made=inside | dict(made))
        with torch.no_grad() if self.frozen else nullcontext():
            initial_BCHW, made = self._run(self.backbone, lq_BCHW)
        if refiner is None:
            return Restored(initial_BCHW, made=made)
        refined_BCHW, more = self._run(refiner, lq_BCHW, initial_BCHW, prior_BD)
        return Restored(initial_BCHW, refined_BCHW, made | more)

    def _run(self, network: nn.Module, *given: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """A network's restoration, and in training whatever else it says it made."""
        outputs: Callable[..., dict[str, Any]] | None = getattr(network, "outputs", None) if self.training else None
        if outputs is None:
            return network(*given), {}
        made = dict(outputs(*given))
        return made.pop("restored"), made


def build_model(cell: Cell, registry: Registry, prior_dim: int | None) -> RestorationModel:
    """The cell's network with fresh weights; `prior_dim` is the width D of its prior's vectors.

    Weights depend on the cell alone, and the process's random state is left as it was. The regimes `from_base` and
    `frozen` still need `start_from_base`. Raises HarnessError for what cannot be put together.
    """
    if cell.backbone is None:
        raise HarnessError(f"cell {cell.id} is the degraded input: it has no network")
    backbone = _seeded(seed("init", cell.id), _maker(registry, "backbone", cell.backbone))
    if cell.variant.refiner is None:
        return RestorationModel(backbone)
    kind = registry.load("refiner", cell.variant.refiner.name)
    _check_placement(cell.variant, kind)
    given: list[Any] = []
    if getattr(kind, "needs_prior", True):
        if prior_dim is None:
            what = f"refiner {cell.variant.refiner.name!r} needs a prior"
            raise HarnessError(what, hint="give the variant a `prior`")
        given.append(prior_dim)
    taps = (
        _taps(backbone, decoder=getattr(kind, "edits_decoder", False)) if cell.variant.placement == "features" else ()
    )
    if taps:
        channels = _channels(backbone, taps)
        given.append(channels if getattr(kind, "edits_decoder", False) else channels[-1])
    made = _maker(registry, "refiner", cell.variant.refiner, *given)
    refiner = _seeded(seed("init", cell.id, "refiner"), made)
    return RestorationModel(backbone, refiner, frozen=cell.variant.regime == "frozen", taps=taps)


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


def _edits(
    refiner: nn.Module, lq_BCHW: Tensor, prior_BD: Tensor | None, truth_BCHW: Tensor | None
) -> tuple[Sequence[Callable[[Tensor], Tensor]], dict[str, Any]]:
    """What a refiner does to each tap, and what its losses read."""
    module: Any = refiner
    if getattr(refiner, "edits_decoder", False):
        edits, made = module.edits(lq_BCHW, prior_BD, truth_BCHW)
        return edits, made
    return [lambda features: module.edit(features, prior_BD)], {}


def _taps(backbone: nn.Module, *, decoder: bool) -> tuple[str, ...]:
    """The modules that a refiner on `features` edits: the deepest tap, or every decoder feature."""
    can = _capabilities(backbone)
    taps = can.decoder if decoder else can.taps[-1:]
    if not taps:
        what = "decoder features" if decoder else "tap"
        hint = "another backbone, such as restormer" if decoder else "another backbone, or placement: image"
        raise HarnessError(f"{type(backbone).__name__} declares no {what}", hint=hint)
    return taps


def _channels(backbone: nn.Module, taps: Sequence[str]) -> tuple[int, ...]:
    """Channels of the taps' maps, found by restoring the smallest image."""
    can = _capabilities(backbone)
    side = -(-max(can.min_size, 16) // can.size_multiple) * can.size_multiple
    training = backbone.training
    with ExitStack() as stack:
        maps = [stack.enter_context(tapped(backbone, tap)) for tap in taps]
        stack.enter_context(torch.random.fork_rng(devices=[]))
        with torch.no_grad():
            backbone.eval()(torch.full((1, can.channels_in, side, side), 0.5))
    backbone.train(training)
    return tuple(features[0].shape[1] for features in maps)


def _check_placement(variant: Variant, refiner: type) -> None:
    supported: tuple[Placement, ...] = getattr(refiner, "placements", ("image",))
    if variant.placement not in supported:
        raise HarnessError(
            f"{refiner.__name__} cannot be placed on {variant.placement!r}",
            hint="supported: " + ", ".join(supported),
        )


def _maker(registry: Registry, kind: str, part: PartRef, *given: Any) -> Callable[[], nn.Module]:
    return lambda: registry.load(kind, part.name)(*given, **part.arguments)


def _seeded(number: int, make: Callable[[], T]) -> T:
    """What `make` gives under that seed of the CPU's generator, whose state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        return make()


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
