"""What lies in the folders of results and data that no suite needs any more."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.api.library import DATASETS, read_note
from harness.api.sets import SETS, PreparedSet
from harness.cells.suite import ResolvedSuite, SuiteCell
from harness.core.errors import DataError, HarnessError
from harness.core.paths import Layout, remove_away, storage_error
from harness.core.registry import Registry
from harness.core.temporary import TAG, abandoned
from harness.planning.graph import build_graph
from harness.planning.job import FeaturesWork, Job, ShardsWork, TogetherWork
from harness.planning.nodes import JobGraph
from harness.records import store
from harness.records.job_ids import JobKind, job_id_of
from harness.storage.mirror import bytes_elsewhere

_OF_A_CELL: tuple[JobKind, ...] = ("train", "evaluate")

CELL = re.compile(r"\.?(?P<id>[0-9a-f]{12})(\.[0-9a-z.]+)?")
"""The folder of a cell, or what a run left beside it."""

DIGESTED = re.compile(r".+\.[0-9a-f]{12}")
"""The folder of a prepared set, or of a prior's vectors."""

TEMPORARY = re.compile(rf"\..+(\.{TAG}\.(tmp|aside)|\.lock|\.parts)")
"""What a write leaves behind when it is killed, and until then works with (harness.core.damage,
harness.api.shard_parts)."""


Kind = Literal["cell", "shards", "features", "job", "audits", "earlier", "temporary", "graphs"]
"""`earlier`: a prepared set of an earlier release, which nothing reads. `graphs`: what torch.compile made."""


@dataclass(frozen=True)
class Unneeded:
    """A file or folder that no suite needs."""

    kind: Kind
    name: str
    path: Path
    bytes: int

    def remove(self) -> None:
        """Removes it. Raises HarnessError (kind `storage`) when something of it stays, which is named."""
        rest = remove_away(self.path)
        if rest is not None:
            what = "a part of it cannot be removed"
            raise HarnessError(what, where=str(rest), hint="remove this folder yourself", kind="storage")


def unneeded(suites: Sequence[tuple[ResolvedSuite, Registry]], layout: Layout, *, data: bool) -> list[Unneeded]:
    """What none of the suites, each with the registry of its parts, needs: cells, jobs, shards, features, remains.

    `data`: whether the folder of data is looked at as well. Nothing is known of what other folders of results need of
    it, but a set that another run may be making now is left out: a temporary folder of it changed within a day. What
    was not made by this package is left out, too. Raises HarnessError for a folder that cannot be read.
    """
    graphs = [build_graph(_present(suite), suite.metrics, suite.protocols, registry) for suite, registry in suites]
    earlier = {cell_id for suite, _ in suites for cell_id in _earlier_cells(suite)}
    found = [*_cells(graphs, earlier, layout), *_jobs(graphs, earlier, layout), *_compiled(graphs, layout)]
    return found + (list(_data(graphs, layout.data)) if data else [])


def _present(suite: ResolvedSuite) -> list[SuiteCell]:
    return [each for each in suite.cells if not each.cell.is_earlier]


def _earlier_cells(suite: ResolvedSuite) -> Iterator[str]:
    """The cells of an earlier release that tables show, with those that they rest on: only the results are needed, as
    nothing goes on with them."""
    waiting = [each.cell for each in suite.cells if each.cell.is_earlier]
    while waiting:
        cell = waiting.pop()
        yield cell.id
        waiting += cell.requires


def _cells(graphs: Iterable[JobGraph], earlier: Collection[str], layout: Layout) -> Iterator[Unneeded]:
    needed = {cell_id for graph in graphs for cell_id in (*graph.trains, *(jobs.id for jobs in graph.cells))}
    needed.update(earlier)
    for path in _inside(layout.out / "cells"):
        named = CELL.fullmatch(path.name)
        if TEMPORARY.fullmatch(path.name):
            yield _made("temporary", path.name, path)
        elif named and named["id"] not in needed:
            yield _made("cell", _title(layout, named["id"]) if path.name == named["id"] else path.name, path)


def _title(layout: Layout, cell_id: str) -> str:
    """A cell as its record calls it; its id where that cannot be read."""
    try:
        record = store.load(layout, cell_id)
    except DataError:
        record = None
    labels = record.labels if record is not None else {}
    words = [*(labels[name] for name in ("task", "backbone", "variant") if name in labels), cell_id]
    return " ".join([*words, "(has results)"] if record is not None and record.evaluations else words)


def _jobs(graphs: Sequence[JobGraph], earlier: Collection[str], layout: Layout) -> Iterator[Unneeded]:
    """Files and logs of jobs."""
    needed = {job for graph in graphs for job in graph.nodes}
    needed.update(job_id_of(kind, cell_id) for kind in _OF_A_CELL for cell_id in earlier)
    needed.update(_together(graphs, layout))
    for path in _inside(layout.out / "jobs"):
        if TEMPORARY.fullmatch(path.name):
            yield _made("temporary", path.name, path)
        elif path.name.partition(".")[0] not in needed and path.suffix in (".json", ".log", ".attempt", ".scores"):
            yield _made("job", path.name, path)


