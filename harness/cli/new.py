"""`bench new`: a working part of any kind to start from."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from harness.api.kinds import KINDS
from harness.cli import exits
from harness.cli.exits import WrongArgument
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.text import shortened
from harness.core.yaml import resolve_scalar
from harness.parts.catalogue import REGISTRY

TEMPLATES = "harness.testing.templates"
NAME, CLASS = "my_part", "MyPart"
"""What the part is called in every template: in suites, and in Python."""
NAMES = r"[a-z][a-z0-9_]{0,63}"

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The Python file to write.")]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What suites call the part. Default: the file's name.")
]


def new(kind: KindArgument, file: FileArgument, name: NameOption = None) -> int:
    """Write a small working part to a new file, with comments that say what to change."""
    if kind not in KINDS:
        raise UnknownName(f"there is no kind of part called {kind!r}", hint=did_you_mean(kind, KINDS))
    if file.suffix != ".py":
        raise WrongArgument("a part is written to a .py file", where=str(file), hint=f"bench new {kind} {file}.py")
    called = _checked(kind, name or file.stem)
    if not file.parent.is_dir():
        raise WrongArgument("there is no such folder", where=str(file.parent), hint=f"mkdir -p {file.parent}")
    text = (files(TEMPLATES) / f"{kind}.py").read_text(encoding="utf-8")
    text = text.replace(NAME, called).replace(CLASS, "".join(word.capitalize() for word in called.split("_")))
    try:
        with open(file, "x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise WrongArgument("this file exists already", where=str(file), hint="choose another name") from None
    except OSError as error:
        raise HarnessError(f"cannot be written: {error.strerror}", where=str(file)) from error
    typer.echo(f"{file}: the {kind} {called}\n  test it:  bench test {file}\n  use it:   plugins: [{file.name}]")
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
