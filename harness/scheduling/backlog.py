"""The jobs of a plan that are still open: which can start, and which never will."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.planning.job import Job
from harness.planning.planned import PlannedJob
from harness.scheduling.order import priorities


class Backlog:
    """Bookkeeping of one run: every job that is to run is open until it is done or given up with a reason.

    Jobs that the plan finds done count as done from the start; jobs that need a blocked job are given up. An evaluation
    goes on without the test sets that cannot be prepared, as long as one is left; a job that trains several cells
    without those whose data cannot be; and a training without the job that was to train its cell ahead of it.
    """

    def __init__(self, planned: Sequence[PlannedJob]) -> None:
        self.jobs: dict[str, Job] = {p.id: p.job for p in planned if p.runs}
        self.given_up: dict[str, str] = {}
        """Reason by job id, of jobs that were to run and cannot."""
        self._titles = {p.id: p.job.title for p in planned}
        self._priority = priorities([p for p in planned if p.runs])
        self._open = set(self.jobs)
        done = {p.id for p in planned if p.state == "done"}
        self._missing = {job_id: set(job.depends) - done for job_id, job in self.jobs.items()}
        self._dependents: dict[str, list[Job]] = defaultdict(list)
        for job_id, missing in self._missing.items():
            for needed in missing:
                self._dependents[needed].append(self.jobs[job_id])
        self._lost: dict[str, set[str]] = defaultdict(set)
        """By evaluate job: the jobs that were to prepare a test set of it and cannot."""
        self._released: list[Job] = []
        for p in planned:
            if p.state == "blocked":
                self._give_up_dependents(p.id)
        self._released.clear()  # they are among the first

    @property
    def open(self) -> bool:
        """Whether any job is neither done nor given up."""
        return bool(self._open)

    def priority(self, job: Job) -> int:
        """Lower goes first; see harness.scheduling.order."""
        return self._priority[job.id]

    def first(self) -> list[Job]:
        """The jobs that can start at once, in plan order."""
        return [self.jobs[job_id] for job_id in self.jobs if job_id in self._open and not self._missing[job_id]]

    def done(self, job: Job) -> list[Job]:
        """Notes that a job is done; returns those that can start because of it."""
        self._open.remove(job.id)
        ready = []
        for dependent in self._dependents[job.id]:
            missing = self._missing[dependent.id]
            missing.remove(job.id)
            if not missing and dependent.id in self._open:
                ready.append(dependent)
        return ready

    def failed(self, job: Job, reason: str) -> list[Job]:
        """Gives up a job; returns those that needed it, given up as well."""
        self._open.remove(job.id)
        self.given_up[job.id] = reason
        return self._give_up_dependents(job.id)

    def released(self) -> list[Job]:
        """The jobs that can start because they go on without what failed; each is given once."""
        released = [job for job in self._released if job.id in self._open]
        self._released.clear()
        return released

    def _goes_on_without(self, job: Job, lost: str) -> bool:
        """Whether a job that is lost prepared one of several test sets of an evaluation, or cells of a together job, or
        did a part of another's work; it then is not waited for."""
        if lost in job.ahead or any(lost in parts for parts in job.parts):  # it does that itself
            self._without(job, lost)
            return True
        if not any(lost in preparing for preparing in job.tests):
            return False
        gone = self._lost[job.id] | {lost}
        if all(gone.intersection(preparing) for preparing in job.tests):
            return False
        self._lost[job.id] = gone
        self._without(job, lost)
        return True

    def _without(self, job: Job, lost: str) -> None:
        missing = self._missing[job.id]
        missing.discard(lost)
        if not missing:
            self._released.append(job)

    def _give_up_dependents(self, lost: str) -> list[Job]:
        causes, given_up = [lost], []
        while causes:
            cause = causes.pop()
            for dependent in self._dependents[cause]:
                if dependent.id in self._open and not self._goes_on_without(dependent, cause):
                    self._open.remove(dependent.id)
                    self.given_up[dependent.id] = f"not run: needs {self._titles[cause]}"
                    causes.append(dependent.id)
                    given_up.append(dependent)
        return given_up
