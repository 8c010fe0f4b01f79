"""The state of every job of a graph: what is done, what is needed, and what cannot be had."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.planning.decide import DONE, Disk, Verdict
from harness.planning.graph import JobGraph, Node, without
from harness.planning.job import EvaluateWork, FeaturesWork, Job, ShardsWork, TrainWork
from harness.planning.needs import Needs
from harness.spec.resolved import SuiteCell


@dataclass(frozen=True)
class Gap:
    """A metric or a test set that an evaluation leaves out, as something is missing here."""

    kind: Literal["metric", "dataset"]
    name: str
    reason: str

    def __str__(self) -> str:
        return f"without {self.name}: {self.reason}"


FORCED = Verdict("todo", "forced")
NOT_NEEDED = Verdict("done", "not needed: all that would use it is done")


class Assessment:
    """Jobs and verdicts of some cells of a suite.

    What can be measured is measured: an evaluate job leaves out the metrics and the test sets that something is
    missing for, and `gaps` names them. Work that nothing needs any more counts as done.
    """

    def __init__(
        self, cells: Sequence[SuiteCell], metrics: Sequence[str], disk: Disk, needs: Needs, forced: Collection[str]
    ) -> None:
        self._disk, self._needs, self._forced = disk, needs, forced
        self._lost_metrics = needs.of_metrics(metrics)
        self._metrics = tuple(metric for metric in metrics if metric not in self._lost_metrics)
        self.graph = JobGraph()
        for cell in cells:
            self.graph.add_cell(cell, self._metrics)
        self.labels = {jobs.id: jobs.suite_cell.labels for jobs in self.graph.cells}
        self.gaps: dict[str, list[Gap]] = {}
        """By cell id."""
        self._gone: set[str] = set()
        self._own: dict[str, Verdict] = {}
        self._obstacles: dict[str, str | None] = {}
        for jobs in self.graph.cells:
            self._find_gaps(jobs.id, jobs.evaluate)
        wanted = self._wanted()
        self.verdicts = {job: self._final(job, job in wanted) for job in self.graph.nodes}
        """By job id."""

    @property
    def forget(self) -> list[str]:
        """Cells whose record and checkpoint must go before they are made again."""
        trained = [
            cell_id
            for cell_id, job in self.graph.trains.items()
            if self.verdicts[job].runs and (cell_id in self._forced or self._again(cell_id))
        ]
        inputs = [
            jobs.id
            for jobs in self.graph.cells
            if jobs.train is None and jobs.evaluate is not None and self.verdicts[jobs.evaluate].runs
            if jobs.id in self._forced or self._disk.kept(jobs.id).damage
        ]
        return inputs + trained

    @property
    def rescore(self) -> list[str]:
        """Cells whose evaluations are made again and whose training stays."""
        forgotten = set(self.forget)
        return [
            jobs.id
            for jobs in self.graph.cells
            if jobs.evaluate is not None and self.verdicts[jobs.evaluate].state == "stale" and jobs.id not in forgotten
        ]

    def title(self, node: Node) -> str:
        """What people call a job."""
        cell = getattr(node.work, "cell", None)
        return Job(work=node.work, labels=self.labels.get(node.id.partition("-")[2]) if cell else None).title

    # --- one job by itself --------------------------------------------------------------------------------------

    def _again(self, cell_id: str) -> bool:
        """Whether a cell was trained and has to be trained again."""
        train = self.graph.trains.get(cell_id)
        return train is not None and self._verdict(train).state == "stale"

    def _verdict(self, job: str) -> Verdict:
        if job not in self._own:
            self._own[job] = self._look(self.graph.nodes[job])
        return self._own[job]

    def _look(self, node: Node) -> Verdict:
        work = node.work
        if isinstance(work, ShardsWork):
            return self._disk.shards(work.samples)
        if isinstance(work, FeaturesWork):
            return self._disk.features(work.features)
        cell_id = node.id.partition("-")[2]
        if cell_id in self._forced and not self._disk.kept(cell_id).newer:
            return FORCED
        if isinstance(work, TrainWork):
            if cell_id in self._gone:
                return Verdict("stale", "its checkpoint is gone and something needs it")
            return self._disk.train(work.cell, cell_id)
        if self._again(cell_id):
            return Verdict("stale", "its cell is trained again")
        return self._disk.evaluate(work.cell, cell_id, work.tests, work.metrics)

    def _obstacle(self, job: str) -> str | None:
        """Why a job cannot be had: what it lacks itself, or the first thing before it that lacks something."""
        if job not in self._obstacles:
            node, verdict = self.graph.nodes[job], self._verdict(job)
            reason = None
            if verdict.state == "blocked":
                reason = verdict.reason
            elif verdict.runs:
                reason = self._needs.of_work(node.work) or self._no_metrics(node) or self._before(node)
            self._obstacles[job] = reason
        return self._obstacles[job]

    def _before(self, node: Node) -> str | None:
        for needed in node.depends:
            reason = self._obstacle(needed)
            if reason is not None:
                return reason if reason.startswith("waits for ") else f"waits for {self._title_of(needed)}: {reason}"
        return None

    def _title_of(self, job: str) -> str:
        return self.title(self.graph.nodes[job])

    def _no_metrics(self, node: Node) -> str | None:
        if isinstance(node.work, EvaluateWork) and not self._metrics:
            return next(iter(self._lost_metrics.values()), "the suite names no metrics")
        return None

    # --- all jobs together --------------------------------------------------------------------------------------

    def _find_gaps(self, cell_id: str, evaluate: str | None) -> None:
        """Takes what cannot be had out of a cell's evaluate job, unless nothing would be left."""
        if evaluate is None:
            return
        node = self.graph.nodes[evaluate]
        gaps = [
            Gap("metric", name, reason)
            for name, reason in self._lost_metrics.items()
            if self._lacks(cell_id, node, name)
        ]
        if self._verdict(evaluate).runs:
            found = [(samples, self._first_obstacle(jobs)) for samples, jobs in node.tests]
            lost = [(samples, reason) for samples, reason in found if reason is not None]
            if len(lost) < len(found) and lost:
                gaps += [Gap("dataset", samples.dataset.name, reason) for samples, reason in lost]
                self.graph.nodes[evaluate] = without(node, [samples for samples, _ in lost])
                del self._own[evaluate]
        if gaps:
            self.gaps[cell_id] = gaps

    def _first_obstacle(self, jobs: Sequence[str]) -> str | None:
        return next((reason for job in jobs if (reason := self._obstacle(job))), None)

    def _lacks(self, cell_id: str, node: Node, metric: str) -> bool:
        """Whether a metric of any test set is neither on record nor going to stay there."""
        record = self._disk.kept(cell_id).record
        assert isinstance(node.work, EvaluateWork)
        return (
            record is None
            or cell_id in self._forced
            or bool(self._disk.lacking(record, node.work.cell, node.work.tests, (metric,)))
        )

    def _roots(self) -> set[str]:
        """The jobs that are wanted for themselves: those that end a cell, and what is forced."""
        roots: set[str] = set()
        for jobs in self.graph.cells:
            end = jobs.evaluate or (jobs.train if jobs.suite_cell.listed else None)
            roots.update(job for job in (end, jobs.train if jobs.id in self._forced else None) if job is not None)
        return roots

    def _wanted(self) -> set[str]:
        """The jobs that are wanted for themselves, and all that those need which are to run."""
        roots = self._roots()
        while True:
            needed: set[str] = set()
            all_there = True
            for job, node in reversed(self.graph.nodes.items()):
                if job in needed and isinstance(node.work, TrainWork) and self._verdict(job) == DONE:
                    all_there &= self._find_checkpoint(job)
                if (job in needed or job in roots) and self._verdict(job).runs:
                    needed.update(node.depends)
            if all_there:
                return roots | needed

    def _find_checkpoint(self, train: str) -> bool:
        """Whether a trained cell's checkpoint is there; if not, the cell counts as stale from now on."""
        cell_id = train.partition("-")[2]
        if self._disk.has_checkpoint(cell_id):
            return True
        self._gone.add(cell_id)
        self._own.pop(train)
        self._own.pop(f"evaluate-{cell_id}", None)
        self._obstacles.clear()
        return False

    def _final(self, job: str, wanted: bool) -> Verdict:
        verdict = self._verdict(job)
        if not verdict.runs:
            return verdict
        if not wanted:
            return NOT_NEEDED
        obstacle = self._obstacle(job)
        return verdict if obstacle is None else Verdict("blocked", obstacle)
