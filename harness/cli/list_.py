"""`bench list`: what suites can name, with options and defaults, read without importing any part."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.cli import exits
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.registry import Registry
from harness.core.signature import REQUIRED, Signature
from harness.core.yaml import Place, load
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.spec.presets import all_presets
from harness.spec.schema import LossMapping, RecipeMapping
from harness.spec.sources import shipped_suites

SHELVES = {
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

TABLES = ("recipes", "suites")
"""Lists of what is no part."""

WhatArgument = Annotated[
    str | None, typer.Argument(metavar="[WHAT]", help=f"One of {', '.join([*SHELVES, *TABLES])}. Default: all.")
]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Also list the parts of a plug-in file.")
]


def list_(what: WhatArgument = None, plugin: PluginOption = None) -> int:
    """List what a suite can name: parts with their options and defaults, recipes, and the suites that come along."""
    known = [*SHELVES, *TABLES]
    if what is not None and what not in known:
        raise UnknownName(f"there is no list of {what!r}", hint=did_you_mean(what, known))
    registry = extend(REGISTRY, [str(file.absolute()) for file in plugin or ()])
    console = Console()
    tables = {"recipes": recipes_table, "suites": suites_table}
    for shelf in known if what is None else [what]:
        console.print(tables[shelf]() if shelf in tables else parts_table(registry, shelf))
    return exits.DONE


def parts_table(registry: Registry, shelf: str) -> Table:
    """One row a part: name, what it is, `option=default`; an option that a suite must give ends in `=`."""
    table = Table("name", "what it is", "options", title=shelf, title_justify="left", expand=False)
    for entry in registry.entries(SHELVES[shelf]):
        signature = registry.signature(entry.kind, entry.name)
        table.add_row(entry.name, entry.summary or signature.summary, options_text(signature))
    return table


def options_text(signature: Signature) -> str:
    """The options of a part, one a line."""
    lines = [f"{name}={_default(option.default)}" for name, option in signature.options.items()]
    if signature.declared.get("reimplemented"):
        lines.append("(reimplemented: no official code to compare with)")
    if signature.needs_weights:
        lines.append("(needs weights: see bench doctor)")
    return "\n".join(lines)


def _default(value: Any) -> str:
    if value is REQUIRED:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def recipes_table() -> Table:
    """The presets that a suite's recipe can name: what they set, and where the numbers come from."""
    table = Table("name", "recipe", "source", title="recipes", title_justify="left", show_lines=True)
    table.columns[0].no_wrap = True
    for preset in all_presets():
        recipe = preset.recipe
        lines = (
            f"{recipe.steps:,} steps",
            f"batch {_spanned([part.batch for part in recipe.parts])} ({_gpus(preset.gpus)})",
            f"patch {_spanned([part.patch for part in recipe.parts])}",
            f"{recipe.optimizer} {recipe.lr:g}, {_schedule(recipe)}",
            " + ".join(_term(term) for term in recipe.losses) or "the network's own losses",
        )
        table.add_row(f"{preset.name}\nv{preset.version}", "\n".join(lines), f"{preset.source}\n{preset.note}".rstrip())
    return table


def _gpus(number: int | None) -> str:
    return "unknown GPUs" if number is None else f"{number} GPU{'' if number == 1 else 's'}"


def _spanned(values: list[Any]) -> str:
    """`64→40→32`: a value for each stage, each once where neighbours are equal."""
    return "→".join(str(value) for value, _ in groupby(values))


def _schedule(recipe: RecipeMapping) -> str:
    held = f" from step {recipe.hold + recipe.warmup:,} on" if recipe.hold else ""
    cycles = f" ×{len(recipe.cycles)}" if len(recipe.cycles) > 1 else ""
    return f"{recipe.schedule}{cycles}{held}"


def _term(term: LossMapping) -> str:
    return term.name if term.weight == 1 else f"{term.weight:g} {term.name}"


def suites_table() -> Table:
    """The suites that ship with the package, with their descriptions."""
    table = Table("name", "description", title="suites", title_justify="left")
    for file in shipped_suites():
        tree, problems = load(file.read_text(encoding="utf-8"), Place(str(file)))
        if tree is None or problems:
            raise HarnessError("this shipped suite cannot be read", where=str(file), hint=f"bench check {file}")
        described = tree.child("description")
        table.add_row(file.stem, str(described.content) if described else "")
    return table
