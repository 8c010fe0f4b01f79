"""Cells built and run once before anything is trained.

It finds what only a built network shows: options that do not fit together, patches that it does not take, taps
that it does not have, losses that read what it does not give. No file of weights is read and no random state is
changed. Small networks run on the CPU, one image in one thread: an operation takes microseconds there. On PyTorch's
`meta` device, which knows shapes and no numbers, it takes 150 of them whatever its size: large networks run there. What
cannot run there, such as a network whose steps depend on pixels, runs on the CPU with one patch as small as it takes.
Parts of the user's own run on the CPU alone: what they import meanwhile keeps its numbers, for all that runs later.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import nn

from harness.api.backbone import Backbone, Capabilities
from harness.api.declaration import declaration
from harness.api.prior import PriorDim
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.patches import sides_of
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.models.assemble import RestorationModel, put_together
from harness.models.fits import misfits, tiles
from harness.models.fresh import seeded
from harness.models.priors import gives_maps
from harness.parts.guard import made
from harness.spec.options import refers_to
from harness.training.building import KEPT, Device, as_it_was, built, imported, parameters, quiet
from harness.training.faults import Fault, Found, Unknowable, blamed
from harness.training.rehearsal import (
    MOST_BATCH,
    SMALLEST,
    Size,
    has_guests,
    pixels,
    rehearse,
    settings_of,
    whole_sides,
)
from harness.weights.files import needed_files

STAND_IN = 512
"""Width of the vectors of a prior that cannot be asked without its weights."""
STAND_IN_MAP = (512, 7, 7)

LIGHT = 5e9
"""Parameters times pixels of a batch up to which a network runs on the CPU at once."""
HEAVY = 1e11
"""The same for a network that does not run on `meta`, and for one with parts of the user's own."""
MOST_PIXELS = 400_000
"""Pixels of the largest batch that runs on the CPU."""

FULL = Size()
ONE = Size(images=1)
SOME = Size(images=MOST_BATCH, gradients=True)
SMALL = Size(images=1, smallest=True)


