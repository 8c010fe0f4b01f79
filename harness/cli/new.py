"""`bench new`: a working part of any kind, or a suite, to start from."""

from __future__ import annotations

import keyword
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from harness.api.kinds import KINDS
from harness.cli import exits
from harness.cli.common import plugin_path, write_new
from harness.cli.exits import WrongArgument
from harness.cli.new_suite import Choices, write_suite
from harness.core.errors import UnknownName, did_you_mean
from harness.core.scalars import resolve_scalar
from harness.core.text import shortened
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend

TEMPLATES = "harness.testing.templates"
NAME, CLASS = "my_part", "MyPart"
"""What the part is called in every template: in suites, and in Python."""
NAMES = r"[a-z][a-z0-9_]{0,63}"

SUITE = "suite"
"""What is no kind of part, but can be written as well."""

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help=f"suite, or one of {', '.join(KINDS)}.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file to write: .yaml for a suite, else .py.")]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What suites call the part. Default: the file's name.")
]
TaskOption = Annotated[str, typer.Option("--task", metavar="TASK", help="Of a suite: what is restored.")]
BackboneOption = Annotated[str, typer.Option("--backbone", metavar="NETWORK", help="Of a suite: which network.")]
PriorOption = Annotated[
    list[str] | None, typer.Option("--prior", metavar="PRIOR", help="Of a suite: a prior to compare. May be repeated.")
]
DatasetOption = Annotated[str, typer.Option("--dataset", metavar="DATASET", help="Of a suite: its images.")]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE.py", help="Of a suite: a file with parts of your own.")
]


def new(
    kind: KindArgument,
    file: FileArgument,
    name: NameOption = None,
    task: TaskOption = "low_light",
    backbone: BackboneOption = "nafnet",
    prior: PriorOption = None,
    dataset: DatasetOption = "photos",
    plugin: PluginOption = None,
) -> int:
    """Write a small working part, or a suite, to a new file, with comments that say what to change."""
    if kind == SUITE:
        return _new_suite(file, task, backbone, tuple(prior or ("nss",)), dataset, plugin or [])
    if kind not in KINDS:
        known = (*KINDS, SUITE)
        raise UnknownName(f"there is no kind of part called {kind!r}", hint=did_you_mean(kind, known))
    if file.suffix != ".py":
        raise WrongArgument(
            "a part is written to a .py file", where=str(file), hint=f"bench new {kind} {file.with_suffix('.py')}"
        )
    called = _checked(kind, name or file.stem)
    if not file.parent.is_dir():
        raise WrongArgument("there is no such folder", where=str(file.parent), hint=f"mkdir -p {file.parent}")
    text = (files(TEMPLATES) / f"{kind}.py").read_text(encoding="utf-8")
    text = text.replace(NAME, called).replace(CLASS, "".join(word.capitalize() for word in called.split("_")))
    write_new(file, text)
    typer.echo(f"{file}: the {kind} {called}\n  test it:  bench test {file}\n  use it:   plugins: [{file.name}]")
    return exits.DONE


def _new_suite(file: Path, task: str, backbone: str, priors: tuple[str, ...], dataset: str, plugins: list[Path]) -> int:
    if file.suffix not in (".yaml", ".yml"):
        hint = f"bench new suite {file.with_suffix('.yaml')}"
        raise WrongArgument("a suite is written to a .yaml file", where=str(file), hint=hint)
    if not file.parent.is_dir():
        raise WrongArgument("there is no such folder", where=str(file.parent), hint=f"mkdir -p {file.parent}")
    paths = [plugin_path(plugin) for plugin in plugins]
    registry = extend(REGISTRY, [str(path) for path in paths])
    named = tuple(os.path.relpath(path, file.parent.absolute()) for path in paths)
    said = write_suite(file, Choices(task, backbone, priors, dataset, named), registry)
    typer.echo(f"{file}: {said}\n  check it: bench check {file}\n  run it:   bench run {file}")
    return exits.DONE


def _checked(kind: str, name: str) -> str:
    """A name that suites and Python take. Raises WrongArgument for another one, and for one that is taken."""
    is_text = isinstance(resolve_scalar(name), str)  # a suite reads `true` and `null` as values
    if not re.fullmatch(NAMES, name) or keyword.iskeyword(name) or not is_text:
        hint = f"--name my_{kind}: small letters, digits and _, at most 64; no word of Python or YAML"
        raise WrongArgument(f"{shortened(name, 80)!r} cannot be the name of a part", hint=hint)
    if name in REGISTRY.names(kind):
        raise WrongArgument(f"there is a {kind} called {name!r} already", hint=f"--name my_{name}")
    return name
