"""Folders of results of any size, as if a suite had run: `python -m tests.benchmarks.on_record SUITE OUT [SHARE]`.

The records are written by the package itself and are sound; the numbers in them are made up, and so they measure only
how long it takes to read them. SHARE: the part of the cells that have a record, 1 as a rule.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.cells.cell import evaluation_id
from harness.core.identity import json_text, sealed
from harness.core.paths import Layout
from harness.parts.plugins import open_placed
from harness.planning.graph import build_graph
from harness.planning.job import EvaluateWork
from harness.planning.nodes import CellJobs
from harness.records.images import ImageRow, table_bytes
from harness.records.labels import samples_digest
from harness.records.model import Attempt, EvaluationRecord, Provenance, RunRecord, Training

IMAGES = ("001", "002", "003")
BEGAN, ENDED = "2026-01-01T00:00:00+00:00", "2026-01-01T00:10:00+00:00"


def write_records(suite: str, layout: Layout, share: float = 1.0) -> int:
    """Writes a record, its table of images and a loss curve for the cells of a suite; gives how many."""
    resolved, registry, _ = open_placed(suite, ())
    graph = build_graph(resolved.cells, resolved.metrics, resolved.protocols, registry)
    wanted = graph.cells[: round(share * len(graph.cells))]
    for number, jobs in enumerate(wanted):
        work = graph.nodes[jobs.evaluate].work if jobs.evaluate else None
        evaluations = tuple(_evaluations(work)) if isinstance(work, EvaluateWork) else ()
        rows = [
            ImageRow(each.id, each.dataset, key, metric, 20.0 + (number * 7 + place) % 100 / 10)
            for each in evaluations
            for metric in each.metrics
            for place, key in enumerate(IMAGES)
        ]
        images = table_bytes(rows)
        folder = layout.cell(jobs.id)
        folder.mkdir(parents=True)
        layout.images(jobs.id).write_bytes(images)
        steps = "".join(f'{{"event": "step", "time": "{BEGAN}", "step": {i}, "loss": {1 / i}}}\n' for i in range(1, 9))
        layout.events(jobs.id).write_text(steps)
        record = _record(jobs, evaluations, hashlib.sha256(images).hexdigest())
        layout.record(jobs.id).write_text(json_text(sealed(record.model_dump(mode="json"))))
    return len(wanted)


def _evaluations(work: EvaluateWork) -> Iterator[EvaluationRecord]:
    for samples, protocol in work.evaluations(work.protocols):
        yield EvaluationRecord(
            id=evaluation_id(work.cell, samples, protocol),
            dataset=samples.dataset.called,
            split=samples.split,
            protocol=protocol.label,
            samples=samples_digest(samples),
            condition=work.condition(samples),
            metrics={each.key: each.part.version for each in work.metrics if each.is_measured(protocol)},
            images=len(IMAGES),
            seconds=1.5,
        )


def _record(jobs: CellJobs, evaluations: tuple[EvaluationRecord, ...], images_sha256: str) -> RunRecord:
    cell = jobs.suite_cell.cell
    training = None
    if jobs.train is not None:
        training = Training(
            steps=cell.recipe.steps,
            images=cell.recipe.steps,
            seconds=30.0,
            final_loss=0.1,
            backbone_parameters=1000,
            added_parameters=10,
            checkpoint_sha256=hashlib.sha256(cell.id.encode()).hexdigest(),
        )
    return RunRecord(
        cell_id=cell.id,
        status="done",
        labels=jobs.suite_cell.labels.model_dump(),
        cell=cell.model_dump(mode="json"),
        provenance=Provenance(
            harness="0",
            code="none",
            python="3",
            platform="any",
            processor="any",
            cpus=1,
            packages={f"package-{i}": "1.0.0" for i in range(12)},
        ),
        training=training,
        evaluations=evaluations,
        images_sha256=images_sha256,
        attempts=tuple(
            Attempt(job=f"{kind}-{cell.id}", started=BEGAN, ended=ENDED, outcome="done")
            for kind in ("train", "evaluate")
        ),
    )


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    print(write_records(sys.argv[1], Layout(folder, folder / "data"), float((sys.argv[3:] or ["1"])[0])))