def _together(graphs: Iterable[JobGraph], layout: Layout) -> Iterator[str]:
    """The jobs that train several cells, of which one is not trained yet. Which cells these are their files alone say,
    as that depends on what was trained when the run was planned."""
    waiting = {cell for graph in graphs for cell in graph.trains if not layout.final_weights(cell).is_file()}
    for path in _inside(layout.out / "jobs") if waiting else ():
        if path.suffix == ".json" and path.name.startswith(job_id_of("together", "")):
            try:
                job = Job.model_validate_json(path.read_bytes())
            except (OSError, ValueError):
                continue  # a job of another version, or a note: nobody goes on with it
            if isinstance(job.work, TogetherWork) and waiting.intersection(job.journals):
                yield job.id


def _compiled(graphs: Iterable[JobGraph], layout: Layout) -> Iterator[Unneeded]:
    """The compiler's graphs, once every cell is trained: until then they save the time of making them again."""
    trains = {cell_id for graph in graphs for cell_id in graph.trains}
    if layout.compiled.is_dir() and all(layout.final_weights(cell_id).is_file() for cell_id in trains):
        yield _made("graphs", layout.compiled.name, layout.compiled)


def _data(graphs: Iterable[JobGraph], data: Path) -> Iterator[Unneeded]:
    works = [node.work for graph in graphs for node in graph.nodes.values()]
    sets = {work.stored.folder(data) for work in works if isinstance(work, ShardsWork)} | _in_use(data)
    rows = {work.features.folder(data) for work in works if isinstance(work, FeaturesWork)}
    yield from _earlier(data)
    for path in _inside(data / SETS):
        if TEMPORARY.fullmatch(path.name) or (DIGESTED.fullmatch(path.name) and path.is_dir()):
            yield from _not_in("shards", sets, path, data / SETS)
    for prior in _inside(data / "features"):
        for path in _inside(prior) if DIGESTED.fullmatch(prior.name) else ():
            yield from _not_in("features", rows, path, data / "features")
    for path in _inside(data / "prints"):
        if TEMPORARY.fullmatch(path.name) and abandoned(path):
            yield _made("temporary", str(path.relative_to(data)), path)
    audits = data / "audits"  # of earlier releases
    if audits.is_dir() and all(path.suffix == ".json" or TEMPORARY.fullmatch(path.name) for path in _inside(audits)):
        yield _made("audits", audits.name, audits)


def _in_use(data: Path) -> set[Path]:
    """The prepared sets that the notes of a library name: they are for all suites.

    Raises DataError for a note that cannot be read, as nobody knows then what it names.
    """
    names = [path.stem for path in _inside(data / DATASETS) if path.suffix == ".json" and path.name[0] != "."]
    notes = [note for name in names if (note := read_note(name, data)) is not None]
    return {PreparedSet(dataset=note.dataset, split=split).folder(data) for note in notes for split in note.splits}


def _earlier(data: Path) -> Iterator[Unneeded]:
    """Prepared sets as earlier releases wrote them: beside the folder of today's."""
    for path in _inside(data):
        if TEMPORARY.fullmatch(path.name) or (DIGESTED.fullmatch(path.name) and path.is_dir()):
            yield from _not_in("earlier", (), path, data)


def _not_in(kind: Kind, needed: Collection[Path], folder: Path, root: Path) -> list[Unneeded]:
    """The splits of a set that are not needed; the folder itself when none of them is.

    None of it while somebody may be making one of the splits.
    """
    if TEMPORARY.fullmatch(folder.name):
        return [_made("temporary", str(folder.relative_to(root)), folder)] if abandoned(folder) else []
    splits = _inside(folder)
    left = [path for path in splits if TEMPORARY.fullmatch(path.name)]
    if not all(abandoned(path) for path in left):
        return []
    if not any(path.parent == folder for path in needed):
        return [_made(kind, str(folder.relative_to(root)), folder)]
    return [
        _made("temporary" if path in left else kind, str(path.relative_to(root)), path)
        for path in splits
        if path not in needed and not _awaited(path, needed)
    ]


def _awaited(path: Path, needed: Collection[Path]) -> bool:
    """Whether this belongs to a needed folder that is not there: it was set aside, and is put back, or holds finished
    shards, which are used."""
    if path.suffix == ".parts" and TEMPORARY.fullmatch(path.name):
        place = path.with_name(path.name[1:].removesuffix(".parts"))
        return place in needed and not os.path.lexists(place)
    if path.suffix != ".aside" or not TEMPORARY.fullmatch(path.name):
        return False
    place = path.with_name(path.name[1:].rpartition(".")[0].rpartition(".")[0])
    return place in needed and not os.path.lexists(place)


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing when there is no such folder."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise storage_error(error, folder) from error


def _made(kind: Kind, name: str, path: Path) -> Unneeded:
    return Unneeded(kind, name, path, _size(path))


def _size(path: Path) -> int:
    """Bytes of a file, or of all below a folder, also of those that are only on its store; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    here = sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
    return here + bytes_elsewhere(path)
