"""What the commands of `bench data` share: folders, names of sets, and data sets of the field."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.api.dataset import DatasetTraits
from harness.api.declaration import declaration
from harness.api.source import Source
from harness.cli.common import folder_named, plugin_path
from harness.cli.exits import WrongArgument
from harness.core.errors import HarnessError, UnknownName, did_you_mean
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.storage.copies import copy_at, folder_of

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        parser=folder_named,
        help="The data folder. Default: $PRIORBENCH_DATA, else those in results/.",
    ),
]
LibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        parser=folder_named,
        help="The library. Default: $PRIORBENCH_DATA, else ~/.cache/priorbench/data.",
    ),
]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Know the data sets of a plug-in file, too.")
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A data set of the field, as `bench list datasets` names it.")
]


class Form(StrEnum):
    """How a list is written."""

    table = "table"
    json = "json"


FormOption = Annotated[Form, typer.Option("--format", help="How it is written.")]


def registry_with(plugins: list[Path] | None) -> Registry:
    """The catalogue and the parts of plug-in files."""
    return extend(REGISTRY, [str(plugin_path(file)) for file in plugins or ()])


def data_folder(given: Path | None) -> Path:
    """The data folder that a command works on."""
    place = given if given is not None else os.environ.get("PRIORBENCH_DATA")
    if not place or not str(place).strip():
        what = "which data folder? there is one for each folder of results, or one for all"
        raise WrongArgument(what, where="--data", hint="--data results/SUITE/data, or set PRIORBENCH_DATA")
    folder = folder_of(str(place)).absolute()
    if copy_at(folder) is not None:
        from harness.data.mirrored import bring_known

        bring_known(folder)
    return folder


def library_folder(given: Path | None) -> Path:
    """The library that a command works on."""
    from harness.api.library import library

    return library() if given is None else given.expanduser().absolute()


def told_where(place: Path) -> str:
    """That suites do not find what was put into another folder than the library."""
    from harness.api.library import library

    return f"note: suites look in {library()}; PRIORBENCH_DATA={place} lets them find this one"


def sources(registry: Registry) -> dict[str, Source]:
    """What is known of the data sets of the field, by name, in the order of the catalogue."""
    found = {name: source_of(name, registry) for name in registry.names("dataset")}
    return {name: source for name, source in found.items() if source is not None}


def source_of(name: str, registry: Registry) -> Source | None:
    """What a data set declares of where it comes from; None for one that is not of the field."""
    return declaration(registry, "dataset", name).traits.source


def field_set(name: str, registry: Registry) -> tuple[DatasetTraits, Source]:
    """The declaration of a data set of the field. Raises UnknownName for another name."""
    known = sources(registry)
    if name not in registry.names("dataset"):
        hint = did_you_mean(name, known) or "bench list datasets shows all"
        raise UnknownName(f"no data set of the field is called {name!r}", hint=hint)
    traits = declaration(registry, "dataset", name).traits
    if traits.source is None:
        hint = "bench data add takes in pictures of your own" if name == "folder" else "suites name it as it is"
        raise WrongArgument(f"{name} is no data set of the field, and needs no preparing", where="NAME", hint=hint)
    return traits, traits.source


def set_called(place: Path, name: str) -> str:
    """The prepared set of a name, without its digest or with it, or the only one whose name begins so. Of several, the
    one that suites find under the name of a data set of the field."""
    from harness.api.sets import SETS

    here = sorted(path.name for path in (place / SETS).glob("[!.]*") if path.is_dir())
    fitting = [each for each in here if each == name] or [each for each in here if each.rpartition(".")[0] == name]
    fitting = fitting or [each for each in here if each.startswith(name)]
    if len(fitting) > 1 and (used := _in_use(place, name)) in fitting:
        return used
    if len(fitting) != 1:
        what = f"{len(fitting)} prepared sets are called {name}…" if fitting else f"no prepared set is called {name}"
        raise WrongArgument(what, where=str(place), hint=f"one of {', '.join(fitting or here)}" if here else "")
    return fitting[0]


def _in_use(place: Path, name: str) -> str:
    """The prepared set that the note of a data set of the field names; empty without a note that can be read."""
    from harness.api.library import read_note
    from harness.api.sets import PreparedSet

    try:
        note = read_note(name, place)
    except HarnessError:
        return ""
    return "" if note is None else PreparedSet(dataset=note.dataset, split="train").name
