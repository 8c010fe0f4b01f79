"""The library's prepared sets of data sets of the field: their images, and links to them in the data folders of runs.

A run whose data folder is not the library has, in the place of each such set, a symbolic link to the library's folder:
the pictures are there once, whichever suites read them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from harness.api.dataset import SourceImage
from harness.api.library import InLibrary, how_to_prepare
from harness.api.sets import PreparedSet
from harness.core.damage import set_aside
from harness.core.errors import Damaged, DataError, did_you_mean
from harness.core.paths import storage_error
from harness.core.temporary import temporary_beside
from harness.data.index import AGAIN
from harness.data.shards import ShardSet, open_set


def in_library(dataset: InLibrary, split: str) -> ShardSet:
    """The prepared set of a split, verified (harness.data.shards.open_set).

    Raises DataError, with the command that mends it, when the library's files are gone or damaged, and for an unknown
    split.
    """
    stored = dataset.stored(split)
    try:
        return open_set(stored, dataset.folder)
    except Damaged as error:
        again = how_to_prepare(dataset.name)
        if not os.path.lexists(stored.folder(dataset.folder)):
            what = f"its split {split} is not in the library {dataset.folder} any more"
            raise DataError(what, where=f"data set {dataset.name}", hint=again) from error
        hint = again if error.hint == AGAIN else error.hint
        raise DataError(f"the library's set is damaged: {error.what}", where=error.where, hint=hint) from error


def prepared_images(dataset: InLibrary, split: str, keys: Sequence[str] | None = None) -> Iterator[SourceImage]:
    """The images of a split as they are stored, in the order of the set. `keys`: only these, in their order.

    Raises DataError as `in_library`, and for an unknown key.
    """
    opened = in_library(dataset, split)
    index = opened.index
    if keys is None:
        rows: Sequence[int] = range(len(index))
    else:
        places = {key: row for row, key in enumerate(index.keys)}
        unknown = next((key for key in keys if key not in places), None)
        if unknown is not None:
            hint = did_you_mean(unknown, places)
            raise DataError(f"{split} has no image {unknown!r}", where=f"data set {dataset.name}", hint=hint)
        rows = [places[key] for key in keys]
    for row in rows:
        clean, degraded = index.member(row, "gt"), index.member(row, "lq")
        yield SourceImage(
            key=index.keys[row],
            scene=index.scenes[row],
            pixels=None if clean is None else opened.image(row, "gt"),
            degraded=None if degraded is None else opened.image(row, "lq"),
            truth=None if clean is None else index.places["gt"].keys[row],
            group=index.groups[row],
        )


def link(dataset: InLibrary, stored: PreparedSet, data: Path) -> None:
    """Puts a link to the library's set in the place of a set of a data folder, once that is found to be whole.

    What lies there and is no good is set aside meanwhile (harness.core.damage). Nothing is linked where the data folder
    is the library itself. Raises DataError as `in_library`, and for another set than the library's; HarnessError (kind
    `storage`) where no link can be made.
    """
    if dataset.stored(stored.split).identity() != stored.identity():
        what = f"the library has {dataset.stored(stored.split).name}, and not {stored.name}"
        raise DataError(what, where=f"data set {dataset.name}", hint=how_to_prepare(dataset.name))
    there, folder = in_library(dataset, stored.split).folder, stored.folder(data)
    if not (data.exists() and data.samefile(dataset.folder)):
        with set_aside(folder):
            make_link(there, folder)


def make_link(target: Path, place: Path) -> None:
    """A symbolic link, whole or not at all, in the place of one that leads nowhere, too; none where anything lies.

    Raises HarnessError (kind `storage`) where it cannot be made.
    """
    temporary = temporary_beside(place)
    try:
        if place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target.absolute(), temporary)
        os.replace(temporary, place)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise storage_error(error, place) from error
