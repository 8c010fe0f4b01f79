"""Priors, made ready to use: built from their references, frozen, and called one way by training and caching alike."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from harness.api.declaration import declaration
from harness.api.prior import DerivedPrior, MapPrior, Prior, PriorDim
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.errors import DataError, HarnessError
from harness.core.guests import PARTS, contained, guest_place
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.models.assemble import build_model
from harness.models.upstream import load_sound
from harness.parts.guard import called, check_rows, check_width, made
from harness.spec.options import refers_to


def build_prior(ref: PartRef, registry: Registry, *, prior_source: Cell | None, layout: Layout) -> Prior | DerivedPrior:
    """The prior that a reference names, with the trained network of `prior_source` where it wants one.

    Its traits say which of the two it is (`PriorTraits.derived`).

    Raises MissingWeights when its weights are not on this machine, DataError when the source cell's checkpoint is
    missing or damaged, HarnessError when the source is not the cell that the reference was resolved with, SpecErrors
    when the part does not declare what a prior declares.
    """
    options: dict[str, Any] = dict(ref.arguments)
    given: list[nn.Module] = []
    for option in declaration(registry, "prior", ref.name).options.values():
        refers = refers_to(option)
        if refers == "PriorRef":
            options[option.name] = ref.derived_from
        elif refers == "CellRef":
            source = _source(ref, prior_source)
            options[option.name] = source.id
            given.append(_network(source, registry, layout))
    prior = made(registry, "prior", ref.name, *given, **options)
    with contained(owner=prior):
        if isinstance(prior, nn.Module):
            prior.eval().requires_grad_(False)
        if not prior.traits.derived:
            check_width(prior, prior.dim, prior.shape if gives_maps(ref, registry) else None)
    return cast("Prior | DerivedPrior", prior)


def gives_maps(ref: PartRef, registry: Registry) -> bool:
    """Whether the rows of a prior are maps. Those of a control are what the prior is that they are made from."""
    if ref.derived_from is not None:
        return gives_maps(ref.derived_from, registry)
    declared = declaration(registry, "prior", ref.name)
    return declared.holds(declared.traits.maps, ref.arguments)


def dim_of(prior: Prior, ref: PartRef, registry: Registry) -> PriorDim:
    """D of a prior's vectors, or the shape of its maps."""
    return cast(MapPrior, prior).shape if gives_maps(ref, registry) else prior.dim


def encode_exact(prior: Prior | DerivedPrior, lq_BCHW: Tensor, dim: int | None = None, *, waits: bool = True) -> Tensor:
    """Vectors of a batch, B×D float32: the one way to call a prior, for cached and for live features.

    On a CPU the images go through one at a time, because libraries sum in another order for another batch size: so a
    vector does not depend on the batch it was made in, and cached equals live bit for bit (with the same number of
    threads). On a GPU the whole batch goes at once, and equality is up to rounding. Autocast is off. The prior gets
    copies of the images, in RGB (`as_rgb`) unless it takes any. `dim`: the width that every vector has, the prior's own
    at this call when None. `waits`: whether to look at numbers on a GPU, for which the host waits; without, a vector
    that is not finite shows in what is made of it.
    Raises HarnessError for derived priors, which have no vector for a single image, for a vector
    that is not finite, and for rows that are not one float32 vector of the prior's width an image, on its device.
    """
    if prior.traits.derived:
        raise HarnessError(
            f"{type(prior).__name__} is made of other rows and cannot encode images as they come",
            hint="use features: image",
        )
    encoder = cast(Prior, prior)
    if not encoder.traits.any_channels:
        lq_BCHW = as_rgb(lq_BCHW)
    images = [lq_BCHW] if lq_BCHW.is_cuda else lq_BCHW.split(1)
    with torch.no_grad(), torch.autocast(lq_BCHW.device.type, enabled=False):
        width = width_of(encoder) if dim is None else dim
        rows_BD = torch.cat([_rows(encoder, image, width) for image in images])
    if (waits or not rows_BD.is_cuda) and not torch.isfinite(rows_BD).all():
        what = f"{_name(prior)} gave a vector that is not finite"
        raise HarnessError(what, where=guest_place(type(prior)), kind="nan")
    return rows_BD


def as_rgb(lq_BCHW: Tensor) -> Tensor:
    """Images as priors of RGB see them: gray ones three times over, of the two views of a dual-pixel camera the mean,
    which is what all of its aperture sees. Raises DataError for other numbers of channels.
    """
    channels = lq_BCHW.shape[1]
    if channels == 1:
        return lq_BCHW.expand(-1, 3, -1, -1)
    if channels == 6:
        return (lq_BCHW[:, :3] + lq_BCHW[:, 3:]) / 2
    if channels != 3:
        raise DataError(f"a prior sees gray, RGB or dual-pixel images, and these have {channels} channels")
    return lq_BCHW


def width_of(prior: Prior) -> int:
    """The width D that a prior says."""
    with called(prior):
        return prior.dim


def _name(prior: object) -> str:
    """What a user calls the prior: a plug-in's name in suites, and the class of any other."""
    cls = type(prior)
    return PARTS.get((guest_place(cls).rpartition(":")[0], cls.__qualname__), f"prior {cls.__name__}")


def _rows(prior: Prior, images_BCHW: Tensor, dim: int) -> Tensor:
    own_BCHW = images_BCHW.detach().clone(memory_format=torch.contiguous_format).float()
    with called(prior):
        rows = prior.encode(own_BCHW)
    return check_rows(prior, rows, images_BCHW, dim)


def _source(ref: PartRef, prior_source: Cell | None) -> Cell:
    if prior_source is None:
        raise HarnessError(f"prior {ref.name!r} needs the cell that trains its network", hint="give it a `source:`")
    if ref.digest not in (None, prior_source.id):
        raise HarnessError(f"prior {ref.name!r} is of cell {ref.digest}, but got the network of cell {prior_source.id}")
    return prior_source


def _network(source: Cell, registry: Registry, layout: Layout) -> nn.Module:
    """The trained model of a cell, frozen."""
    if source.variant.prior is not None:
        raise HarnessError("a prior's network must be trained without a prior", where=f"cell {source.id}")
    model: nn.Module = build_model(source, registry, None)
    load_sound(model, source, layout)
    return model.eval().requires_grad_(False)
