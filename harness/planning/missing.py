"""What this machine lacks: weight files and images, each with the command that gets it.

Declarations say what a part needs. Only data sets are imported, because only their code can compare their images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from harness.api.asking import fingerprint_of, opened, splits_of
from harness.api.declaration import declaration
from harness.api.library import InLibrary, how_to_prepare, library, read_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.weights import WeightFile
from harness.cells.cell import Cell
from harness.cells.suite import SuiteCell, SuiteMetric
from harness.core.errors import HarnessError
from harness.core.guests import guest_place
from harness.core.registry import Registry
from harness.core.source import is_file
from harness.planning.job import FeaturesWork, ShardsWork, TogetherWork, TrainWork, Work
from harness.planning.unprepared import check_whole
from harness.planning.verdict import Reason, Why
from harness.weights.catalogue import find
from harness.weights.files import missing_files, needed_files, published_file, said_missing

Need = tuple[str, PartRef]
"""A kind of part and the part. The kind `weights` stands for the published weights that a backbone starts with."""


def needs(work: Work) -> list[Need]:
    """The parts that a job uses and that may need files."""
    if isinstance(work, ShardsWork):
        return [("dataset", work.stored.dataset)]
    if isinstance(work, FeaturesWork):
        return [("prior", work.features.prior)]
    if isinstance(work, TogetherWork):
        return [need for each in work.of for need in needs(each)]
    cell = work.cell
    if not isinstance(work, TrainWork):
        return list(_of_network(cell))
    if cell.ready_made and cell.backbone is not None:
        return [("weights", cell.backbone)]
    live = [("prior", cell.variant.prior)] if cell.variant.prior and cell.variant.features == "live" else []
    return [*_of_network(cell), *(("loss", term.part) for term in cell.loss_terms), *live]


def _of_network(cell: Cell) -> Iterator[Need]:
    for kind, part in (("backbone", cell.backbone), ("refiner", cell.variant.refiner)):
        if part is not None:
            yield kind, part


def lacks(works: Mapping[str, Work], registry: Registry) -> dict[str, Reason]:
    """The first thing that is missing on this machine for a job, by job id; jobs that lack nothing are not in it.

    What other jobs will leave here is not counted as missing. Every part, with its options, is looked at once.
    """
    known: dict[tuple[str, str], Reason | None] = {}
    found: dict[str, Reason] = {}
    for job, work in works.items():
        if isinstance(work, ShardsWork) and (lost := _split_lacking(work.stored, registry)) is not None:
            found[job] = lost
        for kind, part in needs(work):
            name = (kind, part.model_dump_json())  # with the places of files: one may be missing
            if name not in known:
                known[name] = lack(kind, part, registry)
            if (reason := known[name]) is not None:
                found.setdefault(job, reason)
    return found


def broken_guests(cells: Sequence[SuiteCell], registry: Registry) -> list[str]:
    """The data sets of plug-ins that a suite names and that fail, a line each; not those that lack files."""
    named = [part for entry in cells for part in (*(test.dataset for test in entry.tests), entry.cell.train)]
    parts = {part.model_dump_json(): part for part in named}
    found: dict[str, None] = {}
    for part in parts.values():
        if is_file(registry.get("dataset", part.name).target.partition(":")[0]):
            try:
                _changed_images(part, registry)
            except HarnessError as error:
                if error.kind == "plugin":
                    found[f"{error.where}: {one_line(error)}"] = None
    return list(found)


def lacking_metrics(metrics: Sequence[SuiteMetric], registry: Registry) -> dict[str, Reason]:
    """The metrics that cannot be computed here, by key, each with the reason."""
    found = {metric.key: lack("metric", metric.part, registry) for metric in metrics}
    return {key: reason for key, reason in found.items() if reason is not None}


def lack(kind: str, part: PartRef, registry: Registry) -> Reason | None:
    """What is missing for a part on this machine, and what to try; None when nothing is."""
    try:
        if kind == "dataset":
            return _changed_images(part, registry)
        if kind == "weights":
            return _missing(f"backbone {part.name}", [published_file(find(str(part.weights)))])
        return _missing_weights(kind, part, registry)
    except HarnessError as error:
        who = error.where if error.kind == "plugin" else f"{kind} {part.name}"
        if kind == "dataset" and os.path.isabs(error.where):  # several sets of one name may lack their files
            who = f"{kind} {part.name}: {error.where}"
        return Reason(Why.LACKING, f"{who}: {one_line(error)}")


def one_line(error: HarnessError) -> str:
    """An error as a table says it: what and what to try."""
    return f"{error.what} · try: {error.hint}" if error.hint else error.what


def _missing_weights(kind: str, part: PartRef, registry: Registry) -> Reason | None:
    declared = declaration(registry, kind, part.name)
    title = f"{kind} {part.name}"
    return _missing(title, needed_files(declared.traits, declared.filled(part.arguments), title))


def _missing(title: str, files: Sequence[WeightFile]) -> Reason | None:
    missing = missing_files(files)
    if not missing:
        return None
    names, fetch = said_missing(missing)
    return Reason(Why.LACKING, f"{title} needs {names} · try: {fetch}")


def _split_lacking(stored: PreparedSet, registry: Registry) -> Reason | None:
    """Why a set of a data set of the field is not to be had: the library has a copy without this split."""
    try:
        traits = declaration(registry, "dataset", stored.dataset.name).traits
        if traits.source is None:
            return None
        note = read_note(stored.dataset.name, library())
    except HarnessError:  # of an earlier release, or damaged: it is told of the data set
        return None
    if note is None or stored.split in note.splits or stored.split not in traits.source.splits():
        return None
    what = f"the library's copy of {stored.dataset.called} has no {stored.split} split, only {', '.join(note.splits)}"
    return Reason(Why.LACKING, f"{what} · try: {how_to_prepare(stored.dataset.name)} of a copy that has it")


def _changed_images(part: PartRef, registry: Registry) -> Reason | None:
    dataset = opened(registry, part.name, part.arguments)
    if isinstance(dataset, InLibrary):
        if read_note(dataset.name, dataset.folder) is None:  # what and where it is, a plan says once (unprepared)
            return Reason(Why.LACKING, f"dataset {part.name} is not prepared · try: {how_to_prepare(part.name)}")
        check_whole(dataset)
    found = fingerprint_of(dataset)
    splits_of(dataset)
    if part.digest in (None, found):
        return None
    if fingerprint_of(dataset) != found:
        what = f"dataset {part.name}: fingerprint() gives another digest at every call"
        raise HarnessError(what, where=guest_place(type(dataset)), hint="make it of the images alone", kind="plugin")
    what = f"the images changed since the suite was read ({part.digest} then, {found} now)"
    return Reason(Why.LACKING, f"dataset {part.name}: {what} · try: the same command again")
