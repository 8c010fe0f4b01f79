"""What one run of MLflow is told, in as few calls as its limits allow: as a rule one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.tracking.entries import Point
from harness.tracking.names import LONGEST_TAG, stored_text

METRICS_PER_CALL, ENTRIES_PER_CALL, ALL_PER_CALL = 1000, 100, 1000
"""MLflow's limits of one log_batch: metrics; parameters or tags; all together."""


@dataclass
class Batch:
    """Parameters, metrics and tags of a run, in MLflow's letters."""

    parameters: dict[str, str]
    points: list[Point]
    tags: dict[str, str]

    def added_to(self, run: Any) -> Any:
        """MLflow's run with these parameters and tags, as it is after the calls; metrics are not looked at."""
        from mlflow.entities import Param, Run, RunData, RunTag

        params = {**run.data.params, **self.parameters}
        tags = {**run.data.tags, **{name: stored_text(value, LONGEST_TAG) for name, value in self.tags.items()}}
        data = RunData([], [Param(*pair) for pair in params.items()], [RunTag(*pair) for pair in tags.items()])
        return Run(run.info, data)

    def calls(self) -> Iterator[dict[str, list[Any]]]:
        """The arguments of each call of log_batch.

        The last call has the last tags, and MLflow writes the tags of a call after all else in it: once the last tag is
        there, everything is.
        """
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(name, value) for name, value in self.parameters.items()]
        metrics = [Metric(point.name, point.value, point.time_ms, point.step) for point in self.points]
        tags = [RunTag(name, stored_text(value, LONGEST_TAG)) for name, value in self.tags.items()]
        while len(metrics) > METRICS_PER_CALL or len(params) + len(tags) + len(metrics) > ALL_PER_CALL:
            yield {"metrics": metrics[:METRICS_PER_CALL]}
            metrics = metrics[METRICS_PER_CALL:]
        while len(params) > ENTRIES_PER_CALL:
            yield {"params": params[:ENTRIES_PER_CALL]}
            params = params[ENTRIES_PER_CALL:]
        while len(tags) > ENTRIES_PER_CALL:
            yield {"tags": tags[:ENTRIES_PER_CALL]}
            tags = tags[ENTRIES_PER_CALL:]
        yield {"params": params, "metrics": metrics, "tags": tags}
