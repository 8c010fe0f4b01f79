"""The job that scores one cell on its test sets: checkpoint and shards in, one number per image and metric out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from harness.api.protocols import protocols_of
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
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

Restore = Callable[[np.ndarray, np.ndarray | None, np.ndarray], np.ndarray]
"""H×W×3 degraded image, its prior vector and the truth, for networks that read it in test, to the restored image."""


@dataclass(frozen=True)
class Evaluation:
    """One protocol under which a test set has to be scored."""

    id: str
    protocol: EvaluationProtocol
    metrics: Mapping[str, PartRef]
    """By key."""
    before: EvaluationRecord | None
    """What is on record of it. Metrics that are not among `metrics` stay."""


@dataclass(frozen=True)
class Pass:
    """One test set whose images are restored once, and scored under every protocol that lacks values."""

    inputs: Inputs
    evaluations: tuple[Evaluation, ...]


LeftOut = Mapping[str, Mapping[str, str]]
"""Why metrics have no values, by evaluation and the metric's key."""


def run(job: Job, context: Context) -> None:
    """Scores what the record does not have yet, and keeps the rest of it.

    What cannot be computed of some image, a metric under a protocol, is left out of the record with the reason; all
    else is scored and saved, and then DataError is raised that names what was left out. A cell without a backbone is
    the degraded input: it is scored as it lies in the shards. Raises HarnessError and its kinds, `checkpoint` when the
    cell is not trained or its weights are not those of the record.
    """
    work, layout = job.work, context.layout
    assert isinstance(work, EvaluateWork), work.kind
    cell, record = work.cell, context.record(work.cell.id)
    protocols = work.protocols or protocols_of(context.registry, cell.task, ())
    evaluations, rows = _known(record, layout)
    todo = _missing(work, protocols, evaluations, layout)
    if not todo and record is not None and record.status == "done":
        return
    journal = Journal(layout, cell.id, job.id, job.kind)
    journal.write("start")
    restore_image = _restorer(job, cell, todo, record, context)
    reasons: dict[str, None] = {}
    for each in todo:
        began = time.perf_counter()
        again = {(evaluation.id, metric) for evaluation in each.evaluations for metric in evaluation.metrics}
        rows = [row for row in rows if (row.evaluation, row.metric) not in again]
        scored, left_out = _score_set(job, cell, each, restore_image, context)
        rows += scored
        reasons |= {why: None for by_metric in left_out.values() for why in by_metric.values()}
        seconds = time.perf_counter() - began
        evaluations |= {
            evaluation.id: _described(each.inputs, evaluation, left_out[evaluation.id], seconds)
            for evaluation in each.evaluations
        }
    _save(job, cell, record, evaluations, rows, todo, layout)
    if reasons:
        hint = "everything else is on record; leave out the protocol or the metric, or the image"
        raise DataError(f"not scored: {'; '.join(reasons)}", hint=hint)
    journal.write("end")


def _known(record: RunRecord | None, layout: Layout) -> tuple[dict[str, EvaluationRecord], list[store.ImageRow]]:
    """The evaluations on record, by id, and their rows; empty when the rows are damaged, so that all are done again."""
    if record is None or not record.evaluations:
        return {}, []
    try:
        table = store.load_images(layout, record.cell_id)
    except DataError:
        return {}, []
    rows = list(map(store.ImageRow, *(column.to_pylist() for column in table.columns)))
    return {evaluation.id: evaluation for evaluation in record.evaluations}, rows


def _missing(
    work: EvaluateWork,
    protocols: Sequence[EvaluationProtocol],
    known: Mapping[str, EvaluationRecord],
    layout: Layout,
) -> list[Pass]:
    """The test sets and protocols without a present value of some metric of the job.

    All metrics are computed again on them.
    """
    metrics = {metric.key: metric.part for metric in work.metrics}
    missing: dict[Path, tuple[PreparedSet, list[Evaluation]]] = {}
    for samples, protocol in work.evaluations(protocols):
        name = evaluation_id(work.cell, samples, protocol)
        before = known.get(name)
        on_record = before.metrics if before else {}
        if any(on_record.get(key) != part.version for key, part in metrics.items()):
            lacking = missing.setdefault(samples.folder(layout.data), (samples, []))[1]
            lacking.append(Evaluation(name, protocol, metrics, before))
    return [
        Pass(open_inputs(samples, work.cell.test_features(samples), layout.data), tuple(lacking))
        for samples, lacking in missing.values()
    ]


