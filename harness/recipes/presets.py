"""Official recipes and their CPU-sized proxies: one file per network, `networks/<network>.yaml`.

A file holds the authors' recipes, named by task or in another way, and one proxy: a recipe of the same kind that fits a
CPU. Each recipe names its source and the options of the network that it trains. Its `note` says what is not known about
it and what this harness does in another way. Recipes count steps: epochs have been
converted with the size of the authors' training set. `version` is raised when a file's numbers change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, PositiveInt, ValidationError

from harness.api.recipe_use import RecipeUse
from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm, Recipe
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.yaml import Place, load
from harness.recipes.checks import READ_BY
from harness.recipes.mapping import BackboneMapping, LossMapping, RecipeMapping, Strict

FOLDER = Path(__file__).with_name("networks")
RELATIVE = ("official", "proxy")
"""Names that mean another preset for each network (and task)."""
RUNNING = frozenset({"precision", "micro_batch"})
"""Fields that say how a recipe is run: lower layers keep theirs where a preset does not name them."""
STAGED = ("patch", "batch", "micro_batch", "lr", "betas", "losses")
"""Fields that a stage may have of its own."""

_VERSION = re.compile(r"(?P<name>.+)/v(?P<version>[0-9]{1,9})\Z")


class _Entry(Strict):
    """One recipe of a network."""

    recipe: RecipeMapping
    backbone: dict[str, Any] = Field(default_factory=dict)
    """Options of the network that this recipe trains."""
    gpus: PositiveInt | None = None
    source: str = ""
    note: str = ""


class _File(Strict):
    """All recipes of a network. An entry's own source and GPUs stand in place of the file's."""

    version: PositiveInt
    source: str
    gpus: PositiveInt | None = None
    note: str = ""
    recipes: dict[str, _Entry] = Field(default_factory=dict)
    proxy: _Entry | None = None


@dataclass(frozen=True)
class Preset:
    """A named recipe."""

    network: str
    entry: str
    """The task, `proxy`, or another name."""
    version: int
    recipe: RecipeMapping
    backbone: Mapping[str, Any]
    gpus: int | None
    """GPUs that the authors spread the batch over; None where that is not known."""
    source: str
    note: str

    @property
    def name(self) -> str:
        return f"{self.network}/{self.entry}"

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that the preset decides: a whole recipe except how it is run."""
        given = self.recipe.model_fields_set
        names = (name for name in Recipe.model_fields if name not in RUNNING or name in given)
        return {name: getattr(self.recipe, name) for name in names if name != "preset"}

    def over(self, spec: BackboneMapping) -> BackboneMapping:
        """A suite's backbone, with the preset's options where the suite sets none; unchanged if of another network."""
        if spec.name != self.network or not self.backbone:
            return spec
        label = spec.label
        if label is None and self.entry == "proxy":
            own = ", ".join(f"{name}={value}" for name, value in spec.options.items())
            label = f"{spec.name}-proxy" + (f"({own})" if own else "")
        return BackboneMapping.model_validate({"name": spec.name, "label": label, **self.backbone, **spec.options})


def find_preset(name: str, backbone: str | None, task: str | None) -> Preset:
    """The preset that a name means in a cell with this backbone and task.

    `official` is the backbone's recipe for the task, `proxy` its small one, and `restormer/derain` that recipe whatever
    the cell is. A name may end in a version, `/v1`, which must then be the present one. Raises UnknownName with the
    known names.
    """
    asked = _VERSION.match(name)
    stem = asked["name"] if asked else name
    found = _relative(stem, backbone, task) if stem in RELATIVE else _named(stem)
    if asked and int(asked["version"]) != found.version:
        raise UnknownName(f"there is no {name!r}", hint=f"this release has {found.name}/v{found.version}")
    return found


def _relative(stem: str, backbone: str | None, task: str | None) -> Preset:
    presets = network_presets(backbone or "")
    found = presets.get("proxy" if stem == "proxy" else task or "")
    if found is None and not presets:
        hint = "write the recipe out, or name another network's: preset: restormer/derain"
        raise UnknownName(f"there is no preset for the backbone {backbone}", hint=hint)
    if found is None:
        wanted = "proxy" if stem == "proxy" else f"official recipe for the task {task}"
        raise UnknownName(f"{backbone} has no {wanted}", hint="by name: " + ", ".join(p.name for p in presets.values()))
    return found


def _named(stem: str) -> Preset:
    network, _, entry = stem.partition("/")
    found = network_presets(network).get(entry)
    if found is None:
        known = [*RELATIVE, *(preset.name for preset in all_presets())]
        raise UnknownName(f"no preset is called {stem!r}", hint=did_you_mean(stem, known) or "bench list recipes")
    return found


