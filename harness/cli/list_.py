"""`bench list`: what suites can name, with options and defaults, read without importing any part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from harness.api.backbone import BackboneTraits
from harness.api.dataset import DatasetTraits
from harness.api.declaration import declaration
from harness.api.degradation import DegradationTraits
from harness.api.kinds import KINDS
from harness.api.library import library, read_note
from harness.api.protocols import known_protocols, steps_of
from harness.api.task import TaskTraits
from harness.cells.patches import shown_patch
from harness.cli import exits
from harness.cli.common import plugin_path
from harness.cli.ranges import allowed
from harness.cli.tables import page_width, show
from harness.core.errors import DataError, HarnessError, UnknownName, did_you_mean
from harness.core.registry import Entry, Registry
from harness.core.source import REQUIRED, Option
from harness.core.text import on_one_line, printable
from harness.core.yaml import Place, load
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.recipes.mapping import LossMapping, RecipeMapping
from harness.recipes.presets import Preset, all_presets
from harness.spec.sources import shipped_suites

LISTS = {
    "tasks": "task",
    "datasets": "dataset",
    "degradations": "degradation",
    "backbones": "backbone",
    "refiners": "refiner",
    "priors": "prior",
    "losses": "loss",
    "metrics": "metric",
    "executors": "executor",
    "trackers": "tracker",
}
"""The word on the command line and the kind in the catalogue."""

TABLES = ("protocols", "recipes", "suites")
"""Lists whose entries are not parts."""

SHOWN = 8
"""Recipes and the like that the overview names."""

WhatArgument = Annotated[
    str | None, typer.Argument(metavar="[WHAT]", help=f"One of {', '.join([*LISTS, *TABLES])}. Default: all, by name.")
]
NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="One part of the list: its options with defaults and ranges.")
]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Also list the parts of a plug-in file.")
]


def list_(what: WhatArgument = None, name: NameArgument = None, plugin: PluginOption = None) -> int:
    """List what a suite can name: parts with their options and defaults, recipes, and the suites of this package."""
    known = [*LISTS, *TABLES]
    if what is not None and what not in known:
        raise UnknownName(f"there is no list of {what!r}", hint=did_you_mean(what, known))
    registry = extend(REGISTRY, [str(plugin_path(file)) for file in plugin or ()])
    tables = {"protocols": lambda: protocols_table(registry), "recipes": recipes_table, "suites": suites_table}
    if what is None:
        show_overview(registry)
    elif what in tables:
        if name is not None:
            raise UnknownName(f"bench list {what} takes no name", hint=f"bench list {what}")
        tables[what]()
    elif name is None:
        parts_table(registry, what)
    else:
        show_part(registry, LISTS[what], name)
    return exits.DONE


def show_overview(registry: Registry) -> None:
    """How many there are of each kind, and their names."""
    names = {title: [entry.name for entry in registry.entries(kind)] for title, kind in LISTS.items()}
    names["protocols"] = [*dict.fromkeys(each.name for each in known_protocols(registry))]
    names["recipes"] = [preset.name for preset in all_presets()]
    names["suites"] = [file.stem for file in shipped_suites()]
    for title, called in names.items():
        some = called[:SHOWN] if title in TABLES else called
        left = f", and {len(called) - len(some)} more" if len(some) < len(called) else ""
        text = on_one_line(f"{', '.join(some)}{left}") or "none"
        print("\n".join(wrap(text, page_width(), initial_indent=f"{f'{title} ({len(called)})':18}  ",
                             subsequent_indent="    ", break_on_hyphens=False)))  # fmt: skip
    print()
    for line in (
        "bench list WHAT: its parts with their options and defaults",
        "bench list WHAT NAME: one part, with ranges",
    ):
        print("\n".join(wrap(line, page_width(), subsequent_indent="    ")))


def show_part(registry: Registry, kind: str, name: str) -> None:
    """One part: what it is, and its options with defaults and what they may be."""
    entry = registry.get(kind, name)
    mark = " (synthetic)" if _is_synthetic(registry, entry) else ""
    print(printable(f"{kind} {entry.name}: {entry.summary}{mark}"))
    if kind not in KINDS:
        return
    found = declaration(registry, kind, name)
    if isinstance(found.traits, DatasetTraits) and found.traits.source is not None:
        print(f"{found.traits.source.size}; {_prepared(name)}. bench data show {name} says all that is known of it")
        return
    options = found.options
    rows = [
        (option.name, _default(option.default) or "(must be given)", allowed(option)) for option in options.values()
    ]
    if rows:
        show("", ("option", "default", "may be"), rows)
    else:
        print("no options")
    for rule in found.traits.rules:
        print("\n".join(wrap(printable(f"rule: {rule.summary}"), page_width(), subsequent_indent="    ")))
    for line in _marks_of(registry, entry):
        print(printable(line))


def parts_table(registry: Registry, title: str) -> None:
    """One row per part: name, what it is, `option=default`; an option that a suite must give ends in `=`."""
    rows = []
    for entry in registry.entries(LISTS[title]):
        mark = " (synthetic)" if _is_synthetic(registry, entry) else ""
        rows.append((entry.name, f"{entry.summary}{mark}", "\n".join(_said_of(registry, entry))))
    show(title, ("name", "what it is", "options"), rows)


def _is_synthetic(registry: Registry, entry: Entry) -> bool:
    """Whether a degradation, or that of a task, imitates what real photographs have."""
    if entry.kind not in ("task", "degradation"):
        return False
    traits = declaration(registry, entry.kind, entry.name).traits
    if isinstance(traits, TaskTraits):
        behind = traits.degradation
        return behind is not None and declaration(registry, "degradation", behind).traits.synthetic
    return isinstance(traits, DegradationTraits) and traits.synthetic


def _said_of(registry: Registry, entry: Entry) -> list[str]:
    """A part's options, one per line, and what else its declaration says. Executors and trackers have no options."""
    if entry.kind not in KINDS:
        return []
    found = declaration(registry, entry.kind, entry.name)
    if isinstance(found.traits, DatasetTraits) and found.traits.source is not None:
        return [f"{found.traits.source.size} ({_prepared(entry.name)})"]
    return [*map(_option, found.options.values()), *_marks_of(registry, entry)]


