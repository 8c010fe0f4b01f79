"""The first pass: the state of each job according to what is on disk, even of jobs that nothing needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from harness.api.sets import FeatureSet, PreparedSet
from harness.cells.cell import evaluation_id
from harness.cells.suite import SuiteMetric
from harness.core.errors import DataError
from harness.planning.disk import Disk, Kept, SetManifest
from harness.planning.job import EvaluateWork, FeaturesWork, ShardsWork, TrainWork, job_id
from harness.planning.missing import one_line
from harness.planning.nodes import CellJobs, HeldOut, JobGraph, JobNode
from harness.planning.verdict import DONE, TODO, Reason, Verdict, Why, stale
from harness.records import store
from harness.records.migrate import Untouchable
from harness.records.model import EvaluationRecord, RunRecord, vectors_of, weights_of

FORCED = Verdict("todo", Reason(Why.FORCED))


def look(graph: JobGraph, disk: Disk, forced: Collection[str]) -> dict[str, Verdict]:
    """The verdict on each job, by id: done, todo, stale, or blocked by a record that a newer release wrote.

    `forced`: ids of the cells that are made again. The record alone says whether a cell is trained; whether its
    checkpoint is there matters only when something needs it (harness.planning.needed).
    """
    found: dict[str, Verdict] = {}
    for job, node in graph.nodes.items():
        if node.kind == "scores":
            found[job] = TODO  # the job sees whether its values are there, and what they are worth
        elif node.cell_id is None:
            verdict = _of_set(node, disk)
            again = (_other_soon(graph.nodes[each], found[each]) for each in node.depends)
            if verdict == DONE and not node.shards and any(again):
                verdict = stale(Why.INPUTS_MADE_AGAIN)  # the job compares digests and does no more if they agree
            found[job] = _tried(verdict, disk.failures.get(job))
        elif node.cell_id in forced and not disk.kept_by(node).newer:
            found[job] = FORCED
        elif isinstance(node.work, TrainWork):
            found[job] = _of_training(node, graph, disk)
        else:
            train = graph.trains.get(node.cell_id)
            found[job] = _of_evaluation(node, graph, disk, train=found[train] if train else DONE)
    return found


def outdated(jobs: CellJobs, graph: JobGraph, disk: Disk) -> Reason | None:
    """Why what is on record of a cell must not be shown: it is damaged, or made from other data than there is now."""
    kept = disk.kept[jobs.id]
    trained = DONE if jobs.train is None else _of_training(graph.nodes[jobs.train], graph, disk)
    if trained.state == "stale":
        return trained.reason
    tests = () if jobs.evaluate is None else graph.nodes[jobs.evaluate].tests
    return kept.trouble or (None if kept.record is None else _changed_tests(kept.record, tests, graph, disk))


def _other_soon(node: JobNode, verdict: Verdict) -> bool:
    """Whether a job that features depend on may give something else than they were made from.

    A network whose record is gone or damaged is not trained again for the sake of vectors that are there.
    """
    if node.kind != "train":
        return verdict.runs
    return verdict == FORCED or (verdict.state == "stale" and (verdict.reason is None or not verdict.reason.is_damage))


def _tried(verdict: Verdict, failure: Reason | None) -> Verdict:
    """The verdict on a set; what is to be made says why the last attempt at it failed."""
    return verdict if failure is None or not verdict.runs else Verdict(verdict.state, failure)


def _of_set(node: JobNode, disk: Disk) -> Verdict:
    """Whether a set is there, by its manifest, and is made of what it is made from as that is now."""
    if isinstance(node.work, ShardsWork):
        verdict = _of_stored(node.work.stored, disk)
        return DONE if node.id in disk.finished else verdict
    manifest = disk.manifests[node.id]
    assert isinstance(node.work, FeaturesWork), node.kind
    verdict = _described(manifest, "features", node.work.features)
    return verdict if verdict != DONE or manifest.content is None else _of_vectors(node, manifest.content, disk)


def _of_stored(stored: PreparedSet, disk: Disk) -> Verdict:
    """Whether a prepared set is there, and degraded images are made of the clean ones as they are now."""
    manifest = disk.manifests[job_id(ShardsWork(stored=stored))]
    verdict = _described(manifest, "set", stored)
    if stored.source is None or verdict != DONE or manifest.content is None:
        return verdict
    clean = disk.manifests[job_id(ShardsWork(stored=stored.source))].sha256
    return (
        verdict if clean is None or manifest.content.get("parents", [clean]) == [clean] else stale(Why.SAMPLES_CHANGED)
    )


def _of_vectors(node: JobNode, content: Mapping[str, Any], disk: Disk) -> Verdict:
    """Whether features are made of the samples, the parents' rows and the network that are there now."""
    sets = [disk.manifests[job].sha256 for job in node.depends if job in disk.manifests]
    samples, parents = sets[0], sets[1:]  # features depend on their shards first
    if samples not in (None, content.get("samples_manifest_sha256")):
        return stale(Why.SAMPLES_CHANGED)
    if None not in parents and content.get("parents", parents) != parents:
        return stale(Why.PARENTS_CHANGED)
    weights = content.get("weights")
    for name, used in weights.items() if isinstance(weights, Mapping) else ():
        kept = disk.kept.get(name.removeprefix(weights_of("")))
        if kept is not None and kept.weights_sha256 not in (None, used):
            return stale(Why.NETWORK_CHANGED, name.removeprefix(weights_of("")))
    return DONE


