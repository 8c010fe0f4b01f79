"""What commands share: common options, and where results lie."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.exits import WrongArgument
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.core.text import shown_name
from harness.records.mirrored import bring_results
from harness.scheduling.address import ADDRESSES, is_address
from harness.storage.copies import copy_at, copy_of, folder_of
from harness.storage.reach import is_url

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or the name of a built-in suite.")]


def folder_named(text: str) -> Path:
    """A folder from the command line; of a URL, its working copy. Text of nothing would mean the working directory; no
    file system has names that are too long."""
    if not text.strip():
        raise typer.BadParameter("it is empty, and should name a folder")
    if is_url(text):
        return copy_of(text).files
    if os.path.expanduser(text).startswith("~"):
        raise typer.BadParameter(
            f"there is no user {shown_name(text.partition('/')[0][1:], 40)}; ./~… is a folder here"
        )
    try:
        os.lstat(os.path.abspath(os.path.expanduser(text)))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise typer.BadParameter("it is too long for the name of a folder") from error
    except ValueError as error:
        raise typer.BadParameter("it holds a character that no name has") from error
    return Path(text)


OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR|URL",
        parser=folder_named,
        help="Where results go: a folder, or s3://BUCKET/FOLDER. Default: results/<suite>.",
    ),
]


def _data_place(ctx: typer.Context, place: str | None) -> str | None:
    """Lets a command's `--data` mean for it what PRIORBENCH_DATA means for all."""
    if place is not None:
        before = os.environ.get("PRIORBENCH_DATA")
        os.environ["PRIORBENCH_DATA"] = place
        ctx.call_on_close(lambda: _set_back(before))
    return place


def _set_back(before: str | None) -> None:
    os.environ.pop("PRIORBENCH_DATA", None)
    if before is not None:
        os.environ["PRIORBENCH_DATA"] = before


DataPlaceOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR|URL",
        callback=_data_place,
        help="Where prepared sets and prior features lie, for all runs: a folder, or s3://BUCKET/FOLDER. "
        "Default: $PRIORBENCH_DATA, else in the folder of results.",
    ),
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


def check_address(address: str | None) -> None:
    """Raises WrongArgument for what cannot be the address of a cluster, before anything is planned or written."""
    if address is not None and address != "auto" and not is_address(address):
        what = f"{shown_name(address)!r} is not the address of a Ray cluster"
        raise WrongArgument(what, where="--address", hint=ADDRESSES)


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

    The paths are absolute, because workers have other working directories. Of a store, what tables and plans need is
    brought here. Raises HarnessError (kind `storage`) for a store that cannot be used.
    """
    folder = (out if out is not None else Path("results", suite_name)).absolute()
    given = os.environ.get("PRIORBENCH_DATA")
    if out is not None:
        _refuse(folder, "--out", str(out))
    if given is not None:
        _refuse(folder_of(given).absolute(), "PRIORBENCH_DATA", given)
    layout = Layout(folder, folder_of(given).absolute() if given else folder / "data")
    bring(layout)
    return layout


def bring(layout: Layout) -> None:
    """Brings here what tables and plans need of folders that lie on a store; nothing happens for others.

    Raises HarnessError (kind `storage`) for a store that cannot be used.
    """
    for copy in {copy for copy in map(copy_at, (layout.out, layout.data)) if copy is not None}:
        copy.store.check(writes=False)
    bring_results(layout)
    bring_data(layout)


def bring_data(layout: Layout) -> None:
    """Brings here which sets and vectors the store of a data folder has; nothing happens for plain folders."""
    if copy_at(layout.data) is not None:
        from harness.data.mirrored import bring_known

        bring_known(layout.data)


def _refuse(folder: Path, setting: str, given: str) -> None:
    """Raises WrongArgument, which names the setting, for what cannot be a folder to write in."""
    hint = f"{setting}=DIR" if setting.startswith("--") else f"unset {setting}, or name a folder that you can write in"
    if not given.strip():
        raise WrongArgument("it is empty, and should name a folder", where=setting, hint=hint)
    if not printable_path(given):
        raise WrongArgument(f"a folder cannot be called {shown_name(given)}", where=setting, hint=hint)
    above = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    name = shown_name(str(above), 200)
    if not os.path.isdir(above):
        raise WrongArgument(f"{name} is a file, not a folder", where=setting, hint=hint)
    if len(os.fsencode(folder.name)) > LONGEST_NAME:
        raise WrongArgument(f"a folder's name has at most {LONGEST_NAME} bytes", where=setting, hint=hint)
    if not os.access(above, os.X_OK):
        raise WrongArgument(f"{name} cannot be entered: permission denied", where=setting, hint=hint)


LONGEST_NAME = 255
"""Bytes of a file's name on usual file systems."""


def printable_path(text: str) -> bool:
    """Whether a path has no control characters; bytes that are no text, as Python keeps them, are sound names."""
    return all(letter.isprintable() or "\udc80" <= letter <= "\udcff" for letter in text)


def write_new(file: Path, text: str) -> None:
    """Writes a file that is not there yet. Raises WrongArgument when it is, HarnessError when it cannot be written."""
    try:
        with open(file, "x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise WrongArgument("this file exists already", where=str(file), hint="choose another name") from None
    except OSError as error:
        raise HarnessError(f"cannot be written: {error.strerror}", where=str(file), kind="storage") from error
