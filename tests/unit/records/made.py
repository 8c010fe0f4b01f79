"""Cells, records and suites made by hand, as finished jobs leave them on disk. No tensor library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from harness.api.protocols import protocol_of
from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, PreparedSet, Samples, TestSet
from harness.api.task import EvaluationProtocol
from harness.cells.cell import RULES, Cell, Variant, evaluation_id
from harness.cells.suite import DATASET_DIGITS, Labels, ResolvedSuite, SuiteCell
from harness.core.identity import digest, file_sha256
from harness.core.paths import Layout, write_json
from harness.parts.catalogue import REGISTRY
from harness.records import store
from harness.records.labels import samples_digest
from harness.records.model import Attempt, EvaluationRecord, Failure, Provenance, RunRecord, Training
from tests.small_metrics import plain_metric

Values = Mapping[str, Mapping[str, float]]
"""Metric → image → value."""

PROVENANCE = Provenance(harness="0.1.0", code="abc", python="3.11", platform="Linux", processor="CPU", cpus=2)
ATTEMPT = Attempt(job="train-x", started="2026-01-01T00:00:00+00:00", ended="2026-01-01T00:01:00+00:00", outcome="done")


@cache
def photos() -> PartRef:
    """The data set that ships with the package's dependencies, with its real fingerprint."""
    return PartRef(name="photos", digest=REGISTRY.load("dataset", "photos")().fingerprint())


def task(name: str = "low_light", **options: Any) -> PartRef:
    return PartRef(name=name, options=options)


def cell(seed: int = 0, **changes: Any) -> Cell:
    """A base cell; `changes` replace fields."""
    fields: dict[str, Any] = {"task": task(), "train": photos(), "backbone": PartRef(name="nafnet"), "seed": seed}
    return Cell(**({"rules": RULES} | fields | changes))


def refined(seed: int = 0, prior: PartRef | str = "nss", variant: Mapping[str, Any] | None = None, **more: Any) -> Cell:
    """The same with PTG-RM; `variant` replaces fields of the variant."""
    prior = PartRef(name=prior) if isinstance(prior, str) else prior
    treatment = {"refiner": PartRef(name="ptg_rm"), "prior": prior} | dict(variant or {})
    return cell(seed, variant=Variant(**treatment), **more)


def degraded(**changes: Any) -> Cell:
    """The input cell."""
    return cell(backbone=None, **changes)


def listed(
    content: Cell, variant: str = "", *, tests: Sequence[PartRef | TestSet] | None = None, listed: bool = True
) -> SuiteCell:
    """A cell as a suite shows it. `tests`: data sets stand for test sets under the cell's own task."""
    if content.backbone is None:
        labels = Labels(task=content.task.name, backbone="input", variant="input")
    else:
        prior = content.variant.prior
        labels = Labels(task=content.task.name, backbone="NAFNet", variant=variant or (prior.name if prior else "base"))
    asked = (photos(),) if tests is None else tests
    sets = tuple(each if isinstance(each, TestSet) else content.test_set(each) for each in asked)
    return SuiteCell(cell=content, labels=labels, tests=sets, listed=listed)


def conditioned(content: Cell, dataset: PartRef | None = None, **condition: Any) -> TestSet:
    """A test set under a condition: the cell's task with these options."""
    noise = PartRef(name=content.task.name, options=condition, drawn=True)
    options = content.task.options | condition
    own = content.task.model_copy(update={"options": options, "derived_from": noise})
    return TestSet(dataset=dataset or photos(), task=own, condition=condition)


def suite(
    *cells: SuiteCell,
    metrics: Sequence[str] = ("psnr", "ssim"),
    name: str = "made",
    protocols: Sequence[EvaluationProtocol] = (),
) -> ResolvedSuite:
    asked = tuple(map(plain_metric, metrics))
    return ResolvedSuite(name=name, cells=cells, metrics=asked, protocols=tuple(protocols))


def protocol(content: Cell) -> EvaluationProtocol:
    return protocol_of(REGISTRY, content.task)


def values(psnr: Sequence[float], ssim: Sequence[float] | None = None) -> Values:
    """Values of the images a, b, c, …"""
    found = {"psnr": dict(zip("abcdef", psnr, strict=False))}
    return found | ({"ssim": dict(zip("abcdef", ssim, strict=False))} if ssim else {})


