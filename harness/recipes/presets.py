"""Official recipes and their CPU-sized proxies: one file per network, `networks/<network>.yaml`.

A file holds the authors' recipes, named by task or in another way, and one proxy: a recipe of the same kind that fits a
CPU. Each recipe names its source, the options of the network, or refiner, that it trains, and those options of the task
that say how its authors' data were made. Those of the task are not set: they are compared. Its `note` says what is
not known about it and what this harness does in another way. Recipes count steps: epochs have been converted with the
size of the authors' training set. `version` is raised when a file's numbers change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, PositiveInt, ValidationError

from harness.api.recipe_use import RecipeUse
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm, Recipe
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.identity import digest
from harness.core.yaml import Place, load
from harness.recipes.mapping import BackboneMapping, LossMapping, PartMapping, RecipeMapping, Strict

FOLDER = Path(__file__).with_name("networks")
RELATIVE = ("official", "proxy")
"""Names that mean another preset for each network (and task)."""
RUNNING = frozenset({"precision", "micro_batch"})
"""Fields that say how a recipe is run: lower layers keep theirs where a preset does not name them."""

LONGEST_LABEL = 100
"""Characters of a label (harness.recipes.mapping.Label)."""

_VERSION = re.compile(r"(?P<name>.+)/v(?P<version>[0-9]{1,9})\Z")


class _Entry(Strict):
    """One recipe of a network."""

    recipe: RecipeMapping
    backbone: dict[str, Any] = Field(default_factory=dict)
    """Options of the network that this recipe trains."""
    refiner: dict[str, Any] = Field(default_factory=dict)
    """Options of the refiner that this recipe trains, in a file of a refiner."""
    task: dict[str, Any] = Field(default_factory=dict)
    """Options of the task that made the authors' data. They change no suite: records say where its task differs."""
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
    refiner: Mapping[str, Any]
    task: Mapping[str, Any]
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
            label = _proxy_label(spec)
        return BackboneMapping.model_validate({"name": spec.name, "label": label, **self.backbone, **spec.options})

    def over_refiner(self, spec: PartMapping) -> PartMapping:
        """A suite's refiner, likewise."""
        if spec.name != self.network or not self.refiner:
            return spec
        return PartMapping.model_validate({"name": spec.name, "label": spec.label, **self.refiner, **spec.options})


def _proxy_label(spec: BackboneMapping) -> str:
    """`nafnet-proxy(width=8)`; with more options than fit, those that do and the beginning of a digest of all."""
    given = [f"{name}={value}" for name, value in spec.options.items()]
    cut = f"… {digest(given, 4)}"
    words = [word for word in given if word.isprintable()]
    words += [cut] if len(words) < len(given) else []
    while len(label := f"{spec.name}-proxy({', '.join(words)})") > LONGEST_LABEL and len(words) > 1:
        words = [*words[: -2 if words[-1] == cut else -1], cut]
    return label if words else f"{spec.name}-proxy"


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
        refiner=entry.refiner,
        task=entry.task,
        gpus=1 if own else entry.gpus or file.gpus,
        source=entry.source or (f"this project, after {file.source}" if own else file.source),
        note=" ".join(filter(None, ("" if own else file.note, entry.note))),
    )


def recipe_use(cell: Cell, processes: int, halved: int = 0, *, takes_statistics: bool = False) -> RecipeUse | None:
    """How a cell trained by so many processes uses its preset; None for a recipe without a preset.

    `halved`: how often its micro-batch was halved because memory ran out. `takes_statistics`: whether something in it
    is a batch norm, whose result depends on the images that it sees together.
    """
    ref = cell.recipe.preset
    if ref is None or cell.backbone is None:
        return None
    preset = _named(ref.name)
    pairs = {name: (getattr(preset.recipe, name), getattr(cell.recipe, name)) for name in ref.changed}
    if preset.network == cell.backbone.name:
        pairs |= _options("backbone", preset.backbone, cell.backbone)
    if cell.variant.refiner is not None and preset.network == cell.variant.refiner.name:
        pairs |= _options("refiner", preset.refiner, cell.variant.refiner)
    known = {name: value for name, value in preset.task.items() if name in cell.task.options}
    pairs |= _options("task", known, cell.task)
    ours = _micro_batches(cell.recipe, processes, halved)
    pairs["images"] = (preset.recipe.images, cell.recipe.images)
    if preset.gpus is None:
        pairs.pop("micro_batch", None)
    else:
        authors = _micro_batches(preset.recipe, preset.gpus)
        pairs |= {"gpus": (preset.gpus, processes), "micro_batch": (authors, ours)}
        if takes_statistics:  # each of the authors' GPUs has its own; here they are of all that one process would pass
            pairs["batch_norm"] = (authors, _micro_batches(cell.recipe, 1))
    shown = {name: (_shown(official), _shown(used)) for name, (official, used) in pairs.items()}
    return RecipeUse(
        preset=f"{ref.name}/v{ref.version}",
        gpus=preset.gpus,
        processes=processes,
        micro_batch=ours,
        differs={name: pair for name, pair in shown.items() if pair[0] != pair[1]},
    )


def _options(kind: str, official: Mapping[str, Any], part: PartRef) -> dict[str, tuple[Any, Any]]:
    """A preset's options of a part, each with the value that the part has."""
    return {f"{kind}.{name}": (value, part.options.get(name)) for name, value in official.items()}


def _micro_batches(recipe: Recipe, processes: int, halved: int = 0) -> tuple[int, ...]:
    """Images of one forward pass of one process, by stage."""
    shares = [(part, -(-(part.batch or recipe.batch) // processes)) for part in recipe.parts]
    return tuple(-(-min(part.micro_batch or share, share) // 2**halved) for part, share in shares)


def _weights(term: LossTerm | LossMapping) -> dict[str, float]:
    own = {"weight": term.weight}
    return own if term.refined_weight is None else {**own, "refined_weight": term.refined_weight}


def _shown(value: Any) -> Any:
    """A field's value as JSON has it, losses by name with their options."""
    if isinstance(value, LossTerm):
        return {"name": value.part.name, **_weights(value), **value.part.options}
    if isinstance(value, LossMapping):
        return {"name": value.name, **_weights(value), **value.options}
    if isinstance(value, BaseModel):
        return {name: _shown(item) for name, item in value if item not in (None, (), False)}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value
