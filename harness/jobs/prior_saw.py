"""What records say of the pictures that a prior saw in training."""

from __future__ import annotations

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.registry import Registry
from harness.core.wording import short


def prior_saw(cell: Cell, registry: Registry) -> str | None:
    """Of which pictures the prior's vectors were made. Noise that is drawn anew in training is not in cached ones."""
    variant = cell.variant
    if variant.prior is None:
        return None
    if declaration(registry, "prior", variant.prior.name).traits.derived and variant.prior.derived_from is None:
        return "no image"
    if variant.features == "live":
        return "the images of every step"
    if variant.features == "crop":
        return "the crops of a grid"
    turned = ", in every orientation" if variant.views == 8 else ""
    noise = cell.train_samples.noise
    return f"whole degraded images{turned}{'' if noise is None else _noise_seen(noise)}"


def _noise_seen(noise: PartRef) -> str:
    """The noise of the pictures that cached vectors are made of: the same at every step."""
    ranges = {name: value for name, value in noise.options.items() if isinstance(value, list | tuple)}
    if not ranges:
        return f", with the one fixed {noise.name} that test images have"
    values = " and ".join(f"{name} was drawn from {short(list(value))}" for name, value in ranges.items())
    return f", with one fixed draw of {noise.name}, whose {values} once an image"