def _restorer(job: Job, cell: Cell, todo: Sequence[Pass], record: RunRecord | None, context: Context) -> Restore:
    """The trained network as a function of an image; for the cell `input`, the identity."""
    if cell.backbone is None or not todo:
        return lambda lq, prior, truth: lq
    if record is None or record.training is None:
        raise HarnessError("this cell is not trained", where=f"cell {cell.id}", hint="bench run …", kind="checkpoint")
    features = todo[0].inputs.features
    device = torch.device("cuda" if job.run.gpus != 0 and torch.cuda.is_available() else "cpu")
    model = build_model(cell, context.registry, features.prior_dim if features else None)
    final = context.layout.final_weights(cell.id)
    load_weights(model, final, sha256=record.training.checkpoint_sha256)
    model.to(device).eval()
    return lambda lq, prior, truth: restore(model, lq, prior, device, truth)


def _score_set(
    job: Job, cell: Cell, each: Pass, restore_image: Restore, context: Context
) -> tuple[list[store.ImageRow], LeftOut]:
    """One row per image, protocol and metric, without the metrics that cannot be computed of some image, and why not.

    Strips of the first images are written on the way.
    """
    inputs, dataset = each.inputs, each.inputs.samples.dataset.name
    metrics = {
        evaluation.id: build_metrics(evaluation.metrics, evaluation.protocol, context.registry)
        for evaluation in each.evaluations
    }
    left_out: dict[str, dict[str, str]] = {evaluation.id: {} for evaluation in each.evaluations}
    rows: list[store.ImageRow] = []
    for number, (place, sample) in enumerate(zip(inputs.shards.rows, inputs.shards.samples(), strict=True)):
        lq, truth = to_float(sample.lq), to_float(sample.gt)
        prior = inputs.features.row(place.shard, place.position, 0) if inputs.features else None
        restored = restore_image(lq, prior, truth)
        where = f"image {sample.key} of {dataset}"
        for evaluation in each.evaluations:
            try:
                found = score(restored, truth, metrics[evaluation.id], evaluation.protocol)
            except DataError as error:
                raise DataError(error.what, where=where, kind=error.kind) from error
            for key, why in found.left_out.items():  # not tried on further images
                del metrics[evaluation.id][key]
                left_out[evaluation.id][key] = f"{where} under {evaluation.protocol.label}: {why}"
            named = (evaluation.id, dataset, sample.key)
            rows += [store.ImageRow(*named, key, value, place.scene) for key, value in found.values.items()]
        if number < job.run.samples and cell.backbone is not None:
            drawn = "" if inputs.samples.draw == "named" else f".{inputs.samples.draw}"
            name = f"{dataset}{drawn}.{escape_key(sample.key)}.png"
            write_strip(context.layout.samples(cell.id) / name, (lq, restored, truth))
    return [row for row in rows if row.metric not in left_out[row.evaluation]], left_out


def _described(inputs: Inputs, evaluation: Evaluation, left_out: Mapping[str, str], seconds: float) -> EvaluationRecord:
    samples, before = inputs.samples, evaluation.before
    scored = {key: part.version for key, part in evaluation.metrics.items() if key not in left_out}
    kept = {key: version for key, version in before.metrics.items() if key not in left_out} if before else {}
    still = {key: why for key, why in before.left_out.items() if key not in scored} if before else {}
    return EvaluationRecord(
        id=evaluation.id,
        dataset=samples.dataset.name,
        split=samples.split,
        protocol=evaluation.protocol.label,
        metrics={**kept, **scored},
        images=len(inputs.shards),
        seconds=seconds,
        mean=evaluation.protocol.mean,
        left_out={**still, **left_out},
    )


def _save(
    job: Job,
    cell: Cell,
    record: RunRecord | None,
    evaluations: dict[str, EvaluationRecord],
    rows: Sequence[store.ImageRow],
    todo: Sequence[Pass],
    layout: Layout,
) -> None:
    """Rows first, then the record that holds their digest."""
    data: dict[str, str] = {}
    weights: dict[str, str] = {}
    for each in todo:
        data |= each.inputs.data
        weights |= each.inputs.weights
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
