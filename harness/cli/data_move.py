"""`bench data push` and `bench data pull`: prepared sets go to another store, and come from one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.api.declaration import declaration
from harness.api.library import Note, library, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cli.clean import size
from harness.cli.data_common import FolderOption, data_folder, set_called, source_of, told_where
from harness.cli.data_use import ReplaceOption, check_replaces, in_use, named, told_replaced
from harness.cli.exits import WrongArgument
from harness.core.errors import DataError
from harness.parts.catalogue import REGISTRY

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="A prepared set, as `bench data list` names it.")]


def push(
    name: SetArgument,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="A folder, or a place such as s3://bucket/sets.")],
    folder: FolderOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what lies there already, and replace what is damaged.")
    ] = False,
) -> None:
    """Copy a prepared set, with all its splits, to another store. What lies there already is not copied again."""
    from harness.data import exchange

    place = data_folder(folder)
    for split in exchange.splits_here(place, set_called(place, name)):
        copied = exchange.push(split, to.rstrip("/"), verify=verify)
        typer.echo(f"{split.parent.name}/{split.name}: {size(copied)} copied to {to}")


def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where sets, a set or a split of one was pushed to.")],
    folder: FolderOption = None,
    limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Keep so much of a split here at most, as 50GB. Default: all.")
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="Fetch the shards now, not when they are read.")] = False,
    replace: ReplaceOption = False,
) -> None:
    """Make the sets on another store known here. Their shards come when they are read first.

    Data sets of the field come into the library where no folder is named, and suites then know them by name.
    """
    from harness.data import exchange
    from harness.data.manifest import read_manifest

    most = None if limit is None else _bytes(limit)
    url = url.rstrip("/")
    if folder is None and not os.environ.get("PRIORBENCH_DATA") and _all_of_field(exchange.sets_at(url)):
        folder = library()
    place = data_folder(folder)
    sets: list[PreparedSet] = []
    for split in exchange.pull(url, place, limit=most):
        manifest, _ = read_manifest(split)
        sets.append(manifest.set)
        fetched = ""
        if whole:
            fetched = f", {exchange.fetch_all(split)} of {len(manifest.shards)} shards are here"
        typer.echo(f"{split.parent.name}/{split.name}: known in {split}{fetched}")
    _put_in_use([stored.dataset for stored in sets if _of_field(stored)], place, url, replace=replace)


def _of_field(stored: PreparedSet) -> bool:
    """Whether a set is a split of a data set of the field as this release prepares it."""
    ref = stored.dataset
    if stored.degradation is not None or ref.name not in REGISTRY.names("dataset"):
        return False
    as_now = declaration(REGISTRY, "dataset", ref.name).version == ref.version
    return source_of(ref.name, REGISTRY) is not None and as_now


def _all_of_field(sets: Sequence[PreparedSet]) -> bool:
    return all(map(_of_field, sets))


def _put_in_use(pulled: Sequence[PartRef], place: Path, url: str, *, replace: bool) -> None:
    """Puts data sets of the field in use, of which one content each was pulled. Raises one DataError for those of
    which another stays in use, or none is."""
    contents: dict[str, list[PartRef]] = {}
    for dataset in pulled:
        if dataset not in contents.setdefault(dataset.name, []):
            contents[dataset.name].append(dataset)
    refused: list[DataError] = []
    for name, found in contents.items():
        try:
            _put_one(name, found, place, url, replace=replace)
        except DataError as error:
            refused.append(error)
    if len(refused) > 1:
        lines = "\n".join(f"  {error}" for error in refused)
        raise DataError(f"{len(refused)} data sets were not put in use\n{lines}", where=str(place))
    if refused:
        raise refused[0]


def _put_one(name: str, found: Sequence[PartRef], place: Path, url: str, *, replace: bool) -> None:
    """Puts a data set in use, if one content of it was found."""
    used = in_use(name, place)
    if len(found) > 1:
        names = ", ".join(map(named, found))
        if used is not None and used.dataset in found:
            typer.echo(f"{name}: {named(used.dataset)} stays in use, of {names}")
            return
        what = f"several contents of it lie there, and none was put in use: {names}"
        raise DataError(what, where=f"data set {name}", hint=f"bench data pull {url}/SET for one of them")
    if not replace:
        check_replaces(found[0], _splits(found[0], place), place, f"bench data pull {url} --replace")
    _write_note(found[0], used, place)


def _splits(dataset: PartRef, place: Path) -> dict[str, Path]:
    """The folders of the splits of a data set that are known in a data folder."""
    source = source_of(dataset.name, REGISTRY)
    assert source is not None, dataset.name
    sets = [PreparedSet(dataset=dataset, split=split) for split in source.splits()]
    return {stored.split: stored.folder(place) for stored in sets if stored.folder(place).is_dir()}


def _write_note(dataset: PartRef, before: Note | None, place: Path) -> None:
    """The note of a data set of the field, with all of its splits that are known in a data folder."""
    from harness.data.manifest import read_manifest

    here = _splits(dataset, place)
    counts = {split: read_manifest(folder)[0].samples for split, folder in here.items()}
    if before is None or before.dataset != dataset:
        write_note(Note(dataset=dataset, splits=counts), place)
    elif not counts.keys() <= before.splits.keys():
        write_note(before.model_copy(update={"splits": {**before.splits, **counts}}), place)
    told_replaced(before, dataset)
    typer.echo(f"{dataset.called} is in use ({', '.join(here)}); suites say:  dataset: {dataset.name}")
    if place != library():
        typer.echo(told_where(place), err=True)


def _bytes(text: str) -> int:
    """50GB as a number of bytes."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1}
    unit = next((unit for unit in units if text.upper().endswith(unit)), "")
    try:
        found = round(float(text[: len(text) - len(unit)]) * units.get(unit, 1))
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise WrongArgument(f"{text!r} is no size", where="--limit", hint="as 500MB or 50GB")
    return found
