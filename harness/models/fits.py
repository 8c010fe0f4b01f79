"""Whether a cell's recipe fits its network, and the network the images: sizes, channels, and the modules to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from harness.api.backbone import Capabilities
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.patches import Sides, shown_patch, sides_of
from harness.core.errors import DataError, HarnessError, did_you_mean
from harness.models.assemble import RestorationModel

CHANNELS = 3
"""Channels of the images of most data sets: RGB."""

READABLE, GIVEN = (1, 3, 6), (1, 3)
"""Channels that degraded and clean images may have: gray, RGB, and both views of a dual-pixel camera."""


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


@dataclass(frozen=True)
class Seen:
    """What a network meets in a set of training images."""

    where: str
    """What messages call the set."""
    degraded: tuple[int, ...]
    """How many channels its degraded images have: each number that occurs."""
    clean: tuple[int, ...]
    sizes: tuple[Sides, ...]
    """Each height and width that occurs."""


def check_images(cell: Cell, model: RestorationModel, seen: Seen) -> None:
    """Raises DataError for training images that the network does not take, before anything is trained."""
    assert cell.backbone is not None, cell.id
    can, name = model.capabilities, cell.backbone.name
    for kind, found, channels, side in (
        ("degraded", seen.degraded, can.channels_in, "reads"),
        ("clean", seen.clean, can.channels_out, "gives"),
    ):
        for other in (number for number in found if number != channels):
            what = f"{name} {side} images of {_counted(channels)}, and {kind} images here have {other}"
            hint = f"{_channels_hint(cell.backbone, channels, _CHANNELS[side], other)}, or another data set"
            raise DataError(what, where=seen.where, hint=hint)
    if cell.recipe.resize is None and None in cell.recipe.crops:
        _check_whole(name, can, seen)


def _check_whole(name: str, can: Capabilities, seen: Seen) -> None:
    """Whole images are trained on as they are: they are never padded."""
    for height, width in seen.sizes:
        if (height, width) != (can.fitting(height), can.fitting(width)):
            fitting = [can.fitting(side) for side in (height, width)]
            what = f"{_takes(name, can)}, and patch is whole: there are images of {height}×{width} pixels"
            raise DataError(what, where=seen.where, hint=f"resize: {fitting}, or a patch of a fixed size")


def misfits(cell: Cell, model: RestorationModel) -> Iterator[Misfit]:
    """Everything that does not fit. A cell with published weights that is not trained has no patches."""
    assert cell.backbone is not None, cell.id
    yield from _colours(cell.backbone, model.capabilities)
    if not cell.ready_made:
        yield from tiles(cell, model.capabilities)
        yield from _refined(cell, model)
        yield from _alterations(cell, model)
        yield from _modules(cell, model)


def _refined(cell: Cell, model: RestorationModel) -> Iterator[Misfit]:
    """Images of other channels than a refiner on images takes."""
    refiner, can, traits = cell.variant.refiner, model.capabilities, model.on_images
    assert cell.backbone is not None, cell.id
    wanted = None if traits is None else traits.channels
    if refiner is None or traits is None or wanted is None or can.channels_in == can.channels_out == wanted:
        return
    what = f"{refiner.name} on images takes {_counted(wanted)}, and {cell.backbone.name} reads {can.channels_in} and"
    hint = "placement: features" if "features" in traits.placements else f"a network of images of {_counted(wanted)}"
    yield Misfit((), f"{what} gives {can.channels_out}", hint)


def _alterations(cell: Cell, model: RestorationModel) -> Iterator[Misfit]:
    """Changes of batches after which what a network is told of its images is wrong, or that its images do not take."""
    assert cell.backbone is not None, cell.id
    recipe, noise, can, name = cell.recipe, cell.train_samples.noise, model.capabilities, cell.backbone.name
    told = [setting for setting in model.told if noise is not None and setting in noise.options]
    if noise is not None and told:
        for field in recipe.alters_inputs:
            what = f"{name} is told the {told[0]} of every image, which is another one after {field}"
            yield Misfit((field,), what, f"remove {field}, or give {name} {told[0]}: null")
    if recipe.grain is not None and recipe.grain.truth and can.channels_in != can.channels_out:
        what = f"grain.truth puts the noise of an input on its truth, and {name} reads {_counted(can.channels_in)}"
        yield Misfit(("grain", "truth"), f"{what} and gives {can.channels_out}", "truth: false")


def _colours(backbone: PartRef, can: Capabilities) -> Iterator[Misfit]:
    """Networks for images of a kind that no data set has."""
    for channels, side, known in ((can.channels_in, "reads", READABLE), (can.channels_out, "gives", GIVEN)):
        if channels not in known:
            have = ", ".join(map(str, known[:-1])) + f" or {known[-1]}"
            what = f"{backbone.name} {side} images of {_counted(channels)} here, and images have {have}"
            yield Misfit((), what, _channels_hint(backbone, channels, _CHANNELS[side], CHANNELS))


def _counted(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _channels_hint(backbone: PartRef, channels: int, names: Sequence[str], wanted: int) -> str:
    """The options that decide how many channels a network has, with the values that make them as many as `wanted`."""
    fitting = []
    for name in names if "dd_in" not in backbone.options or names is _GIVEN else ("dd_in",):
        value = backbone.options.get(name)
        if isinstance(value, bool):
            if value is (channels > wanted):  # such a switch adds channels
                fitting.append(f"{name}: {str(not value).lower()}")
        elif isinstance(value, int) and value + wanted - channels > 0:
            fitting.append(f"{name}: {value + wanted - channels}")  # one of them may be a map beside the image
    return ", ".join(fitting) or f"options with which it {'reads' if names is _READ else 'gives'} {_counted(wanted)}"


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
    """Training patches that the network, or the refiner behind it, cannot take. They are never padded."""
    assert cell.backbone is not None, cell.id
    refiner, recipe = cell.variant.refiner, cell.recipe
    who = cell.backbone.name if refiner is None else f"{cell.backbone.name} with {refiner.name}"
    for index, part in enumerate(recipe.parts):
        sides = sides_of(part.patch) or recipe.resize
        if sides is None or all(side == can.fitting(side) for side in sides):
            continue
        whole = sides_of(part.patch) is None
        name = "resize" if whole else "patch"
        above = _as_patch([can.fitting(side) for side in sides], part.patch)
        below = [side - side % can.size_multiple for side in sides]
        hint = f"{name}: {above}"
        if min(below) >= max(1, can.min_size):
            hint = f"{name}: {_as_patch(below, part.patch)}, or {hint}"
        own = not whole and bool(recipe.stages) and recipe.stages[index].patch is not None
        field = ("stages", index, "patch") if own else (name,)
        yield Misfit(field, f"{_takes(who, can)}, and {name} is {_as_patch(sides, part.patch)}", hint)
        if whole:
            return


def _takes(who: str, can: Capabilities) -> str:
    least = f", at least {can.min_size}" if can.min_size > can.size_multiple else ""
    return f"{who} takes sides that are multiples of {can.size_multiple}{least}"


def _as_patch(sides: Sequence[int], patch: int | Sides | str | None) -> str:
    """Height and width as the suite wrote them: one side where the patch is a square's."""
    return str(sides[0]) if isinstance(patch, int) else shown_patch((sides[0], sides[1]))


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