def _folder(manifest: SetManifest) -> str:
    """A split's folder, as messages name it."""
    return manifest.name.rpartition("/")[2]


def _described(manifest: SetManifest, name: str, content: PreparedSet | FeatureSet) -> Verdict:
    """Whether a manifest says that its folder holds that content."""
    if manifest.damage is not None:
        return Verdict("stale", manifest.damage)
    if manifest.content is None or manifest.sha256 is None:
        return stale(Why.MANIFEST_MISSING) if manifest.exists else TODO
    if manifest.content.get(name) != content.identity():
        return stale(Why.OTHER_CONTENT, _folder(manifest))
    return DONE


def _changed(record: RunRecord, job: str, graph: JobGraph, disk: Disk) -> bool:
    """Whether a set is there, sound, and is not the one that the record was made from; or its clean images are not."""
    work, manifest = graph.nodes[job].work, disk.manifests[job]
    source = work.stored.source if isinstance(work, ShardsWork) else None
    if source is not None and _changed(record, job_id(ShardsWork(stored=source)), graph, disk):
        return True
    name = vectors_of(work.features.name) if isinstance(work, FeaturesWork) else manifest.record_name
    used = record.provenance.data.get(name)
    return used is not None and manifest.sha256 is not None and not manifest.is_one_of(used)


def _of_training(node: JobNode, graph: JobGraph, disk: Disk) -> Verdict:
    """Whether a cell is trained, by its record."""
    kept = disk.kept_by(node)
    if kept.trouble is not None:
        return _troubled(kept)
    if kept.record is None or kept.record.training is None:
        return Verdict("todo", kept.failure or (Reason(Why.INTERRUPTED) if kept.begun else None))
    assert isinstance(node.work, TrainWork)
    for job in node.depends:
        if job in disk.manifests and _changed(kept.record, job, graph, disk):
            shards = graph.nodes[job].kind == "shards"
            return stale(Why.TRAIN_IMAGES_CHANGED if shards else Why.TRAIN_VECTORS_CHANGED)
    for why, upstream in ((Why.BASE_CHANGED, node.work.cell.base), (Why.SOURCE_CHANGED, node.work.cell.prior_source)):
        if upstream is not None and _other_weights(kept.record, upstream.id, disk):
            return stale(why, upstream.id)
    return DONE


def _other_weights(record: RunRecord, upstream: str, disk: Disk) -> bool:
    """Whether another cell that a record rests on has left other weights since. What is not on record is believed."""
    used, kept = record.provenance.weights.get(weights_of(upstream)), disk.kept.get(upstream)
    return used is not None and kept is not None and kept.weights_sha256 not in (None, used)


def _troubled(kept: Kept) -> Verdict:
    """The verdict on jobs of a cell whose record is not to be trusted."""
    return Verdict("blocked" if kept.newer else "stale", kept.trouble)


