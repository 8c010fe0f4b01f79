"""One run of a plan: submit what is ready, watch, retry lost workers, carry on past failures, stop cleanly.

Knows executors and trackers by their protocols alone.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from harness.api.running import Executor, JobOutcome, Shared, Tracker
from harness.core.paths import Layout, write_text
from harness.jobs.notes import log_of, note_outcome
from harness.planning.job import FeaturesWork, Job, ShardsWork, TogetherWork
from harness.planning.plan import Plan
from harness.records.mirrored import bring_outcomes, job_place, send_attempt, send_cell, send_failure
from harness.scheduling.backlog import Backlog
from harness.scheduling.remakes import Remakes
from harness.scheduling.resources import job_resources, near
from harness.scheduling.signals import sigterm_as_interrupt, uninterrupted
from harness.scheduling.tries import Submission, again, newest_checkpoint
from harness.tracking.background import Background

POLL = 0.5
"""Longest wait for the executor, in seconds, before running jobs are looked at again."""

TRACKER_PATIENCE = 60.0
"""Seconds that a finished run waits for its tracker."""


class Display(Protocol):
    """Shows a run while it goes on."""

    def begin(self, plan: Plan) -> None: ...

    def started(self, job: Job) -> None: ...

    def finished(self, job: Job, outcome: JobOutcome) -> None: ...

    def retrying(self, job: Job, outcome: JobOutcome, retry: int) -> None: ...

    def warn(self, message: str) -> None: ...

    def end(self) -> None: ...


@dataclass(frozen=True)
class FailedJob:
    """A job that failed for good: what, why, and where its log lies; an empty `log` where it has left none. `costs`:
    whether a result is lacking for it."""

    id: str
    title: str
    kind: str
    message: str
    log: str
    costs: bool = True


@dataclass
class RunSummary:
    """How a run ended."""

    done: int = 0
    """Jobs that this run finished."""
    already: int = 0
    """Jobs that were done before."""
    failures: list[FailedJob] = field(default_factory=list)
    not_run: list[tuple[str, str]] = field(default_factory=list)
    """(title, reason) of jobs that needed a failed or blocked one."""
    untracked: dict[str, str] = field(default_factory=dict)
    """Reason by cell id, of records that the tracker does not have yet."""
    seconds: float = 0.0
    job_seconds: float = 0.0
    """Sum over jobs of the time inside the job."""
    held_seconds: float = 0.0
    """Sum over jobs of the time from the start on a worker until the driver had the outcome."""

    lost: set[str] = field(default_factory=set)
    """Ids of the jobs that failed or could not run."""

    def add(self, later: RunSummary) -> None:
        """Adds a run that went on where this one ended. What is not mirrored is as that one found it."""
        self.done += later.done
        self.failures += later.failures
        self.not_run += later.not_run
        self.untracked = later.untracked
        self.seconds += later.seconds
        self.job_seconds += later.job_seconds
        self.held_seconds += later.held_seconds
        self.lost |= later.lost

    @property
    def overhead_per_job(self) -> float:
        """Seconds of a worker's time that the harness adds to a job."""
        return max(0.0, self.held_seconds - self.job_seconds) / self.done if self.done else 0.0


def drive(
    plan: Plan, executor: Executor, tracker: Tracker, layout: Layout, display: Display, *, last: Container[str] = ()
) -> RunSummary:
    """Runs the plan's open jobs to their end and stops the executor.

    Cells that are made again are swapped in when they are whole (harness.records.anew); to be called under the
    folder's lock. `last`: the kinds of failures after which no job is tried any more, as all would fail alike.

    Raises KeyboardInterrupt on Ctrl-C or SIGTERM, with all work stopped and resumable; HarnessError when a job asks
    for more than the machines have, before any starts.
    """
    mirror = Background(tracker, lambda reason: display.warn(f"tracking is behind: {reason}"))
    run = _Run(plan, executor, mirror, layout, display, last)
    display.begin(plan)
    try:
        with sigterm_as_interrupt():
            try:
                run.loop()
            finally:
                with uninterrupted():
                    executor.stop()
                    run.end_remakes()
        run.summary.untracked = mirror.finish(TRACKER_PATIENCE)
    finally:
        display.end()
    return run.close()


