"""What the folder of a cell that is made again is for, what it begins with, and whether it is whole.

The folder holds a note on that, so that a later run goes on with it only for the same purpose, and from the same state
of the cell's old folder; and so that every start can tell by itself that a new folder is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from harness.api.reference import Frozen
from harness.core.errors import DataError, HarnessError
from harness.core.identity import digest, sealed, unsealed
from harness.core.outlast import make_folder, outlast
from harness.core.paths import Layout, write_bytes, write_json
from harness.records import store
from harness.records.images import table_bytes
from harness.records.migrate import Untouchable
from harness.records.model import EvaluationRecord, RunRecord

NOTE = ".remake.json"

Value = tuple[str, str]
"""The id of an evaluation and the key of a metric."""


class Outdated(Frozen):
    """What a cell has on record of test sets that are not the same any more."""

    evaluations: tuple[str, ...] = ()
    """Ids."""
    data: tuple[str, ...] = ()
    """The names of the sets, and of their prior vectors, in provenances."""


class Remake(Frozen):
    """Why a cell is made again, and what its new folder must have before it takes the place of the old one."""

    purpose: Literal["train", "rescore"]
    asked: tuple[Value, ...] | None = None
    """The values that have to be tried. None: it is whole only when it is marked so."""
    keeps: Literal["all", "asked", "nothing"] = "nothing"
    """Which values of the old folder are still good, so that the new one must have them."""
    outdated: Outdated = Outdated()
    """Of the old folder, what is no good in any case."""
    basis: str = ""
    """Digest of the state of the old folder that the new one began with."""


def based(remake: Remake, old: RunRecord | None) -> Remake:
    """With the state of the old folder."""
    state: list[object] = [remake.purpose, old.training.checkpoint_sha256 if old and old.training else None]
    if remake.purpose == "rescore" and old is not None:
        scored = [[each.id, each.metrics] for each in old.evaluations]
        state += [old.images_sha256, scored, list(remake.outdated.evaluations)]
    return remake.model_copy(update={"basis": digest(state)})


def write_note(folder: Path, remake: Remake) -> None:
    """Raises HarnessError (kind `storage`)."""
    write_json(folder / NOTE, sealed(remake.model_dump(mode="json")))


def read_note(folder: Path) -> Remake | None:
    """None when there is none that can be read."""
    try:
        return Remake.model_validate_json(json.dumps(unsealed((folder / NOTE).read_bytes()).content))
    except (OSError, ValueError, ValidationError):
        return None


def sound(layout: Layout, cell_id: str) -> RunRecord | None:
    """A cell's record; None when there is none that can be read."""
    try:
        return store.load(layout, cell_id)
    except HarnessError:
        return None


def seed(layout: Layout, old: RunRecord, outdated: Outdated, folder: Path) -> None:
    """What stays of a cell whose evaluations are made again: weights, events, strips, and the values that are good.

    Weights are linked, or copied where links cannot be made.
    """
    plain = Layout(layout.out, layout.data)
    place = plain.cell(old.cell_id)
    kept = [each for each in _readable(plain, old) if each.id not in outdated.evaluations]
    sha256 = None
    if kept:
        table = store.images_of(plain, old).to_pylist()
        ids = {each.id for each in kept}
        content = table_bytes(store.ImageRow(**row) for row in table if row["evaluation"] in ids)
        write_bytes(folder / "images.parquet", content)
        sha256 = store.sha256_of(content)
    data = {name: used for name, used in old.provenance.data.items() if name not in outdated.data}
    bare = {
        "status": "trained",
        "evaluations": tuple(kept),
        "images_sha256": sha256,
        "failure": None,
        "provenance": old.provenance.model_copy(update={"data": data}),
    }
    store.save_at(folder / "record.json", old.model_copy(update=bare))
    if (place / "events.jsonl").is_file():  # it is added to in place, so that the new folder needs its own
        shutil.copyfile(place / "events.jsonl", folder / "events.jsonl")
    for path in (plain.final_weights(old.cell_id), *sorted(plain.samples(old.cell_id).glob("*"))):
        if path.is_file():
            _link(path, folder / path.relative_to(place))


def _link(source: Path, target: Path) -> None:
    """One file under two names, as files are replaced and never changed in place. A copy where links are refused."""
    outlast(lambda: make_folder(target.parent), target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _readable(layout: Layout, record: RunRecord) -> Collection[EvaluationRecord]:
    """The evaluations whose values are there; none when their table is damaged. Raises Untouchable."""
    try:
        store.images_of(layout, record)
    except Untouchable:
        raise
    except (DataError, ValueError):
        return ()
    return record.evaluations


def is_whole(layout: Layout, cell_id: str) -> bool:
    """Whether the new folder of a cell can take the place of the old one, as far as its note says what is asked.

    All that is asked has been tried: what could not be scored is on record with the reason. No value is lost that is
    still good.
    """
    plain = Layout(layout.out, layout.data)
    new_layout = Layout(layout.out, layout.data, frozenset([cell_id]))
    folder = layout.anew_cell(cell_id)
    remake = read_note(folder) if folder.is_dir() else None
    new = sound(new_layout, cell_id) if remake is not None and remake.asked is not None else None
    if new is None or remake is None or remake.asked is None:
        return False
    if new.training is None and new.cell.get("backbone") is not None:
        return False
    tried = {(each.id, key) for each in new.evaluations for key in (*each.metrics, *each.left_out)}
    if not set(remake.asked) <= tried:
        return False
    try:
        return _good(plain, cell_id, remake) <= _values(_readable(new_layout, new))
    except Untouchable:
        return False


def _good(layout: Layout, cell_id: str, remake: Remake) -> set[Value]:
    """The values of the old folder that are still good. Raises Untouchable when they cannot be read now."""
    try:
        old = store.load(layout, cell_id)
    except Untouchable:
        raise
    except HarnessError:
        old = None
    if old is None or remake.keeps == "nothing":
        return set()
    values = _values(each for each in _readable(layout, old) if each.id not in remake.outdated.evaluations)
    return values if remake.keeps == "all" else values & set(remake.asked or ())


def _values(evaluations: Iterable[EvaluationRecord]) -> set[Value]:
    return {(each.id, key) for each in evaluations for key in each.metrics}
