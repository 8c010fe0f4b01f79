"""A record as MLflow shows it: parameters, tags, the loss curve and the means. Knows nothing of MLflow."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.cells.cell import Cell
from harness.core.identity import canonical_json, digest
from harness.records.labels import condition_text, short_names
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


def means(record: RunRecord, images: pyarrow.Table) -> dict[str, float]:
    """Means by `<metric>.<data set>`, for a glance; the tables of `bench leaderboard` are made in reports.

    The condition follows where a test set has one, as `psnr.photos sigma:15`: MLflow takes no equals sign. The
    protocol's name follows where a test set was scored under several, with its version and the beginning of the
    evaluation's id where two share it. The mean is over images or scenes, as the protocol says. A mean that is not
    finite (PSNR of an identical image) is left out, as MLflow would show a made-up number.
    """
    evaluations = {evaluation.id: evaluation for evaluation in record.evaluations}
    under = _told_apart([each for each in record.evaluations if each.metrics])
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in images.to_pylist():
        by_scene = evaluations[row["evaluation"]].mean == "scene" and row["scene"] is not None
        values[row["evaluation"], row["metric"]][row["scene"] if by_scene else row["key"]].append(row["value"])
    found = {}
    for (evaluation_id, metric), parts in values.items():
        evaluation = evaluations[evaluation_id]
        found[f"{metric}.{_test_set(evaluation)}{under[evaluation_id]}"] = fmean(map(fmean, parts.values()))
    return {name: value for name, value in sorted(found.items()) if math.isfinite(value)}


def _test_set(evaluation: EvaluationRecord) -> str:
    return f"{evaluation.dataset} {condition_text(evaluation.condition, ':')}".rstrip()


def _told_apart(evaluations: Sequence[EvaluationRecord]) -> dict[str, str]:
    """What follows the test set's name in the name of a mean, by the evaluation's id."""
    found: dict[str, str] = {}
    for test_set in dict.fromkeys(map(_test_set, evaluations)):
        names = short_names((each.protocol, each.id) for each in evaluations if _test_set(each) == test_set)
        found |= {content: f".{name}" if len(names) > 1 else "" for (_, content), name in names.items()}
    return found
