"""What commands share: common options, and where results lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.exits import WrongArgument
from harness.core.paths import Layout
from harness.core.text import shown_name

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or the name of a built-in suite.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where results go. Default: results/<suite>.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the suite, e.g. defaults.recipe.steps=50."),
]
ForceOption = Annotated[
    list[str] | None, typer.Option("--force", metavar="CELL", help="Run this cell again although it is done.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Run only the first N cells that are not done.")
]


def plugin_path(file: Path) -> Path:
    """The absolute path of a plug-in file. Raises WrongArgument for what is not a Python file."""
    if file.suffix != ".py":
        raise WrongArgument("a plug-in is a .py file", where=str(file), hint="bench new KIND FILE.py writes one")
    if not os.path.isfile(file):
        what = "this is not a file" if os.path.exists(file) else "there is no such file"
        raise WrongArgument(what, where=shown_name(str(file), 200), hint="bench new KIND FILE.py writes one")
    return file.absolute()


def layout_for(suite_name: str, out: Path | None) -> Layout:
    """The folders of a suite's results: `out`, else `results/<suite>` here; data in $PRIORBENCH_DATA, else beside them.

    The paths are absolute, because workers have other working directories.
    """
    folder = (out or Path("results", suite_name)).absolute()
    data = os.environ.get("PRIORBENCH_DATA")
    return Layout(folder, Path(data).absolute() if data else folder / "data")
