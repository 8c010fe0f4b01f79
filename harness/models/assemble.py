"""A cell's network: backbone F, and refiner R where the variant has one, under the variant's regime.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from harness.api.backbone import Backbone, Capabilities, WithOutputs
from harness.api.batch import Restored
from harness.api.declaration import declaration
from harness.api.loading import load_part
from harness.api.reference import PartRef
from harness.api.refiner import DecoderEditor, Refiner, RefinerTraits, TapEditor
from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.identity import seed
from harness.core.registry import Registry
from harness.models.freeze import freeze
from harness.models.weights import fill, read_state
from harness.parts.shared.taps import edited, tapped

T = TypeVar("T")

BACKBONE = "backbone."
"""Prefix of the backbone's entries in a model's state dict."""

PROBE_SIDE = 16
"""Least side, in pixels, of the image by which the channels of taps are found."""


class RestorationModel(nn.Module):
    """F alone, or F and R. Its state dict is what a cell's checkpoint holds.

    With `frozen`, F takes no part in training: no gradients, and evaluation mode even after `train()`. With `taps`, R
    edits those modules' outputs inside F, so that F's result is the refined restoration, and the only one.
    `reads_truth`: whether training has to give the truth to `forward`, for R.
    """

    def __init__(
        self,
        backbone: nn.Module,
        refiner: nn.Module | None = None,
        *,
        frozen: bool = False,
        taps: Sequence[str] = (),
        reads_truth: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = freeze(backbone) if frozen else backbone
        self.refiner = refiner
        self.frozen = frozen
        self.taps = tuple(taps)
        self.reads_truth = reads_truth
        self._backbone_traits = cast(Backbone, backbone).traits
        self._refiner_traits = RefinerTraits() if refiner is None else cast(Refiner, refiner).traits

    @property
    def capabilities(self) -> Capabilities:
        """The backbone's, with a size multiple that suits the refiner too."""
        own = _capabilities(self.backbone)
        # A refiner of one tap takes the map as it comes; what it asks for concerns images.
        edits_tap = bool(self.taps) and self._refiner_traits.edits == "tap"
        other = 1 if edits_tap else self._refiner_traits.size_multiple
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

        `truth_BCHW`: for a refiner that reads it in training. What the networks give beside restorations is in
        `outputs`: F's and R's own in training only. Raises HarnessError when the refiner lacks its prior vectors.
        """
        refiner = self.refiner
        if refiner is not None and prior_BD is None and self._refiner_traits.needs_prior:
            raise HarnessError(f"{type(refiner).__name__} needs the images' prior vectors")
        if refiner is not None and self.taps:
            edits, known = self._edits(refiner, lq_BCHW, prior_BD, truth_BCHW)
            with ExitStack() as stack:
                for tap, edit in zip(self.taps, edits, strict=True):
                    stack.enter_context(edited(self.backbone, tap, edit))
                # A frozen F still carries gradients from its result to R inside it.
                restored_BCHW, outputs = self._restored(lq_BCHW)
            return Restored(restored_BCHW, outputs=outputs | known)
        with torch.no_grad() if self.frozen else nullcontext():
            initial_BCHW, outputs = self._restored(lq_BCHW)
        if refiner is None:
            return Restored(initial_BCHW, outputs=outputs)
        refined_BCHW, more = self._run(refiner, self._refiner_traits.outputs, lq_BCHW, initial_BCHW, prior_BD)
        return Restored(initial_BCHW, refined_BCHW, outputs | more)

    def _restored(self, lq_BCHW: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return self._run(self.backbone, self._backbone_traits.outputs, lq_BCHW)

    def _run(self, network: nn.Module, has_outputs: bool, *given: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """A network's restoration, and in training what else it gives its losses."""
        if not (has_outputs and self.training):
            return network(*given), {}
        outputs = dict(cast(WithOutputs, network).outputs(*given))
        return outputs.pop("restored"), outputs

    def _edits(
        self, refiner: nn.Module, lq_BCHW: Tensor, prior_BD: Tensor | None, truth_BCHW: Tensor | None
    ) -> tuple[Sequence[Callable[[Tensor], Tensor]], dict[str, Any]]:
        """What the refiner does to each tap, and what its losses read."""
        if self._refiner_traits.edits == "decoder":
            return cast(DecoderEditor, refiner).edits(lq_BCHW, prior_BD, truth_BCHW)
        editor = cast(TapEditor, refiner)
        return [lambda features: editor.edit(features, prior_BD)], {}