class _Run:
    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        mirror: Background,
        layout: Layout,
        display: Display,
        last: Container[str],
    ) -> None:
        self.executor, self.mirror, self.layout, self.display, self.last = executor, mirror, layout, display, last
        self.backlog = Backlog(plan.jobs)
        self.remakes = Remakes(plan, layout)
        self.capacity: Mapping[str, float] = {}
        self.submissions: dict[int, tuple[Any, Submission]] = {}
        """By identity of the executor's handle, which is kept alive beside it."""
        self.began = monotonic()
        self.given_up = False
        """Whether a job has failed after which none is tried."""
        self.summary = RunSummary(already=sum(planned.state == "done" for planned in plan.jobs))

    def loop(self) -> None:
        self.executor.prove(self.shared(), self.display.warn)
        self.capacity = self.executor.capacity()
        self.executor.expect([job_resources(job, self.capacity) for job in self.backlog.jobs.values()])
        self.remakes.begin()
        looked = monotonic()
        for job in sorted(self.backlog.first(), key=self.backlog.priority):
            if self.given_up:
                break
            self.submit(Submission(job))
            if monotonic() - looked > POLL:  # workers that are warm do not wait until all job files are written
                self.look(0.0)
                looked = monotonic()
        while self.backlog.open and not self.given_up:
            self.look(POLL)

    def look(self, timeout: float) -> None:
        """Takes what has started and ended, waiting at most so many seconds for the first."""
        for handle in self.executor.running():
            if not self.note_started(self.submissions[id(handle)][1]):
                break  # the last to start come first
        ended = [(self.submissions.pop(id(handle))[1], outcome) for handle, outcome in self.executor.poll(timeout)]
        bring_outcomes(self.layout, [(each.job.id, each.job.cell_id, bool(said.failure)) for each, said in ended])
        for submission, outcome in ended:
            self.note_started(submission)  # it may have started and ended between two looks
            self.take(submission, outcome)
            if self.given_up:
                break

    def shared(self) -> Shared:
        """What the machines must see alike. Job files name plug-ins from the folder where they lie."""
        folder = self.layout.out.absolute() / "jobs"
        plugins = dict.fromkeys(plugin for job in self.backlog.jobs.values() for plugin in job.plugins)
        here = tuple(os.path.normpath(folder / plugin) for plugin in plugins)
        fills = any(isinstance(job.work, ShardsWork | FeaturesWork) for job in self.backlog.jobs.values())
        return Shared(str(self.layout.out.absolute()), str(self.layout.data.absolute()), here, fills)

    def submit(self, submission: Submission) -> None:
        """Hands out a job, as a try of its own: from now on no earlier one writes (harness.core.fence)."""
        if submission.reached is None:
            submission.reached = newest_checkpoint(submission.job, self.layout)
        job = submission.job = submission.job.model_copy(update={"attempt": uuid4().hex})
        job_id = job.id  # a digest, which is counted anew whenever it is asked for
        write_text(self.layout.job_file(job_id), job.model_dump_json(indent=1) + "\n")
        write_text(self.layout.job_attempt(job_id), job.attempt)
        place, request = job_place(self.layout, job_id), job_resources(job, self.capacity)
        handle = self.executor.submit(place, request, self.backlog.priority(job), near(job))
        self.submissions[id(handle)] = (handle, submission)

    def note_started(self, submission: Submission) -> bool:
        """Notes that a job runs; whether that is new."""
        if submission.started is not None:
            return False
        submission.started = monotonic()
        self.display.started(submission.job)
        return True

    def take(self, submission: Submission, outcome: JobOutcome) -> None:
        """Notes how a job ended, and submits it again or the jobs that can start because of it."""
        job, now = submission.job, monotonic()
        further = again(submission, outcome, self.layout)
        if outcome.failure is not None and not outcome.noted:
            self.note(job, outcome, goes_on=further is not None)
        if further is not None:
            self.display.retrying(job, outcome, further.retries)
            self.submit(further)
            return
        self.display.finished(job, outcome)
        if job.cell_id is not None:
            self.mirror.tell(job.cell_id)
        if outcome.failure is None:
            self.summary.done += 1
            self.summary.job_seconds += outcome.seconds
            self.summary.held_seconds += now - (submission.started or now)
            for ready in self.backlog.done(job):
                self.submit(Submission(ready))
        else:
            log = outcome.log or log_of(job, self.layout)
            costs = not isinstance(job.work, TogetherWork)  # what it did not come to, each cell's own job does
            self.summary.failures.append(FailedJob(job.id, job.title, outcome.failure, outcome.message, log, costs))
            self.given_up |= outcome.failure in self.last
            for lost in self.backlog.failed(job, outcome.failure):
                self.end_job(lost, done=False)
            for ready in self.backlog.released():
                self.submit(Submission(ready))
        self.end_job(job, done=outcome.failure is None)

    def end_job(self, job: Job, *, done: bool) -> None:
        """Swaps in the cells that are whole now, and tells the tracker."""
        with uninterrupted():
            swapped = self.remakes.ended(job, done=done)
        for cell_id in swapped:
            self.mirror.tell(cell_id)

    def end_remakes(self) -> None:
        """Swaps in what is whole and was still read by jobs that have been stopped."""
        for cell_id in self.remakes.end():
            self.mirror.tell(cell_id)

    def note(self, job: Job, outcome: JobOutcome, *, goes_on: bool) -> None:
        """Puts a failure on record that the job's own processes did not: they were lost, or are not the one to write.
        `goes_on`: whether it is tried again.

        First another try begins, so that a process that lives on where nobody sees it writes no more.
        """
        if outcome.failure == "worker_lost":
            write_text(self.layout.job_attempt(job.id), uuid4().hex)
            send_attempt(self.layout, job.id)
        note_outcome(job, self.layout, outcome, goes_on=goes_on)
        if job.cell_id is None:
            send_failure(self.layout, job.id)
        else:
            send_cell(self.layout, job.cell_id)

    def close(self) -> RunSummary:
        failed = {failure.id for failure in self.summary.failures}
        for job_id, reason in self.backlog.given_up.items():
            if job_id not in failed:
                self.summary.not_run.append((self.backlog.jobs[job_id].title, reason))
        self.summary.lost = set(self.backlog.given_up)
        self.summary.seconds = monotonic() - self.began
        return self.summary
