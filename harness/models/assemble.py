"""A cell's network: backbone F, and refiner R where the variant has one, under the variant's regime.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from math import lcm
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from harness.api.backbone import Backbone, Capabilities, Guided, WithOutputs
from harness.api.batch import Restored
from harness.api.declaration import declaration
from harness.api.prior import PriorDim
from harness.api.reference import PartRef
from harness.api.refiner import Refiner, RefinerTraits
from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.models.apart import in_evaluation, own_draws
from harness.models.boundary import Edits, How, as_written, guarded
from harness.models.declared import dim_told, passes_of, shows_truth
from harness.models.edited import channels_of, taps_of
from harness.models.freeze import freeze
from harness.models.fresh import fresh_module, fresh_whole
from harness.models.weights import fill
from harness.parts.guard import capabilities_of, check_restored, made_module
from harness.parts.shared.formats import read_checkpoint

Shared = Callable[..., tuple[Tensor, dict[str, Any]]]

BACKBONE = "backbone."
"""Prefix of the backbone's entries in a model's state dict."""


class RestorationModel(nn.Module):
    """F alone, or F and R. Its state dict is what a cell's checkpoint holds.

    With `frozen`, F takes no part in training: no gradients, and evaluation mode even after `train()`. With `taps`, R
    edits those modules' outputs inside F, so that F's result is the refined restoration, and the only one.
    `reads_truth`: whether training has to give the truth to `forward`, for R; `shows_truth`: when F has to see it,
    which makes `reads_truth` true as well, and with "test" `reads_truth_at_test`. `passes`: how often F runs with R's
    edits of its decoder (harness.api.refiner.DecoderEditor). `prior_shape`: D, rows and columns of a prior's maps,
    which R gets flattened; None where it gets vectors. `told`: settings of the degradation of which F gets every
    image's value. `on_images`: what R declares where it reads images; else None. `how`: how F and R are computed.
    """

    def __init__(
        self,
        backbone: nn.Module,
        refiner: nn.Module | None = None,
        *,
        frozen: bool = False,
        taps: Sequence[str] = (),
        reads_truth: bool = False,
        shows_truth: Collection[Literal["training", "test"]] = (),
        passes: int = 1,
        prior_shape: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = freeze(backbone) if frozen else backbone
        self.refiner = refiner
        self.frozen = frozen
        self.taps = tuple(taps)
        self.reads_truth = reads_truth or bool(shows_truth)
        self.reads_truth_at_test = "test" in shows_truth
        self._backbone_learns_truth = bool(shows_truth)
        self._refiner_reads_truth = reads_truth
        self.prior_shape = prior_shape
        self.one_pass: Shared | None = None
        """Where several models compute a frozen F once for all: what stands in for `_restored`, given F, it, and what
        it is given."""
        self.passes = passes
        self.told = capabilities_of(backbone).told
        self._backbone_traits = cast(Backbone, backbone).traits
        self._refiner_traits = RefinerTraits() if refiner is None else cast(Refiner, refiner).traits
        self.on_images = None if refiner is None or self.taps else self._refiner_traits
        self.edits_decoder = bool(taps) and self._refiner_traits.edits == "decoder"
        self.how: How = as_written

    @property
    def capabilities(self) -> Capabilities:
        """The backbone's, with a size multiple that suits the refiner too."""
        own = capabilities_of(self.backbone)
        # A refiner of one tap takes the map as it comes; what it asks for concerns images.
        other = 1 if self.taps and not self.edits_decoder else self._refiner_traits.size_multiple
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

    def forward(
        self,
        lq_BCHW: Tensor,
        prior_BD: Tensor | None = None,
        truth_BCHW: Tensor | None = None,
        settings: Mapping[str, Tensor] | None = None,
        guide_BCHW: Tensor | None = None,
    ) -> Restored:
        """Degraded images, sides multiples of `size_multiple`, and their prior vectors where the refiner needs them.

        `truth_BCHW`: for networks that read it. `settings`: one value an image of what the images were made with, for
        networks that are told (`told`); None where they were made with nothing, as when costs are measured.
        `guide_BCHW`: the map that guides F in test, where it is not that of these images (`guide`). What the
        networks give beside restorations is in `outputs`: F's and R's own in training only. Raises HarnessError when
        the refiner lacks its prior vectors, or F a setting.
        """
        refiner, given = self.refiner, (truth_BCHW, self._told(settings), guide_BCHW)
        if refiner is not None and prior_BD is None and self._refiner_traits.needs_prior:
            raise HarnessError(f"{type(refiner).__name__} needs the images' prior vectors")
        if refiner is not None and self.taps:
            return self._edited(refiner, lq_BCHW, prior_BD, *given)
        with torch.no_grad() if self.frozen else nullcontext():
            work = self._restored if self.one_pass is None else partial(self.one_pass, self.backbone, self._restored)
            initial_BCHW, outputs = work(lq_BCHW, *given)
        if refiner is None:
            return Restored(initial_BCHW, outputs=outputs)
        refined_BCHW, more = self._run(refiner, self._refiner_traits.outputs, lq_BCHW, initial_BCHW, prior_BD)
        return Restored(initial_BCHW, refined_BCHW, outputs | more)

    def _told(self, settings: Mapping[str, Tensor] | None) -> tuple[Tensor | None, ...]:
        """The settings that F is told, in its order."""
        if settings is None:
            return (None,) * len(self.told)
        assumed = capabilities_of(self.backbone).assumes
        if lacking := [name for name in self.told if name not in settings and name not in assumed]:
            what = f"{type(self.backbone).__name__} is told {lacking[0]} of every image, which these images do not have"
            raise HarnessError(what, hint=f"give the backbone one {lacking[0]}, or none: {lacking[0]}: null")
        return tuple(settings.get(name) for name in self.told)

    def guide(self, lq_BCHW: Tensor) -> Tensor | None:
        """The map of whole images that guides F; None where nothing does."""
        guided = self._backbone_traits.guided
        return guarded(self.backbone, cast(Guided, self.backbone).guide, lq_BCHW) if guided else None

    def _restored(
        self,
        lq_BCHW: Tensor,
        truth_BCHW: Tensor | None,
        told_B: tuple[Tensor | None, ...],
        guide_BCHW: Tensor | None,
    ) -> tuple[Tensor, dict[str, Any]]:
        given = (*self._shown(truth_BCHW), *told_B)
        if guide_BCHW is not None:
            restored = guarded(self.backbone, cast(Guided, self.backbone).guided, lq_BCHW, guide_BCHW, *given)
            return check_restored(self.backbone, restored, lq_BCHW, self.capabilities.channels_out), {}
        return self._run(self.backbone, self._backbone_traits.outputs, lq_BCHW, *given)

    def _shown(self, truth_BCHW: Tensor | None) -> tuple[Tensor | None, ...]:
        """The truth, if F sees it now. A frozen F sees in training what it sees in test."""
        learns = self._backbone_learns_truth and self.backbone.training
        return (truth_BCHW,) if learns or self.reads_truth_at_test else ()

    def _run(self, network: nn.Module, has_outputs: bool, *given: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """A network's restoration, and in training what else it gives its losses."""
        outputs: dict[str, Any] = {}
        if has_outputs and self.training:
            work = self.how(network, cast(WithOutputs, network).outputs)
            outputs = guarded(network, lambda *given: dict(work(*given)), *given)
            restored = outputs.pop("restored", None)
        else:
            restored = guarded(network, self.how(network, network), *given)
        lq_BCHW = cast(Tensor, given[0])
        return check_restored(network, restored, lq_BCHW, capabilities_of(self.backbone).channels_out), outputs

    def _edited(
        self,
        refiner: nn.Module,
        lq_BCHW: Tensor,
        prior_BD: Tensor | None,
        truth_BCHW: Tensor | None,
        told_B: tuple[Tensor | None, ...],
        guide_BCHW: Tensor | None,
    ) -> Restored:
        """F's restoration with R's edits inside it, of the last pass. The passes before it are as in evaluation."""
        before_BCHW: Tensor | None = None
        read_BCHW = truth_BCHW if self._refiner_reads_truth and self.training else None
        for number in range(self.passes - 1 if read_BCHW is None else 0):
            with torch.no_grad(), in_evaluation(self), own_draws(f"pass {number}"):
                edits = self._edits(refiner, lq_BCHW, prior_BD, None, before_BCHW)
                with edits.inside(self.backbone, training=False):
                    before_BCHW, _outputs = self._restored(lq_BCHW, truth_BCHW, told_B, guide_BCHW)
        with own_draws("edits") if self.training else nullcontext():
            edits = self._edits(refiner, lq_BCHW, prior_BD, read_BCHW, before_BCHW)
        with edits.inside(self.backbone, training=self.training):
            # A frozen F still carries gradients from its result to R inside it.
            restored_BCHW, outputs = self._restored(lq_BCHW, truth_BCHW, told_B, guide_BCHW)
        return Restored(restored_BCHW, outputs=outputs | edits.known)

    def _edits(
        self,
        refiner: nn.Module,
        lq_BCHW: Tensor,
        prior_BD: Tensor | None,
        truth_BCHW: Tensor | None,
        before_BCHW: Tensor | None,
    ) -> Edits:
        given = lq_BCHW, prior_BD, truth_BCHW, before_BCHW
        return Edits(refiner, self.taps, *given, decoder=self.edits_decoder, how=self.how)


def build_model(cell: Cell, registry: Registry, prior_dim: PriorDim | None) -> RestorationModel:
    """The cell's network with fresh weights; `prior_dim` is the width D of its prior's vectors, or its maps' shape.

    What cells have in common starts from the same weights (harness.models.fresh). The process's random state is left as
    it was. The regimes `from_base` and `frozen` still need `start_from_base`. Raises HarnessError for what cannot be
    put together.
    """
    if cell.backbone is None:
        raise HarnessError(f"cell {cell.id} is the degraded input: it has no network")
    backbone = fresh_whole("backbone", cell.backbone, cell.seed, _maker(registry, "backbone", cell.backbone))
    return put_together(cell, backbone, registry, prior_dim)


Fresh = Callable[[str, PartRef, int, Callable[[], nn.Module]], nn.Module]
"""(kind, part, seed, what builds it) to the part with fresh weights."""


def put_together(
    cell: Cell, backbone: nn.Module, registry: Registry, prior_dim: PriorDim | None, fresh: Fresh = fresh_module
) -> RestorationModel:
    """A backbone and the cell's refiner as one network. `fresh`: how the refiner is built; raises as `build_model`."""
    assert cell.backbone is not None, cell.id
    truth = shows_truth(cell.backbone, registry)
    ref, placement = cell.variant.refiner, cell.variant.placement
    if ref is None:
        return RestorationModel(backbone, shows_truth=truth)
    declared = declaration(registry, "refiner", ref.name)
    traits = declared.traits
    if placement not in traits.placements:
        what = f"the refiner {ref.name} cannot be placed on {placement!r}"
        raise HarnessError(what, hint="placement: " + " or ".join(traits.placements))
    given: list[Any] = [dim_told(prior_dim, declared, ref)] if traits.needs_prior else []
    taps: tuple[str, ...] = ()
    if placement == "features":
        taps = taps_of(backbone, traits, cell.backbone.name)
        channels = channels_of(backbone, taps, cell.backbone.name)
        given.append(channels if traits.edits == "decoder" else channels[-1])
    refiner = fresh("refiner", ref, cell.seed, _maker(registry, "refiner", ref, *given))
    return RestorationModel(
        backbone,
        refiner,
        frozen=cell.variant.regime == "frozen",
        taps=taps,
        reads_truth=declared.holds(traits.reads_truth, ref.arguments),
        shows_truth=truth,
        passes=passes_of(declared, ref),
        prior_shape=prior_dim if isinstance(prior_dim, tuple) else None,
    )


def start_from_base(model: RestorationModel, checkpoint: Path) -> None:
    """Gives the model's backbone the trained weights of its base cell's checkpoint.

    Raises DataError (kind `checkpoint`) when the file is missing, damaged, or of another backbone.
    """
    state = read_checkpoint(checkpoint)
    backbone = {key.removeprefix(BACKBONE): state[key] for key in state if key.startswith(BACKBONE)}
    fill(model.backbone, backbone, where=str(checkpoint))


def _maker(registry: Registry, kind: str, part: PartRef, *given: Any) -> Callable[[], nn.Module]:
    return lambda: made_module(registry, kind, part.name, *given, **part.arguments)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
