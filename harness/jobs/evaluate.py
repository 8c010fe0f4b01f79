"""The job that scores one cell on its test sets: checkpoint and shards in, one number per image and metric out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from harness.api.protocols import protocol_of
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell, evaluation_id
from harness.core.errors import DataError, HarnessError
from harness.core.paths import Layout
from harness.data.members import escape_key
from harness.data.shards import to_float
from harness.evaluation.infer import restore
from harness.evaluation.samples import write_strip
from harness.evaluation.score import build_metrics, score
from harness.jobs.context import Context
from harness.jobs.inputs import Inputs, open_inputs
from harness.jobs.provenance import provenance
from harness.models.assemble import build_model
from harness.models.weights import load_weights
from harness.planning.job import EvaluateWork, Job
from harness.records import store
from harness.records.model import EvaluationRecord, Provenance, RunRecord
from harness.training.journal import Journal

Restore = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""H×W×3 degraded image and its prior vector to the restored image."""


@dataclass(frozen=True)
class Evaluation:
    """One test set that has to be scored."""

    id: str
    inputs: Inputs
    metrics: Mapping[str, PartRef]
    """By key."""
    on_record: Mapping[str, str]
    """Key → version of what was scored before. Metrics that are not among `metrics` stay."""


def run(job: Job, context: Context) -> None:
    """Scores what the record does not have yet, and keeps the rest of it.

    A cell without a backbone is the degraded input: it is scored as it lies in the shards. Raises HarnessError and
    its kinds, `checkpoint` when the cell is not trained or its weights are not those of the record.
    """
    work, layout = job.work, context.layout
    assert isinstance(work, EvaluateWork), work.kind
    cell, record = work.cell, context.record(work.cell.id)
    protocol = protocol_of(context.registry, cell.task)
    evaluations, rows = _known(record, layout)
    todo = _missing(work, protocol, evaluations, layout)
    if not todo and record is not None and record.status == "done":
        return
    journal = Journal(layout, cell.id, job.id, job.kind)
    journal.write("start")
    restore_image = _restorer(job, cell, todo, record, context)
    for evaluation in todo:
        began = time.perf_counter()
        rows = [row for row in rows if row[0] != evaluation.id or row[3] not in evaluation.metrics]
        rows += _score_set(job, cell, evaluation, protocol, restore_image, context)
        evaluations[evaluation.id] = _described(evaluation, protocol, time.perf_counter() - began)
    _save(job, cell, record, evaluations, rows, todo, layout)
    journal.write("end")


def _known(record: RunRecord | None, layout: Layout) -> tuple[dict[str, EvaluationRecord], list[store.ImageRow]]:
    """The evaluations on record, by id, and their rows; empty when the rows are damaged, so that all are done again."""
    if record is None or not record.evaluations:
        return {}, []
    try:
        table = store.load_images(layout, record.cell_id)
    except DataError:
        return {}, []
    rows: list[store.ImageRow] = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return {evaluation.id: evaluation for evaluation in record.evaluations}, rows


def _missing(
    work: EvaluateWork, protocol: EvaluationProtocol, known: Mapping[str, EvaluationRecord], layout: Layout
) -> list[Evaluation]:
    """The test sets without a present value of some metric of the job. All metrics are computed again on them."""
    metrics = {metric.key: metric.part for metric in work.metrics}
    missing = []
    for samples in work.tests:
        name = evaluation_id(work.cell, samples, protocol)
        on_record = known[name].metrics if name in known else {}
        if any(on_record.get(key) != part.version for key, part in metrics.items()):
            inputs = open_inputs(samples, work.cell.test_features(samples), layout.data)
            missing.append(Evaluation(name, inputs, metrics, on_record))
    return missing