def rows_of(
    content: Cell,
    samples: Samples,
    scores: Values,
    under: EvaluationProtocol | None = None,
    scenes: Mapping[str, str] | None = None,
) -> list[store.ImageRow]:
    name, scene_of = evaluation_id(content, samples, under or protocol(content)), scenes or {}
    return [
        store.ImageRow(name, samples.dataset.name, key, metric, value, scene_of.get(key, key))
        for metric, by in scores.items()
        for key, value in by.items()
    ]


def finish(
    layout: Layout,
    content: Cell,
    scores: Values | None = None,
    *,
    dataset: PartRef | None = None,
    tests: Sequence[tuple[TestSet, Values]] = (),
    data: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    threads: int = 1,
    protocols: Sequence[EvaluationProtocol] = (),
    scenes: Mapping[str, str] | None = None,
) -> RunRecord:
    """Leaves what a trained cell leaves and, with scores, an evaluated one. Gives the record.

    The scores are those under each of `protocols`, by default the task's own. `scenes`: scene by image. `tests`: test
    sets with scores of their own, in place of `scores`.
    """
    training = None
    if content.backbone is not None:
        final = layout.checkpoints(content.id) / "final.safetensors"
        final.parent.mkdir(parents=True, exist_ok=True)
        save_file({"w": np.zeros(3, np.float32)}, final)
        training = Training(
            steps=content.recipe.steps,
            images=content.recipe.steps * content.recipe.batch,
            seconds=seconds,
            final_loss=0.1,
            backbone_parameters=1000,
            added_parameters=250 if content.variant.refiner else 0,
            checkpoint_sha256=file_sha256(final),
        )
    record = RunRecord(
        cell_id=content.id,
        status="trained",
        labels={"task": "low_light", "backbone": "NAFNet", "variant": "base"},
        cell=content.model_dump(mode="json"),
        provenance=PROVENANCE.model_copy(update={"data": dict(data or {}), "threads": threads}),
        training=training,
        attempts=(ATTEMPT,),
    )
    asked = tests or ([] if scores is None else [(content.test_set(dataset or photos()), scores)])
    if asked:
        used = protocols or (protocol(content),)
        sets = [(test, found, each) for test, found in asked for each in used]
        evaluations = tuple(_evaluation(content, test, each, found) for test, found, each in sets)
        rows = [
            row for test, found, each in sets for row in rows_of(content, test.samples(each.draw), found, each, scenes)
        ]
        sha256 = store.save_images(layout, content.id, rows)
        record = record.model_copy(update={"status": "done", "evaluations": evaluations, "images_sha256": sha256})
    store.save(layout, record)
    return record


def _evaluation(content: Cell, test: TestSet, by: EvaluationProtocol, scores: Values) -> EvaluationRecord:
    return EvaluationRecord(
        id=evaluation_id(content, test.samples(by.draw), by),
        dataset=test.dataset.name,
        split=test.split,
        protocol=by.label,
        dataset_digest=digest(test.dataset.identity(), DATASET_DIGITS),
        samples=samples_digest(test.samples()),
        condition=test.condition,
        metrics=dict.fromkeys(scores, "1"),
        images=max(map(len, scores.values())),
        seconds=3.0,
        mean=by.mean,
    )


def fail(layout: Layout, content: Cell, kind: Any = "nan", message: str = "the loss is NaN at step 7") -> None:
    """Leaves the record of a failed first attempt."""
    store.note_attempt(
        layout,
        cell_id=content.id,
        cell=content.model_dump(mode="json"),
        labels={},
        attempt=ATTEMPT.model_copy(update={"outcome": "failed", "failure": kind, "message": message}),
        failure=Failure(kind=kind, message=message, log="jobs/x.log"),
        provenance=PROVENANCE,
    )


def prepare(layout: Layout, *sets: PreparedSet | FeatureSet) -> None:
    """Leaves the manifests of prepared and feature sets; before a degraded set's, that of its clean images."""
    for content in sets:
        path = content.folder(layout.data) / "manifest.json"
        if isinstance(content, PreparedSet):
            if content.source is not None:
                prepare(layout, content.source)
            write_json(path, {"set": content.identity()})
        else:
            samples = file_sha256(content.samples.stored.folder(layout.data) / "manifest.json")
            manifest = {"features": content.identity(), "samples_manifest_sha256": samples}
            write_json(path, manifest)
