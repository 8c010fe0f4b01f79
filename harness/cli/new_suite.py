"""The text of a new suite: one task, one network, priors and a control, with comments that say what to change."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.api.declaration import declaration
from harness.api.options import holds_file
from harness.cli.common import write_new
from harness.cli.exits import WrongArgument
from harness.core.errors import SpecErrors
from harness.core.registry import Registry
from harness.core.scalars import resolve_scalar
from harness.core.source import REQUIRED, Option
from harness.parts.plugins import open_suite
from harness.recipes.presets import network_presets
from harness.spec.options import refers_to
from harness.weights.files import missing_files, needed_files, said_missing

CONTROLS = ("shuffled", "random")
"""Priors of which every new suite has one: what it gains, the module gains without the prior's knowledge."""

PLAIN_RECIPE = "{steps: 300, batch: 4, patch: 64, lr: 1e-3, losses: [charbonnier]}"
"""For networks without a small preset."""


@dataclass(frozen=True)
class Choices:
    """What a new suite compares, by the names of parts."""

    task: str
    backbone: str
    priors: tuple[str, ...]
    dataset: str
    plugins: tuple[str, ...] = ()
    """Plug-in files, as the suite will name them."""


def write_suite(file: Path, choices: Choices, registry: Registry) -> str:
    """Writes the suite to a new file, and gives what `bench check` says of it in a line.

    Raises UnknownName for parts that do not exist, WrongArgument when the file exists or when the choices do not go
    together; nothing is left then.
    """
    text = suite_text(file.stem, choices, registry)
    write_new(file, text)
    try:
        suite, _ = open_suite(str(file))
    except SpecErrors as error:
        os.unlink(file)
        problem = error.problems[0]
        raise WrongArgument(
            f"these do not go together: {problem.what}", where=problem.path, hint=problem.hint
        ) from None
    except BaseException:
        os.unlink(file)
        raise
    return f"{sum(cell.listed and cell.cell.backbone is not None for cell in suite.cells)} trainings"


def suite_text(name: str, choices: Choices, registry: Registry) -> str:
    """The suite as YAML. Raises UnknownName for parts that do not exist."""
    for kind, part in (("task", choices.task), ("backbone", choices.backbone), ("dataset", choices.dataset)):
        registry.get(kind, part)
    presets = network_presets(choices.backbone)
    proxy = "proxy" in presets
    recipe = "{preset: proxy}" if proxy else PLAIN_RECIPE
    needed = _needed(choices.dataset, registry)
    given = f"{{name: {quoted(choices.dataset)}, {', '.join(needed)}}}" if needed else quoted(choices.dataset)
    remark = "put yours for what is in capitals" if needed else "what is trained and tested on"
    plugins = f"plugins: [{', '.join(map(quoted, choices.plugins))}]\n" if choices.plugins else ""
    real = [prior for prior in choices.priors if prior not in CONTROLS and _stands_alone(prior, registry)]
    control = CONTROLS[0] if real else CONTROLS[1]
    variants = "".join(_variant(prior, choices, registry) for prior in dict.fromkeys((*choices.priors, control)))
    return (
        f"# `bench check {name}.yaml` checks it, `bench run {name}.yaml` runs it, and shows its table.\n"
        f"suite: {quoted(name)}\n"
        f"{plugins}"
        "\n"
        "defaults:\n"
        f"  dataset: {given}    # {remark}; your own images: docs/dataset.md\n"
        "  # with options of its own: {name: folder, gt: my_photos}; paths are relative to this file\n"
        "  seeds: [0, 1, 2]   # with fewer than three, a table can give no verdict\n"
        f"  recipe: {recipe}\n"
        f"{_recipe_comment(choices, proxy, choices.task in presets)}"
        "\n"
        "blocks:\n"
        "  - matrix:          # every task × every network × every variant; add to any of the lists\n"
        f"      task: [{quoted(choices.task)}]\n"
        f"      backbone: [{quoted(choices.backbone)}]\n"
        "      variant:\n"
        "        - base       # the network alone: the others are compared with it\n"
        f"{variants}"
        "        # - {refiner: ptg_rm, prior: …, regime: frozen}   # only the module learns, on the trained base\n"
    )


def _needed(dataset: str, registry: Registry) -> list[str]:
    """The options that a data set has no defaults for, with places for files in capitals."""
    options = declaration(registry, "dataset", dataset).options.values()
    needed = [option for option in options if option.default is REQUIRED]
    for option in needed:
        if not holds_file(option):
            hint = f"bench list datasets {dataset}, and write its line by hand"
            raise WrongArgument(
                f"the data set {dataset} has no default for {option.name!r}", where="--dataset", hint=hint
            )
    return [f"{option.name}: FOLDER" for option in needed]


def _recipe_comment(choices: Choices, proxy: bool, official: bool) -> str:
    """How to train as the authors did."""
    small = "a small network and a short training, for a CPU" if proxy else "a short training, for a CPU"
    lines = [f"  # {small}; change what you like beside it: {{…, steps: 1000}}"]
    if official:
        lines.append("  # as the network's authors did for this task, on a GPU: {preset: official}")
    elif names := [preset.name for preset in network_presets(choices.backbone).values() if preset.entry != "proxy"]:
        lines.append(f"  # the authors trained for other tasks; their recipes by name: {', '.join(names[:3])}")
    return "\n".join(lines) + "\n"


def _variant(prior: str, choices: Choices, registry: Registry) -> str:
    """The lines of PTG-RM with one prior."""
    declared = declaration(registry, "prior", prior)
    needed = [
        f"{option.name}: {_value(option, prior, choices, registry)}"
        for option in declared.options.values()
        if option.default is REQUIRED
    ]
    said = f"{{name: {quoted(prior)}, {', '.join(needed)}}}" if needed else quoted(prior)
    remark = " a control: does the prior help, or only the module around it?" if prior in CONTROLS else ""
    if not needed:
        files = needed_files(declared.traits, declared.filled({}), f"prior {prior}")
        if missing := missing_files(files):
            remark = f" needs weights: {said_missing(missing)[1]}"
    comment = f"        #{remark}\n" if remark else ""
    return f"{comment}        - {{refiner: ptg_rm, prior: {said}}}\n"


def _value(option: Option, prior: str, choices: Choices, registry: Registry) -> str:
    """A value for an option that has no default: another prior of the suite, or the cell of another task."""
    refers = refers_to(option)
    if refers == "PriorRef":
        others = [each for each in choices.priors if each not in CONTROLS and _stands_alone(each, registry)]
        return quoted(others[0] if others else "nss")
    if refers == "CellRef":
        makes = [name for name in registry.names("task") if declaration(registry, "task", name).traits.degradation]
        other = next(name for name in makes if name != choices.task)  # one that any data set will do for
        return f"{{task: {other}, backbone: {quoted(choices.backbone)}, seed: 0}}"
    hint = f"bench list priors {prior}, and write its line by hand"
    raise WrongArgument(f"the prior {prior} has no default for {option.name!r}", where="--prior", hint=hint)


def _stands_alone(prior: str, registry: Registry) -> bool:
    options = declaration(registry, "prior", prior).options.values()
    return all(option.default is not REQUIRED for option in options)


def quoted(text: str) -> str:
    """A name as YAML takes it."""
    plain = text.replace("_", "").replace("-", "").replace(".", "").isalnum() and text.isascii() and text[0].isalpha()
    if plain and isinstance(resolve_scalar(text), str):
        return text
    return "'" + text.replace("'", "''") + "'"
