"""Looks at all of a prepared set anew: every file is compared with the manifest, and every image is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.paths import unread
from harness.data.checked import verify_index
from harness.data.index import INDEX, SIDES
from harness.data.manifest import FileEntry, read_manifest
from harness.data.shards import ShardSet, open_set


@dataclass(frozen=True)
class Inspected:
    """What was found of one split."""

    folder: Path
    images: int
    """That could be decoded."""
    samples: int
    """What the index lists: pairs, where the set has them."""
    problems: tuple[str, ...]
    """A line each; none of a sound set."""


def inspect(folder: Path, *, keep: bool = True) -> Inspected:
    """All that is wrong with the split in a folder.

    Nothing that was verified before is believed. The shards of a set that comes from another store are fetched where
    they are not here; without `keep` they are removed again, one by one.
    """
    where = f"{folder.parent.name}/{folder.name}"
    try:
        manifest, _ = read_manifest(folder)
        opened = open_set(manifest.set, folder.parents[2], verify=False)
        wrong = list(_wrong_file(folder / INDEX, manifest.index))
        index = opened.index
    except HarnessError as error:
        return Inspected(folder, 0, 0, (f"{where}: {error.what}",))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(lambda shard: _shard(opened, shard, keep=keep), range(len(manifest.shards))))
    opened.close()
    problems = [*wrong, *(problem for _, lines in found for problem in lines)]
    images = sum(number for number, _ in found)
    if not problems:
        try:
            verify_index(opened)
        except HarnessError as error:
            problems = [error.what]
        expected = sum(int(index.has(side).sum()) for side in SIDES if side == "lq" or opened.source is None)
        if images != expected and not problems:
            problems = [f"{images:,} images were decoded, and the index names {expected:,}"]
    return Inspected(folder, images, len(index), tuple(f"{where}: {problem}" for problem in problems))


def _shard(opened: ShardSet, number: int, *, keep: bool) -> tuple[int, list[str]]:
    """How many images of a shard could be decoded, and what is wrong with it."""
    entry = opened.manifest.shards[number]
    path = opened.folder / entry.name
    was_here = path.is_file()
    try:
        if opened.origin is not None and not was_here:
            opened.origin.local(entry.name)
        problems = list(_wrong_file(path, entry))
    except HarnessError as error:
        return 0, [f"{entry.name}: {error.what}"]
    images, broken = 0, []
    for row in np.flatnonzero(opened.index.shards == number).tolist():
        for side in SIDES:
            member = opened.index.member(row, side)
            if member is None or (side == "gt" and opened.source is not None):
                continue
            try:
                opened.image(row, side)
                images += 1
            except DataError as error:
                broken.append(f"{entry.name}: {opened.index.keys[row]!r}: {error.what}")
    if not keep and not was_here:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return images, problems + broken


def _wrong_file(path: Path, entry: FileEntry) -> Iterator[str]:
    """What is wrong with a file of the manifest: nothing, or one line."""
    try:
        size, found = path.stat().st_size, file_sha256(path)
    except FileNotFoundError:
        yield f"{entry.name} is missing"
        return
    except OSError as error:
        yield f"{entry.name} cannot be read: {unread(error)}"
        return
    if size != entry.bytes:
        yield f"{entry.name} has {size:,} bytes, and the manifest says {entry.bytes:,}"
    elif found != entry.sha256:
        yield f"{entry.name} is not the file that the manifest names: its SHA-256 is another one"


def report(found: list[Inspected], hint: str) -> DataError:
    """All that is wrong with some splits, as one error."""
    problems = [problem for each in found for problem in each.problems]
    shown = problems[:MOST_LINES] + ([f"and {len(problems) - MOST_LINES:,} more"] if len(problems) > MOST_LINES else [])
    count = "one thing is" if len(problems) == 1 else f"{len(problems):,} things are"
    return DataError("\n".join([f"{count} damaged", *(f"  {line}" for line in shown)]), hint=hint)


MOST_LINES = 50
"""Lines of a report."""
