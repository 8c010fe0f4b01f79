"""`bench data push` and `bench data pull`: prepared sets go to another store, and come from one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from harness.api.declaration import declaration
from harness.api.library import Note, library, read_note, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cli.clean import size
from harness.cli.data_common import FolderOption, data_folder, set_called, source_of, told_where
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
    for dataset in {stored.dataset.name: stored.dataset for stored in sets if _of_field(stored)}.values():
        _put_in_use(dataset, place)


def _of_field(stored: PreparedSet) -> bool:
    """Whether a set is a split of a data set of the field as this release prepares it."""
    ref = stored.dataset
    if stored.degradation is not None or ref.name not in REGISTRY.names("dataset"):
        return False
    as_now = declaration(REGISTRY, "dataset", ref.name).version == ref.version
    return source_of(ref.name, REGISTRY) is not None and as_now


def _all_of_field(sets: Sequence[PreparedSet]) -> bool:
    return all(map(_of_field, sets))


def _put_in_use(dataset: PartRef, place: Path) -> None:
    """Writes the note of a data set of the field, with all of its splits that are known in a data folder."""
    from harness.data.manifest import read_manifest

    source = source_of(dataset.name, REGISTRY)
    assert source is not None, dataset.name
    sets = [PreparedSet(dataset=dataset, split=split) for split in source.splits()]
    here = {stored.split: stored.folder(place) for stored in sets if stored.folder(place).is_dir()}
    known = None
    with suppress(DataError):  # a damaged one is written again
        known = read_note(dataset.name, place)
    if known is None or known.dataset != dataset or known.splits.keys() != here.keys():
        counts = {split: read_manifest(folder)[0].samples for split, folder in here.items()}
        write_note(Note(dataset=dataset, splits=counts), place)
    mark = " (example)" if dataset.is_example else ""
    typer.echo(f"suites say:  dataset: {dataset.name}{mark} ({', '.join(here)})")
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
