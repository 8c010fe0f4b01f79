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
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.parts.catalogue import REGISTRY

TEMPLATES = "harness.testing.templates"
NAME, CLASS = "my_part", "MyPart"
"""What the part is called in every template: in suites, and in Python."""

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The Python file to write.")]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What suites call the part. Default: the file's name.")
]


def new(kind: KindArgument, file: FileArgument, name: NameOption = None) -> int:
    """Write a small working part to a new file, with comments that say what to change."""
    if kind not in KINDS:
        raise UnknownName(f"there is no kind of part called {kind!r}", hint=did_you_mean(kind, KINDS))
    called = _checked(kind, name or file.stem)
    text = (files(TEMPLATES) / f"{kind}.py").read_text(encoding="utf-8")
    text = text.replace(NAME, called).replace(CLASS, "".join(word.capitalize() for word in called.split("_")))
    try:
        with open(file, "x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise HarnessError("this file exists already", where=str(file), hint="choose another name") from None
    except OSError as error:
        raise HarnessError(f"cannot be written: {error.strerror}", where=str(file)) from error
    typer.echo(f"{file}: the {kind} {called}\n  test it:  bench test {file}\n  use it:   plugins: [{file.name}]")
    return exits.DONE


def _checked(kind: str, name: str) -> str:
    """A name that suites and Python take. Raises HarnessError for another one, and for one that is taken."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise HarnessError(
            f"{name!r} cannot be the name of a part", hint=f"--name my_{kind}: small letters, digits and _"
        )
    if name in REGISTRY.names(kind):
        raise HarnessError(f"there is a {kind} called {name!r} already", hint=f"--name my_{name}")
    return name
