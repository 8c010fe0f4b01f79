"""A record as MLflow shows it: parameters, tags, the loss curve and the means. Knows nothing of MLflow."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api.averages import averages_of
from harness.api.sets import TestSet
from harness.cells.cell import Cell
from harness.core.identity import canonical_json, digest
from harness.records.labels import DIGITS, condition_text, samples_digest, short_names
from harness.records.model import EvaluationRecord, RunRecord

if TYPE_CHECKING:
    import pyarrow

CURVES = ("loss", "lr", "images_per_s")
"""Fields of a step event that make curves."""

STATUS = {"trained": "RUNNING", "done": "FINISHED", "failed": "FAILED"}
"""MLflow's word for a record's status."""


class Point(NamedTuple):
    """One value of a metric: name, value, step, milliseconds since 1970."""

    name: str
    value: float
    step: int
    time_ms: int


def parameters(record: RunRecord) -> dict[str, str]:
    """The cell's identity, flattened: `recipe.lr`, `variant.prior.name`, …; what is not set is left out."""
    return dict(_flatten("", Cell.model_validate(record.cell).content()))


def _flatten(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(f"{path}.{key}" if path else key, item)
    elif value is not None:
        yield path, value if isinstance(value, str) else canonical_json(value)


def tags(record: RunRecord) -> dict[str, str]:
    """What tables call the cell, and where its numbers come from."""
    found = {f"label.{kind}": text for kind, text in record.labels.items()}
    found |= {"code": record.provenance.code, "processor": record.provenance.processor, "status": record.status}
    if record.training is not None and record.training.prior_saw is not None:
        found["prior_saw"] = record.training.prior_saw
    if record.failure is not None:
        found |= {"failure": record.failure.kind, "failure.message": record.failure.message[:1000]}
    return found


def curve(events: list[dict[str, Any]]) -> list[Point]:
    """The points of a training's `step` events."""
    points = []
    for event in events:
        if event.get("event") != "step":
            continue
        time_ms = int(datetime.fromisoformat(event["time"]).timestamp() * 1000)
        values = [(name, event.get(name)) for name in CURVES]
        points += [Point(name, v, event["step"], time_ms) for name, v in values if v is not None and math.isfinite(v)]
    return points


def curve_digest(points: list[Point]) -> str:
    """Digest of a loss curve, without its times; empty when there is none."""
    loss = [[point.step, point.value] for point in points if point.name == "loss"]
    return digest(loss) if loss else ""


def costs(record: RunRecord) -> dict[str, float]:
    """Training's cost as single values."""
    training = record.training
    if training is None:
        return {}
    loss = {} if training.final_loss is None else {"final_loss": training.final_loss}
    return loss | {
        "train_seconds": training.seconds,
        "backbone_parameters": float(training.backbone_parameters),
        "added_parameters": float(training.added_parameters),
    }


def means(
    record: RunRecord, images: pyarrow.Table, tests: Sequence[TestSet] = (), labels: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Means by `<metric>.<data set>`, for a glance; the tables of `bench leaderboard` are made in reports.

    A data set is called as the suite calls it; the beginning of its digest follows where two share a name. Then the
    condition, where a test set has one, as `psnr.photos sigma:15`: MLflow takes no equals sign. A test set that the
    suite has under several conditions has a mean of each name. The protocol's name follows where a test set was scored
    under several, with its version and the beginning of the evaluation's id where two share it. The mean is over images
    or scenes, as the protocol says. A group of a test set has a mean of its own, `psnr.dpdd indoor`, and so have the
    means over several test sets (harness.api.averages). A mean that is not finite (PSNR of an identical image) is left
    out, as MLflow would show a made-up number.

    `tests`: the test sets of the cell in the suite; what is on record of others is called as the record does.
    `labels`: what the suite calls data sets, by digest.
    """
    evaluations = {evaluation.id: evaluation for evaluation in record.evaluations}
    scored = [each for each in record.evaluations if each.metrics]
    under = _told_apart(_test_sets(scored, tests, labels or {}))
    values: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in images.to_pylist():
        by_scene = evaluations[row["evaluation"]].mean == "scene" and row["scene"] is not None
        for group in dict.fromkeys(("", row["group"])):
            of = values[row["evaluation"], row["metric"], group]
            of[row["scene"] if by_scene else row["key"]].append(row["value"])
    found: dict[str, float] = {}
    sets: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (evaluation_id, metric, group), parts in values.items():
        mean, evaluation = fmean(map(fmean, parts.values())), evaluations[evaluation_id]
        for name, protocol in under[evaluation_id]:
            found[f"{metric}.{name}{f' {group}' if group else ''}{protocol}"] = mean
        if not group:
            under_one = (metric, condition_text(evaluation.condition, ":"), evaluation.protocol)
            sets[under_one][evaluation.dataset].append(mean)
    found |= _averages(sets)
    return {name: value for name, value in sorted(found.items()) if math.isfinite(value)}


def _averages(sets: Mapping[tuple[str, str, str], Mapping[str, list[float]]]) -> dict[str, float]:
    """The means over several test sets, from those of each set by (metric, condition, protocol). The protocol's name
    follows where the same sets were scored under several."""
    found: dict[tuple[str, str], float] = {}
    for (metric, condition, protocol), means_of in sets.items():
        for name, mean in averages_of(means_of):
            found[f"{metric}.{name} {condition}".rstrip(), protocol] = mean
    count = Counter(name for name, _ in found)
    return {name if count[name] == 1 else f"{name}.{protocol}": mean for (name, protocol), mean in found.items()}


def _test_sets(
    evaluations: Sequence[EvaluationRecord], tests: Sequence[TestSet], labels: Mapping[str, str]
) -> list[tuple[EvaluationRecord, str]]:
    """What each evaluation's test set is called, once for every condition under which the suite has it."""
    by_samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for test in tests:
        by_samples[samples_digest(test.samples())].append(test.condition)
    plain = {(each.dataset, each.dataset_digest): labels.get(each.dataset_digest, each.dataset) for each in evaluations}
    shared = Counter(plain.values())
    found = []
    for each in evaluations:
        name, content = plain[each.dataset, each.dataset_digest], each.dataset_digest[:DIGITS]
        called = f"{name} {content}".rstrip() if shared[name] > 1 else name
        for condition in by_samples.get(each.samples) or [each.condition]:
            found.append((each, f"{called} {condition_text(condition, ':')}".rstrip()))
    return found


def _told_apart(called: Sequence[tuple[EvaluationRecord, str]]) -> dict[str, list[tuple[str, str]]]:
    """The names of test sets, each with what tells of its protocol where that is needed, by the evaluation's id."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for test_set in dict.fromkeys(name for _, name in called):
        names = short_names((each.protocol, each.id) for each, name in called if name == test_set)
        for (_, evaluation), protocol in names.items():
            found[evaluation].append((test_set, f".{protocol}" if len(names) > 1 else ""))
    return found