def build_model(cell: Cell, registry: Registry, prior_dim: int | None) -> RestorationModel:
    """The cell's network with fresh weights; `prior_dim` is the width D of its prior's vectors.

    Weights depend on the cell alone, and the process's random state is left as it was. The regimes `from_base` and
    `frozen` still need `start_from_base`. Raises HarnessError for what cannot be put together.
    """
    if cell.backbone is None:
        raise HarnessError(f"cell {cell.id} is the degraded input: it has no network")
    backbone = _seeded(seed("init", cell.id), _maker(registry, "backbone", cell.backbone))
    ref, placement = cell.variant.refiner, cell.variant.placement
    if ref is None:
        return RestorationModel(backbone)
    kind = load_part(registry, "refiner", ref.name)
    traits: RefinerTraits = kind.traits
    if placement not in traits.placements:
        what = f"{kind.__name__} cannot be placed on {placement!r}"
        raise HarnessError(what, hint="supported: " + ", ".join(traits.placements))
    given: list[Any] = []
    if traits.needs_prior:
        if prior_dim is None:
            raise HarnessError(f"refiner {ref.name!r} needs a prior", hint="give the variant a `prior`")
        given.append(prior_dim)
    taps: tuple[str, ...] = ()
    if placement == "features":
        taps = _taps(backbone, traits)
        channels = _channels(backbone, taps)
        given.append(channels if traits.edits == "decoder" else channels[-1])
    refiner = _seeded(seed("init", cell.id, "refiner"), _maker(registry, "refiner", ref, *given))
    return RestorationModel(
        backbone,
        refiner,
        frozen=cell.variant.regime == "frozen",
        taps=taps,
        reads_truth=_reads_truth(traits, ref, registry),
    )


def start_from_base(model: RestorationModel, checkpoint: Path) -> None:
    """Gives the model's backbone the trained weights of its base cell's checkpoint.

    Raises DataError (kind `checkpoint`) when the file is missing, damaged, or of another backbone.
    """
    state = read_state(checkpoint)
    backbone = {key.removeprefix(BACKBONE): state[key] for key in state if key.startswith(BACKBONE)}
    fill(model.backbone, backbone, where=str(checkpoint))


def _capabilities(backbone: nn.Module) -> Capabilities:
    return cast(Backbone, backbone).capabilities


def _reads_truth(traits: RefinerTraits, ref: PartRef, registry: Registry) -> bool:
    """Whether the refiner, with these options, sees the clean images in training."""
    if traits.reads_truth is None:
        return False
    options = declaration(registry, "refiner", ref.name).options
    return traits.reads_truth.holds({name: option.default for name, option in options.items()} | ref.arguments)


def _taps(backbone: nn.Module, traits: RefinerTraits) -> tuple[str, ...]:
    """The modules that a refiner on `features` edits: the deepest tap, or every decoder feature."""
    can, decoder = _capabilities(backbone), traits.edits == "decoder"
    taps = can.decoder if decoder else can.taps[-1:]
    if not taps:
        what = "decoder features" if decoder else "tap"
        hint = "another backbone, such as restormer" if decoder else "another backbone, or placement: image"
        raise HarnessError(f"{type(backbone).__name__} declares no {what}", hint=hint)
    return taps


def _channels(backbone: nn.Module, taps: Sequence[str]) -> tuple[int, ...]:
    """Channels of the taps' maps, found by restoring a small image."""
    can = _capabilities(backbone)
    side = can.fitting(PROBE_SIDE)
    training = backbone.training
    with ExitStack() as stack:
        maps = [stack.enter_context(tapped(backbone, tap)) for tap in taps]
        stack.enter_context(torch.random.fork_rng(devices=[]))
        with torch.no_grad():
            backbone.eval()(torch.full((1, can.channels_in, side, side), 0.5))
    backbone.train(training)
    return tuple(features[0].shape[1] for features in maps)


def _maker(registry: Registry, kind: str, part: PartRef, *given: Any) -> Callable[[], nn.Module]:
    return lambda: load_part(registry, kind, part.name)(*given, **part.arguments)


def _seeded(number: int, make: Callable[[], T]) -> T:
    """What `make` gives under that seed of the CPU's generator, whose state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        return make()


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
