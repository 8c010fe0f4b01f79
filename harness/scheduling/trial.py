"""Jobs that run: what their processes have said so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.api.running import JobOutcome
from harness.jobs.verdict import GRACE, decide
from harness.scheduling.room import Place, Ticket


@dataclass(eq=False)
class Trial:
    """One job. Which of a gang's outcomes counts is decided by harness.jobs.verdict."""

    ticket: Ticket
    outcomes: list[JobOutcome] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    """Ranks that ended their part and live."""
    due: float = float("inf")
    """When it is decided at the latest, once a process has failed."""
    doubted: str = ""
    """Id of the machine whose proof is waited for: the job has failed, and it may be the machine's fault."""

    @property
    def all_said(self) -> bool:
        return len(self.outcomes) >= len(self.ticket.places)

    @property
    def failed(self) -> bool:
        return any(outcome.failure is not None for outcome in self.outcomes)

    def done(self, place: Place, outcome: JobOutcome, now: float) -> None:
        """Notes a process that ended its part."""
        rank = self.ticket.places.index(place)
        self.answered.add(rank)
        self.outcomes.append(replace(outcome, rank=rank))
        if outcome.failure is not None:
            self._hurry(now)

    def lost(self, place: Place, reason: str, now: float, *, left: bool = False) -> None:
        """Notes a process that is gone. `left`: because its machine took its leave."""
        rank = self.ticket.places.index(place)
        self.answered.discard(rank)
        self.outcomes.append(lost_outcome(self.ticket, reason, rank, now, left=left))
        self._hurry(now)

    def verdict(self, now: float) -> JobOutcome:
        """How the job ended."""
        outcome = decide(self.outcomes)
        if outcome.failure == "worker_lost":  # whichever process has the word
            outcome = replace(outcome, left=any(each.left for each in self.outcomes))
        if outcome.failure is not None and outcome.seconds == 0.0:
            return replace(outcome, seconds=now - self.ticket.started)
        return outcome

    def leaves_workers(self, outcome: JobOutcome) -> bool:
        """Whether its workers can run another job: all live, and none was left in the midst of a collective."""
        ranks = len(self.ticket.places)
        whole = len(self.answered) == ranks and not any(each.fresh for each in self.outcomes)
        return whole and (outcome.failure is None or ranks == 1)

    def _hurry(self, now: float) -> None:
        """The others get a moment to say why: the one that broke their connection may be heard after them."""
        self.due = min(self.due, now + (GRACE if len(self.ticket.places) > 1 else 0.0))


class Trials(dict[Ticket, Trial]):
    """Jobs that run, in the order in which they started."""

    def __init__(self) -> None:
        super().__init__()
        self._due: dict[Trial, None] = {}

    def begin(self, ticket: Ticket) -> None:
        self[ticket] = Trial(ticket)

    def end(self, ticket: Ticket) -> None:
        """Nothing happens to one that does not run."""
        if (trial := self.pop(ticket, None)) is not None:
            self.calm(trial)

    def hurry(self, trial: Trial) -> None:
        """Notes that a job of which a process has failed is to be decided when it is due."""
        self._due[trial] = None

    def calm(self, trial: Trial) -> None:
        self._due.pop(trial, None)

    def due(self, now: float) -> list[Trial]:
        return [trial for trial in self._due if trial.due <= now]

    def next_due(self) -> float:
        return min((trial.due for trial in self._due), default=float("inf"))

    def doubted(self, node_id: str) -> list[Trial]:
        """Those that wait for what this machine has to show."""
        return [trial for trial in self.values() if trial.doubted == node_id]


def lost_outcome(ticket: Ticket, reason: str, rank: int, now: float, *, left: bool = False) -> JobOutcome:
    """The outcome of a job whose process is gone."""
    seconds = now - ticket.started if ticket.started else 0.0
    said = reason if len(ticket.places) <= 1 else f"rank {rank}: {reason}"
    return JobOutcome(Path(ticket.job_file).stem, "worker_lost", said, seconds=seconds, rank=rank, left=left)


def may_be_the_machines(outcome: JobOutcome) -> bool:
    """Whether a failure may lie with the machine: of its storage, or before the job could open its log."""
    if outcome.failure in (None, "worker_lost", "memory"):
        return False
    return outcome.failure == "storage" or not outcome.log