def _of_evaluation(node: JobNode, graph: JobGraph, disk: Disk, *, train: Verdict) -> Verdict:
    """Whether all the metrics of all the test sets are on record and the per-image table is sound.

    `train`: the verdict on the training of the cell.
    """
    if train.state == "stale":
        return stale(Why.TRAINED_AGAIN)
    kept = disk.kept_by(node)
    if kept.trouble is not None:
        return _troubled(kept)
    if kept.record is None:
        return TODO
    assert isinstance(node.work, EvaluateWork)
    lacking = not_scored(kept.record, node, node.work.metrics)
    damage = _damaged_images(disk, kept.record) if kept.record.evaluations or not lacking else None
    if damage is not None and damage.kind is Why.UNREADABLE:
        return Verdict("blocked", damage)
    damage = None if lacking else damage
    changed = _changed_tests(kept.record, node.tests, graph, disk)
    if damage or changed:
        return Verdict("stale", damage or changed)
    return Verdict("todo", _why_not_scored(kept, node, lacking)) if lacking else DONE


def _why_not_scored(kept: Kept, node: JobNode, lacking: Sequence[str]) -> Reason | None:
    """Why a cell with a record lacks scores: its failure, or what is missing; None before any evaluation."""
    assert kept.record is not None
    assert isinstance(node.work, EvaluateWork)
    trained = kept.record.training is not None or node.work.cell.backbone is None
    if trained and kept.failure:  # else it is the training that failed
        return kept.failure
    return Reason(Why.NOT_ALL_SCORED, ", ".join(lacking)) if kept.record.evaluations else None


def _damaged_images(disk: Disk, record: RunRecord) -> Reason | None:
    """What is wrong with the table of images: it is damaged, or cannot be read now and may be sound."""
    try:
        store.read_images(disk.layout, record)
    except Untouchable as error:
        return Reason(Why.UNREADABLE, str(error))
    except DataError as error:
        return Reason(Why.DAMAGED, f"{disk.layout.images(record.cell_id)}: {one_line(error)}")
    return None


def _changed_tests(record: RunRecord, tests: Iterable[HeldOut], graph: JobGraph, disk: Disk) -> Reason | None:
    """Which test sets, or prior vectors of them, are not those that the record's evaluations saw; None when all are."""
    images, vectors = changed_tests(record, tests, graph, disk)
    if images:
        return Reason(Why.TEST_IMAGES_CHANGED, _names(images))
    return Reason(Why.TEST_VECTORS_CHANGED, _names(vectors)) if vectors else None


def _names(tests: Iterable[HeldOut]) -> str:
    """The data sets of some test sets, each once, as one may be tested under several conditions."""
    return ", ".join(dict.fromkeys(test.samples.dataset.called for test in tests))


def changed_tests(
    record: RunRecord, tests: Iterable[HeldOut], graph: JobGraph, disk: Disk
) -> tuple[list[HeldOut], list[HeldOut]]:
    """The test sets whose images are not those that the record's evaluations saw, and those whose vectors are not."""
    if not record.evaluations:
        return [], []
    tests = tuple(tests)
    images = [test for test in tests if _changed(record, test.shards, graph, disk)]
    vectors = [test for test in tests if test.features and _changed(record, test.features, graph, disk)]
    return images, vectors


def not_scored(record: RunRecord, node: JobNode, metrics: Sequence[SuiteMetric]) -> list[str]:
    """The test sets of an evaluate job, or the metrics of one, that are not on record; with the protocol if there are
    several."""
    work = node.work
    assert isinstance(work, EvaluateWork)
    known = {evaluation.id: evaluation for evaluation in record.evaluations}
    found = []
    for samples, protocol in work.evaluations(work.protocols):
        on_record = known.get(evaluation_id(work.cell, samples, protocol))
        called = samples.dataset.called
        said = f"{called} under {protocol.label}" if len(work.protocols) > 1 else called
        asked = [metric for metric in metrics if metric.is_measured(protocol)]
        found.append(_not_scored(said, on_record, asked) if asked else "")
    return list(dict.fromkeys(what for what in found if what))  # one set under several conditions is named once


def _not_scored(dataset: str, on_record: EvaluationRecord | None, metrics: Sequence[SuiteMetric]) -> str:
    """What is not on record of one test set; empty when all is."""
    if on_record is None:
        return dataset
    lacking = [metric for metric in metrics if not metric.is_version(on_record.metrics.get(metric.key))]
    return ", ".join(f"{metric.key} of {dataset}" for metric in lacking)
