"""What the jobs that scored parts of a test set have left, for the evaluation that comes after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cells.cell import Cell
from harness.jobs.evaluated import Evaluated, Pass
from harness.jobs.inputs import Inputs
from harness.jobs.scoring import Evaluation
from harness.planning.job import Job
from harness.records.images import ImageRow
from harness.records.scores import load_scores, made_of, remove_scores
from harness.storage.plain import bring_file, send_file


@dataclass(frozen=True)
class Left:
    """The values that the parts of one test set have left."""

    rows: Mapping[str, Sequence[ImageRow]] = field(default_factory=dict)
    """By image."""
    seconds: float = 0.0
    """That they took, over all parts."""
    paths: tuple[Path, ...] = ()

    def remove(self) -> None:
        """Removes the files, whose values are on record."""
        remove_scores(self.paths)
        for path in self.paths:
            send_file(path)


def strips_of(job: Job, cell: Cell) -> int:
    """How many images of each test set are shown: the first ones, which the evaluation scores itself."""
    return 0 if cell.backbone is None else job.run.samples


def made_by(
    evaluated: Evaluated, inputs: Inputs, asked: Sequence[Evaluation], part: int, parts: int, *, first: int
) -> str:
    """A digest of all that the values of a part follow from: weights, images, protocols, metrics, threads, places."""
    training = evaluated.record.training if evaluated.record else None
    metrics = [[each.id, key, metric.identity()] for each in asked for key, metric in sorted(each.metrics.items())]
    weights = training.checkpoint_sha256 if training else None
    read = [inputs.samples.identity(), inputs.data, inputs.weights]
    return made_of(weights, read, metrics, evaluated.job.run.cpus, [part, parts, first])


def left_by_parts(each: Pass, evaluated: Evaluated, inputs: Inputs, asked: Sequence[Evaluation], first: int) -> Left:
    """The values of the parts that are sound, and of what is scored now."""
    rows: dict[str, list[ImageRow]] = {}
    seconds, paths = 0.0, tuple(map(evaluated.context.layout.job_scores, each.parts))
    for number, path in enumerate(paths, start=1):
        bring_file(path)
        found = load_scores(path, made_by(evaluated, inputs, asked, number, len(paths), first=first))
        if found is not None:
            seconds += found.seconds
            for row in found.rows:
                rows.setdefault(row.key, []).append(row)
    return Left(rows, seconds, paths)
