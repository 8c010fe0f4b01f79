"""Whether a cell's recipe fits its network: sizes of tiles, colour channels, and the modules that are to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from harness.api.backbone import Capabilities
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.errors import HarnessError, did_you_mean
from harness.models.assemble import RestorationModel

CHANNELS = 3
"""Colours of every image of this harness."""


@dataclass(frozen=True)
class Misfit:
    """What does not fit. `field`: path in the recipe; empty where the network itself is at fault."""

    field: tuple[str | int, ...]
    what: str
    hint: str = ""
    where: str = ""


def check_fit(cell: Cell, model: RestorationModel) -> None:
    """Raises HarnessError for the first thing that does not fit, before anything is trained."""
    for misfit in misfits(cell, model):
        raise HarnessError(misfit.what, where=misfit.where or f"cell {cell.id}", hint=misfit.hint)


def misfits(cell: Cell, model: RestorationModel) -> Iterator[Misfit]:
    """Everything that does not fit. A cell with published weights that is not trained has no tiles."""
    assert cell.backbone is not None, cell.id
    yield from _colours(cell.backbone, model.capabilities)
    if not cell.ready_made:
        yield from tiles(cell, model.capabilities)
        yield from _modules(cell, model)


def _colours(backbone: PartRef, can: Capabilities) -> Iterator[Misfit]:
    """Networks for grey or other images: the harness knows RGB alone."""
    for channels, side in ((can.channels_in, "reads"), (can.channels_out, "gives")):
        if channels != CHANNELS:
            counted = "1 channel" if channels == 1 else f"{channels} channels"
            what = f"{backbone.name} {side} images of {counted} here, and images are RGB"
            yield Misfit((), what, _channels_hint(backbone, channels, _CHANNELS[side]))


def _channels_hint(backbone: PartRef, channels: int, names: Sequence[str]) -> str:
    """The options that decide how many channels a network has, with the values that make them three."""
    fitting = []
    for name in names if "dd_in" not in backbone.options or names is _GIVEN else ("dd_in",):
        value = backbone.options.get(name)
        if value is True:
            fitting.append(f"{name}: false")
        elif isinstance(value, int) and not isinstance(value, bool) and value + CHANNELS - channels > 0:
            fitting.append(f"{name}: {value + CHANNELS - channels}")  # one of them may be a map beside the image
    return ", ".join(fitting) or f"options with which it {'reads' if names is _READ else 'gives'} {CHANNELS} channels"


_READ = (
    "img_channel",
    "inp_channels",
    "in_channels",
    "in_nc",
    "in_c",
    "dd_in",
    "in_chans",
    "channels",
    "dual",
    "dual_pixel_task",
)
_GIVEN = ("img_channel", "out_channels", "out_nc", "out_c", "in_chans", "channels")
_CHANNELS = {"reads": _READ, "gives": _GIVEN}
"""What authors call the number of channels, or the switch that adds some."""


def tiles(cell: Cell, can: Capabilities) -> Iterator[Misfit]:
    """Training tiles that the network, or the refiner behind it, cannot take. They are never padded."""
    assert cell.backbone is not None, cell.id
    refiner = cell.variant.refiner
    who = cell.backbone.name if refiner is None else f"{cell.backbone.name} with {refiner.name}"
    for index, part in enumerate(cell.recipe.parts):
        patch = part.patch
        assert patch is not None, part
        if patch == can.fitting(patch):
            continue
        above = can.fitting(patch)
        below = patch - patch % can.size_multiple
        hint = f"patch: {above}" if below < max(1, can.min_size) else f"patch: {below}, or patch: {above}"
        asks = f"multiples of {can.size_multiple}"
        asks += f", at least {can.min_size}" if can.min_size > can.size_multiple else ""
        own = bool(cell.recipe.stages) and cell.recipe.stages[index].patch is not None
        field = ("stages", index, "patch") if own else ("patch",)
        yield Misfit(field, f"{who} takes sides that are {asks}, and patch is {patch}", hint)


def _modules(cell: Cell, model: nn.Module) -> Iterator[Misfit]:
    """Modules that a stage or a rate names and the model does not have, and stages in which nothing trains.

    A recipe may name modules of a refiner where the cell has none.
    """
    recipe, refiner = cell.recipe, cell.variant.refiner
    named: list[tuple[tuple[str | int, ...], str, Sequence[str]]] = [
        (("stages", index, "trains"), f"recipe.stages.{index}.trains", stage.trains)
        for index, stage in enumerate(recipe.stages)
    ]
    named.append((("rates",), "recipe.rates", tuple(recipe.rates or ())))
    if refiner is not None:
        of_refiner = f"refiner {refiner.name}, stage "
        named += [
            (("stages",), f"{of_refiner}{number}", stage.trains) for number, stage in enumerate(cell.variant.stages, 1)
        ]
    parameters = dict(model.named_parameters())
    if not any(parameter.requires_grad for parameter in parameters.values()):
        yield Misfit((), "no parameter of this network trains", "a network with weights that train")
        return
    for field, where, modules in named:
        wrong = [misfit for module in modules for misfit in _module(module, list(parameters), field, where)]
        yield from wrong
        if modules and not wrong and field != ("rates",) and not _trains(parameters, modules):
            what = f"nothing of {', '.join(modules)} trains here: it is frozen, or this cell does not have it"
            yield Misfit(field, what, "trains: the modules that may train", where)


def _trains(parameters: dict[str, nn.Parameter], modules: Sequence[str]) -> bool:
    prefixes = tuple(f"{module}." for module in modules)
    return any(parameter.requires_grad for name, parameter in parameters.items() if name.startswith(prefixes))


def _module(module: str, names: Sequence[str], field: tuple[str | int, ...], where: str) -> Iterator[Misfit]:
    root = module.partition(".")[0]
    inside = [name for name in names if name.startswith(f"{root}.")]
    if (not inside and root == "refiner") or any(name.startswith(f"{module}.") for name in inside):
        return
    known = {"backbone", "refiner"} if not inside else set()
    for steps in (name.split(".") for name in inside):
        known |= {".".join(steps[:depth]) for depth in range(1, len(steps))}
    hint = did_you_mean(module, known) or did_you_mean(module, {name for name in known if name.count(".") <= 1})
    yield Misfit(field, f"{module!r} is not a module with parameters", hint, where)