def _prepared(name: str) -> str:
    """Whether the library has a data set of the field."""
    try:
        note = read_note(name, library())
    except DataError:
        return "its note in the library is damaged"
    return "not prepared" if note is None else "prepared, example" if note.dataset.is_example else "prepared"


def _marks_of(registry: Registry, entry: Entry) -> list[str]:
    """What a part's declaration says beside its options."""
    found = declaration(registry, entry.kind, entry.name)
    lines = []
    if isinstance(found.traits, BackboneTraits) and found.traits.reimplemented:
        lines.append("(reimplemented: no official code to compare with)")
    if isinstance(found.traits, BackboneTraits) and found.traits.reads_truth_at_test is not None:
        when = found.traits.reads_truth_at_test
        lines.append(f"({when.option}: {when.value} reads the truth in test, and tables mark it)")
    if found.traits.weights:
        lines.append("(needs weights: see bench doctor)")
    return lines


def _option(option: Option) -> str:
    return f"{option.name}={_default(option.default)}"


def _default(value: Any) -> str:
    """A default as a suite writes it; empty for an option that a suite must give."""
    if value is REQUIRED:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(_default, value))}]" if isinstance(value, tuple | list) else str(value)


def protocols_table(registry: Registry) -> None:
    """The protocols that a suite can name, with those that plug-in tasks bring along."""
    columns = ("name", "version", "what it does", "who uses it")
    rows = []
    for protocol, tasks in known_protocols(registry).items():
        by = protocol.used_by or ", ".join(f"the task {task}" for task in tasks)
        rows.append((protocol.name, str(protocol.version), steps_of(protocol), by))
    show("protocols", columns, rows)


def recipes_table() -> None:
    """The presets that a suite's recipe can name: what they set, and where the numbers come from."""
    rows = []
    for preset in all_presets():
        recipe = preset.recipe
        lines = (
            f"{recipe.steps:,} steps",
            f"batch {_spanned([part.batch for part in recipe.parts])} ({_gpus(preset.gpus)})",
            f"patch {_spanned([shown_patch(part.patch) for part in recipe.parts])}",
            *_cut(recipe),
            f"{recipe.optimizer} {recipe.lr:g}, {_schedule(recipe)}",
            " + ".join(_term(term) for term in recipe.losses) or "the network's own losses",
            *_options(preset),
        )
        rows.append((f"{preset.name}\nv{preset.version}", "\n".join(lines), f"{preset.source}\n{preset.note}".rstrip()))
    show("recipes", ("name", "recipe", "source"), rows, lines=True)


def _options(preset: Preset) -> Iterator[str]:
    """What a preset sets beside the recipe, then what made its authors' data; named as the record names them."""
    for kind, options in {"backbone": preset.backbone, "refiner": preset.refiner}.items():
        yield from (f"{kind}.{name}={_default(value)}" for name, value in options.items())
    yield from (f"task.{name}={_default(value)} (the authors' data)" for name, value in preset.task.items())


def _cut(recipe: RecipeMapping) -> Iterator[str]:
    """What a recipe says of the images that its patches are cut from, beside their size."""
    regions = recipe.regions
    if regions is not None:
        larger = f", of images above {regions.above}" if regions.above is not None else ""
        yield f"from regions of {regions.side} every {regions.stride}{larger}"
    if recipe.resize is not None:
        yield f"of images resized to {shown_patch(recipe.resize)}"
    if recipe.pad != "none":
        yield "smaller images continued by reflection"


def _gpus(number: int | None) -> str:
    return "unknown GPUs" if number is None else f"{number} GPU{'' if number == 1 else 's'}"


def _spanned(values: list[Any]) -> str:
    """`64→40→32`: one value per stage; equal neighbours are written once."""
    return "→".join(str(value) for value, _ in groupby(values))


def _schedule(recipe: RecipeMapping) -> str:
    held = f" from step {recipe.hold + recipe.warmup:,} on" if recipe.hold else ""
    cycles = f" ×{len(recipe.cycles)}" if len(recipe.cycles) > 1 else ""
    return f"{recipe.schedule}{cycles}{held}"


def _term(term: LossMapping) -> str:
    own = term.name if term.weight == 1 else f"{term.weight:g} {term.name}"
    return own if term.refined_weight is None else f"{own} (refined: {term.refined_weight:g})"


def suites_table() -> None:
    """The suites that ship with the package, with their descriptions."""
    rows = []
    for file in shipped_suites():
        tree, problems = load(file.read_text(encoding="utf-8"), Place(str(file)))
        if tree is None or problems:
            raise HarnessError("this shipped suite cannot be read", where=str(file), hint=f"bench check {file}")
        described = tree.child("description")
        rows.append((file.stem, str(described.content) if described else ""))
    show("suites", ("name", "description"), rows)