def _restorer(job: Job, cell: Cell, todo: Sequence[Evaluation], record: RunRecord | None, context: Context) -> Restore:
    """The trained network as a function of an image; for the cell `input`, the identity."""
    if cell.backbone is None or not todo:
        return lambda lq, prior: lq
    if record is None or record.training is None:
        raise HarnessError("this cell is not trained", where=f"cell {cell.id}", hint="bench run …", kind="checkpoint")
    features = todo[0].inputs.features
    device = torch.device("cuda" if job.run.gpus != 0 and torch.cuda.is_available() else "cpu")
    model = build_model(cell, context.registry, features.dim if features else None)
    final = context.layout.final_weights(cell.id)
    load_weights(model, final, sha256=record.training.checkpoint_sha256)
    model.to(device).eval()
    return lambda lq, prior: restore(model, lq, prior, device)


def _score_set(
    job: Job,
    cell: Cell,
    evaluation: Evaluation,
    protocol: EvaluationProtocol,
    restore_image: Restore,
    context: Context,
) -> list[store.ImageRow]:
    """One row per image and metric; strips of the first images are written on the way."""
    inputs, dataset = evaluation.inputs, evaluation.inputs.samples.dataset.name
    metrics = build_metrics(evaluation.metrics, protocol, context.registry)
    rows: list[store.ImageRow] = []
    for number, (place, sample) in enumerate(zip(inputs.shards.rows, inputs.shards.samples(), strict=True)):
        lq, truth = to_float(sample.lq), to_float(sample.gt)
        prior = inputs.features.row(place.shard, place.position, 0) if inputs.features else None
        restored = restore_image(lq, prior)
        try:
            values = score(restored, truth, metrics, protocol)
        except DataError as error:
            raise DataError(error.what, where=f"image {sample.key} of {dataset}", kind=error.kind) from error
        rows += [(evaluation.id, dataset, sample.key, key, value) for key, value in values.items()]
        if number < job.run.samples and cell.backbone is not None:
            name = f"{dataset}.{escape_key(sample.key)}.png"
            write_strip(context.layout.samples(cell.id) / name, (lq, restored, truth))
    return rows


def _described(evaluation: Evaluation, protocol: EvaluationProtocol, seconds: float) -> EvaluationRecord:
    samples = evaluation.inputs.samples
    return EvaluationRecord(
        id=evaluation.id,
        dataset=samples.dataset.name,
        split=samples.split,
        protocol=f"{protocol.name}/v{protocol.version}",
        metrics={**evaluation.on_record, **{key: part.version for key, part in evaluation.metrics.items()}},
        images=len(evaluation.inputs.shards),
        seconds=seconds,
    )


def _save(
    job: Job,
    cell: Cell,
    record: RunRecord | None,
    evaluations: dict[str, EvaluationRecord],
    rows: Sequence[store.ImageRow],
    todo: Sequence[Evaluation],
    layout: Layout,
) -> None:
    """Rows first, then the record that holds their digest."""
    data: dict[str, str] = {}
    weights: dict[str, str] = {}
    for evaluation in todo:
        data |= evaluation.inputs.data
        weights |= evaluation.inputs.weights
    now = provenance(threads=job.run.cpus, data=data, weights=weights)
    sha256 = store.save_images(layout, cell.id, rows)
    changes: dict[str, object] = {
        "status": "done",
        "evaluations": tuple(evaluations.values()),
        "images_sha256": sha256,
        "failure": None,
    }
    if record is None:
        labels = job.labels.model_dump() if job.labels else {}
        dumped = cell.model_dump(mode="json")
        record = RunRecord(cell_id=cell.id, status="done", labels=labels, cell=dumped, provenance=now)
    else:
        changes["provenance"] = _merged(record.provenance, now) if record.training else now
    store.save(layout, record.model_copy(update=changes))


def _merged(training: Provenance, now: Provenance) -> Provenance:
    """The provenance of the training, with the data and weights that the evaluation read added."""
    return training.model_copy(update={"data": training.data | now.data, "weights": training.weights | now.weights})