class Trial:
    """Tries cells; what several have in common is tried once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[Fault, ...]] = {}
        self._rehearsed: dict[str, tuple[Fault, ...] | Unknowable] = {}
        self._backbones: dict[tuple[str, Device], nn.Module | Found | Unknowable] = {}

    def faults(self, cell: Cell) -> tuple[Fault, ...]:
        """What is wrong with a cell; nothing for the degraded input."""
        if cell.backbone is None:
            return ()
        key = canonical_json(_content(cell, self._registry))
        if key not in self._known:
            with quiet(), seeded(cell.seed):
                self._known[key] = self._tried(cell, cell.backbone)
        return self._known[key]

    def channels(self, cell: Cell) -> tuple[int, int] | None:
        """How many channels a cell's network reads and gives; None where it has none or cannot be built."""
        if cell.backbone is None:
            return None
        try:
            with quiet(), seeded(cell.seed):
                guests = has_guests(cell, self._registry)
                backbone = self._backbone("cpu", cell.backbone) if guests else self._kept(cell.backbone)
        except (Found, Unknowable):
            return None
        can = cast(Backbone, backbone).capabilities
        return can.channels_in, can.channels_out

    def _tried(self, cell: Cell, ref: PartRef) -> tuple[Fault, ...]:
        guests = has_guests(cell, self._registry)
        try:
            count = parameters(self._backbone("cpu", ref) if guests else self._kept(ref))
        except Found as error:
            return (error.fault,)
        except Unknowable:
            return ()
        most = pixels(cell, self._registry)
        work = count * most if most <= MOST_PIXELS else math.inf
        if guests:
            return self._guarded(cell, SOME if work <= HEAVY else replace(SMALL, gradients=True)) or ()
        if work <= LIGHT:
            found = self._guarded(cell, ONE)
            # Some layers and losses compare images: what fails for one is only believed when it fails for more.
            found = self._guarded(cell, SOME) if _is_doubted(found) else found
            if found is not None:
                return found
        found = self._guarded(cell, FULL, "meta")
        if found is None and count * SMALLEST**2 <= HEAVY:
            found = self._guarded(cell, SMALL)
            if _is_doubted(found) and work > HEAVY:  # perhaps the patch is at fault, which is not the recipe's
                return ()
        # What fails without numbers, or on another patch, is only believed when it fails with the recipe's.
        return (self._guarded(cell, SOME) or ()) if _is_doubted(found) and work <= HEAVY else found or ()

    def _guarded(self, cell: Cell, size: Size, device: Device = "cpu") -> tuple[Fault, ...] | None:
        """What is wrong on a device; None where that cannot be known."""
        try:
            return self._on(device, cell, size)
        except Unknowable:
            return None

    def _on(self, device: Device, cell: Cell, size: Size) -> tuple[Fault, ...]:
        """What is wrong. Cells that differ only in priors of the same width are rehearsed once."""
        try:
            with torch.device(device), ExitStack() as stack:
                backbone = self._bare(device, cell, stack)
                dim = self._dim(device, cell)
                told = _content(cell, self._registry)
                own = {name: each for name, each in told.items() if name not in ("prior", "source")}
                key = canonical_json([device, str(size), dim, cell.variant.prior is None, own])
                if key not in self._rehearsed:
                    try:
                        self._rehearsed[key] = self._rehearse(device, cell, size, backbone, dim)
                    except Unknowable as error:
                        self._rehearsed[key] = error
        except Found as found:
            return (found.fault,)
        if isinstance(known := self._rehearsed[key], Unknowable):
            raise known
        return known

    def _rehearse(
        self, device: Device, cell: Cell, size: Size, backbone: nn.Module, dim: PriorDim | None
    ) -> tuple[Fault, ...]:
        model = self._whole(device, cell, backbone, dim)
        wrong = tuple(Fault("recipe", each.what, each.hint, "", each.field) for each in misfits(cell, model))
        if not wrong:
            rehearse(cell, model, dim, self._registry, size)
        return wrong

    def _bare(self, device: Device, cell: Cell, stack: ExitStack) -> nn.Module:
        """The cell's backbone, when its refiner can be built too. `stack`: gets what makes it as it was."""
        ref, refiner = cell.backbone, cell.variant.refiner
        assert ref is not None, cell.id
        backbone = self._backbone(device, ref)
        stack.callback(as_it_was, backbone, {name: each.requires_grad for name, each in backbone.named_parameters()})
        try:
            if refiner is not None:
                self._needs_no_files("refiner", refiner)
        except Unknowable:
            for misfit in tiles(cell, cast(Backbone, backbone).capabilities):
                raise Found(Fault("recipe", misfit.what, misfit.hint, "", misfit.field)) from None
            raise
        return backbone

    def _whole(self, device: Device, cell: Cell, backbone: nn.Module, dim: PriorDim | None) -> RestorationModel:
        """The cell's network. `dim`: what its refiner is told of its prior."""
        ref, refiner, registry = cell.backbone, cell.variant.refiner, self._registry
        assert ref is not None, cell.id
        if refiner is None:
            return put_together(cell, backbone, registry, None)

        def fresh(kind: str, part: PartRef, number: int, make: Callable[[], nn.Module]) -> nn.Module:
            with blamed("refiner", part, registry, f"cannot be built for the backbone {ref.name}"):
                imported(registry, "refiner", part.name)
                return built(make, device)

        with blamed("backbone", ref, registry, f"cannot have the refiner {refiner.name}"):
            return put_together(cell, backbone, registry, dim, fresh)

    def _backbone(self, device: Device, ref: PartRef) -> nn.Module:
        """The backbone on a device, the same for all cells."""
        if device == "meta":
            return self._kept(ref)
        key: tuple[str, Device] = (_key(ref), "cpu")
        if key not in self._backbones:
            module = self._built(ref, "cpu")
            if parameters(module) > KEPT:
                return module
            self._backbones[key] = module
        return cast(nn.Module, self._backbones[key])

    def _kept(self, ref: PartRef) -> nn.Module:
        """The backbone without numbers, built once. Raises Found and Unknowable."""
        key: tuple[str, Device] = (_key(ref), "meta")
        if key not in self._backbones:
            try:
                self._backbones[key] = self._built(ref, "meta")
            except (Found, Unknowable) as error:
                self._backbones[key] = error
        found = self._backbones[key]
        if not isinstance(found, nn.Module):
            raise found
        return found

    def _built(self, ref: PartRef, device: Device) -> nn.Module:
        self._needs_no_files("backbone", ref)
        with blamed("backbone", ref, self._registry, "cannot be built"):
            imported(self._registry, "backbone", ref.name)
            backbone = built(lambda: made(self._registry, "backbone", ref.name, **ref.arguments), device)
            if not isinstance(cast(Backbone, backbone).capabilities, Capabilities):
                raise TypeError("it has `capabilities`, a Capabilities")
        return backbone

    def _needs_no_files(self, kind: Literal["backbone", "refiner"], ref: PartRef) -> None:
        """Raises Unknowable for a part that reads files of weights when it is built: they are planning's matter."""
        declared = declaration(self._registry, kind, ref.name)
        with blamed(kind, ref, self._registry, "cannot be built"):
            files = needed_files(declared.traits, declared.filled(ref.arguments), f"{kind} {ref.name}")
        if files:
            raise Unknowable(f"{kind} {ref.name} reads files of weights")

    def _dim(self, device: Device, cell: Cell) -> PriorDim | None:
        """What the refiner is told of its prior."""
        prior = cell.variant.prior
        if prior is None:
            return None
        maps = gives_maps(prior, self._registry)
        while prior.derived_from is not None:
            prior = prior.derived_from
        declared = declaration(self._registry, "prior", prior.name)
        if needed_files(declared.traits, declared.filled(prior.arguments), f"prior {prior.name}"):
            return STAND_IN_MAP if maps else STAND_IN
        given: list[nn.Module] = []
        options = dict(prior.arguments)
        with ExitStack() as stack, torch.device("cpu"):
            for option in declared.options.values():
                if refers_to(option) == "CellRef" and cell.prior_source is not None:
                    options[option.name] = cell.prior_source.id
                    source = cell.prior_source
                    network = self._whole(device, source, self._bare(device, source, stack), self._dim(device, source))
                    given.append(network)
            with blamed("prior", prior, self._registry, "cannot be built"), torch.device(device if given else "cpu"):
                imported(self._registry, "prior", prior.name)
                found = made(self._registry, "prior", prior.name, *given, **options)
                return cast(PriorDim, found.shape) if maps else int(found.dim)