def networks() -> list[str]:
    """Networks and refiners that have presets, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def all_presets() -> Iterator[Preset]:
    """Every preset, network by network, proxies last."""
    for network in networks():
        yield from network_presets(network).values()


@cache
def network_presets(network: str) -> dict[str, Preset]:
    """The presets of one network by name; none when it has no file."""
    if network not in networks():
        return {}
    place = Place(str(FOLDER / f"{network}.yaml"))
    tree, problems = load(Path(place.file).read_text(encoding="utf-8"), place)
    if tree is None or problems:
        raise HarnessError("these presets cannot be read", where=place.file)
    try:
        file = _File.model_validate(tree.plain, strict=True)
    except ValidationError as failure:
        raise HarnessError(f"these presets are wrong: {failure}", where=place.file) from None
    entries = file.recipes | ({"proxy": file.proxy} if file.proxy else {})
    return {name: _preset(network, name, file, entry) for name, entry in entries.items()}


def _preset(network: str, name: str, file: _File, entry: _Entry) -> Preset:
    own = name == "proxy"
    return Preset(
        network=network,
        entry=name,
        version=file.version,
        recipe=entry.recipe,
        backbone=entry.backbone,
        gpus=1 if own else entry.gpus or file.gpus,
        source=entry.source or (f"this project, after {file.source}" if own else file.source),
        note=" ".join(filter(None, ("" if own else file.note, entry.note))),
    )


def fitted(preset: Preset, values: Mapping[str, Any], kept: AbstractSet[str]) -> dict[str, Any]:
    """A preset's fields after a suite has set others above them. `kept`: those that are still the preset's.

    - When the suite changes `steps`, the lengths among them (warm-up, hold, cycles, milestones, stages) keep their
      share; one that shrinks to nothing is left out.
    - When the suite changes `schedule`, settings that the new one does not use are dropped.
    - A field that stages may set themselves (patch, batch, …) holds in every stage when the suite sets it.
    """
    fit = {**values, **_fitted_lengths(preset.recipe, values, kept)}
    if "milestones" in kept and not fit["milestones"] and fit["schedule"] == "step":
        fit["schedule"] = "constant"
    for name, readers in READ_BY.items():
        if name in kept and fit["schedule"] not in readers:
            fit[name] = Recipe.model_fields[name].default
    if "stages" in kept:
        cleared = {name: None for name in STAGED if name in fit and name not in kept}
        fit["stages"] = tuple(stage.model_copy(update=cleared) for stage in fit["stages"])
    return fit


def _fitted_lengths(official: RecipeMapping, values: Mapping[str, Any], kept: AbstractSet[str]) -> dict[str, Any]:
    """The lengths among `kept`, scaled to the new number of `steps`."""
    old, new = official.steps, values["steps"]
    fit = {name: values[name] * new // old for name in kept & {"warmup", "hold"}}
    if "cycles" in kept:
        warmup = fit.get("warmup", values["warmup"])
        fit["cycles"] = _shrunk(values["cycles"], old - official.warmup, max(1, new - warmup))
    if "milestones" in kept:
        moved = sorted({max(1, round(milestone * new / old)) for milestone in values["milestones"]})
        fit["milestones"] = tuple(milestone for milestone in moved if milestone < new)
    if "stages" in kept:
        fit["stages"] = _shrunk(values["stages"], old, new)
    return fit


def _shrunk(parts: Sequence[Any], old: int, new: int) -> tuple[Any, ...]:
    """Parts of `old` steps as parts of `new` ones that add up as before; those left without steps are gone."""
    ends = [round(end * new / old) for end in accumulate(part.steps for part in parts)]
    spans = zip(parts, [0, *ends], ends, strict=False)
    return tuple(part.model_copy(update={"steps": end - start}) for part, start, end in spans if start < min(end, new))


def recipe_use(cell: Cell, processes: int) -> RecipeUse | None:
    """How a cell trained by so many processes uses its preset; None for a recipe without a preset."""
    ref = cell.recipe.preset
    if ref is None or cell.backbone is None:
        return None
    preset = _named(ref.name)
    pairs = {name: (getattr(preset.recipe, name), getattr(cell.recipe, name)) for name in ref.changed}
    if preset.network == cell.backbone.name:
        options = cell.backbone.options
        pairs |= {f"backbone.{name}": (value, options.get(name)) for name, value in preset.backbone.items()}
    ours = _micro_batches(cell.recipe, processes)
    pairs["images"] = (preset.recipe.images, cell.recipe.images)
    if preset.gpus is None:
        pairs.pop("micro_batch", None)
    else:
        pairs |= {"gpus": (preset.gpus, processes), "micro_batch": (_micro_batches(preset.recipe, preset.gpus), ours)}
    shown = {name: (_shown(official), _shown(used)) for name, (official, used) in pairs.items()}
    return RecipeUse(
        preset=f"{ref.name}/v{ref.version}",
        gpus=preset.gpus,
        processes=processes,
        micro_batch=ours,
        differs={name: pair for name, pair in shown.items() if pair[0] != pair[1]},
    )


def _micro_batches(recipe: Recipe, processes: int) -> tuple[int, ...]:
    """Images of one forward pass of one process, by stage."""
    shares = [(part, -(-(part.batch or recipe.batch) // processes)) for part in recipe.parts]
    return tuple(min(part.micro_batch or share, share) for part, share in shares)


def _shown(value: Any) -> Any:
    """A field's value as JSON has it, losses by name with their options."""
    if isinstance(value, LossTerm):
        return {"name": value.part.name, "weight": value.weight, **value.part.options}
    if isinstance(value, LossMapping):
        return {"name": value.name, "weight": value.weight, **value.options}
    if isinstance(value, BaseModel):
        return {name: _shown(item) for name, item in value if item not in (None, (), False)}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value