def _is_doubted(found: tuple[Fault, ...] | None) -> bool:
    """Whether something failed that may not fail in training: all but what contradicts the parts' own words."""
    return any(fault.kind != "recipe" for fault in found or ())


def _key(ref: PartRef) -> str:
    return canonical_json([ref.name, ref.arguments])


def _content(cell: Cell, registry: Registry) -> Mapping[str, Any]:
    """All that a trial depends on: neither the images nor the seed."""
    assert cell.backbone is not None, cell.id
    variant, recipe = cell.variant, cell.recipe
    source = cell.prior_source
    whole = whole_sides(cell, registry)
    stages = [
        (sides_of(stage.patch) or ["whole", *whole], stage.batch, stage.micro_batch, stage.trains, _terms(stage.losses))
        for stage in recipe.parts
    ]
    return {
        "backbone": [cell.backbone.name, cell.backbone.arguments],
        "refiner": variant.refiner and [variant.refiner.name, variant.refiner.arguments],
        "prior": variant.prior and variant.prior.model_dump(mode="json", exclude={"digest"}),
        "source": source and source.backbone and [source.backbone.name, source.backbone.arguments],
        "how": [variant.placement, variant.regime == "frozen", cell.ready_made],
        "stages": [] if cell.ready_made else stages,
        "settings": settings_of(cell, registry),
        "altered": [recipe.alters_inputs, recipe.grain is not None and recipe.grain.truth],
        "modules": [recipe.rates, [stage.trains for stage in recipe.stages]],
        "own": [_terms(variant.losses), [(stage.trains, _terms(stage.losses)) for stage in variant.stages]],
        "refined_weight": recipe.refined_weight,
    }


def _terms(terms: Any) -> list[Any]:
    return [term.model_dump(mode="json") for term in terms or ()]
