"""The executor of warm workers, whoever runs them (harness.scheduling.backend): it knows no Ray.

Which job runs where is decided by harness.scheduling.placing, which of a gang's outcomes counts by
harness.jobs.verdict, whether a worker still lives by harness.scheduling.watch; here is what they are told, and what is
done about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from harness.api.running import JobOutcome, Request, Shared
from harness.jobs.verdict import GRACE, decide
from harness.scheduling.backend import Backend, Dead, Done, Event, Proved, Unfit, Warm
from harness.scheduling.machines import Machines
from harness.scheduling.placing import Placing
from harness.scheduling.resources import check_capacity
from harness.scheduling.room import Place, Slot, Ticket
from harness.scheduling.watch import SILENCE, Watch

WARM_AHEAD = 8
"""Processes started before a job waits for them. More would only hold memory when jobs depend on each other."""

LOOK = 5.0
"""Seconds between looks at the signs of life of the workers."""

SLOW = 120.0
"""Seconds that workers take to start before the user is told."""

ROUND = 0.5
"""Longest wait for news, in seconds, before what goes by time is looked at again."""


@dataclass(eq=False)
class _Trial:
    """A job that runs: what its processes have said so far."""

    ticket: Ticket
    outcomes: list[JobOutcome] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    """Ranks that ended their part and live."""
    due: float = float("inf")
    """When it is decided at the latest, once a process has failed."""


class Pool:
    """Runs jobs on warm workers. `silence`: seconds after which a worker that gives no sign is lost."""

    def __init__(self, backend: Backend, *, silence: float = SILENCE, look: float = LOOK) -> None:
        self._backend, self._look = backend, look
        self._placing, self._watch = Placing(), Watch(silence)
        self._machines = Machines(backend, self._placing)
        self._trials: dict[Ticket, _Trial] = {}
        """Jobs that run, by ticket, in the order in which they started."""
        self._due: dict[_Trial, None] = {}
        """Those of them of which a process has failed."""
        self._ended: list[tuple[Ticket, JobOutcome]] = []
        self._ports: dict[Place, int] = {}
        self._starting: dict[Slot, float] = {}
        """Slots none of whose workers is warm yet, and since when."""
        self._submitted = self._open = 0
        self._handed = False
        """Whether a job has started since jobs were last polled: then poll returns, so that it is seen at once."""
        self._looked = 0.0

    def prove(self, shared: Shared, tell: Callable[[str], None]) -> None:
        """See Executor. Of machines that cannot run jobs, each is told with its reasons."""
        self._machines.tell = tell
        self._machines.demand(shared)
        self._machines.settle(self._take)

    def capacity(self) -> Mapping[str, float]:
        """CPUs and GPUs of all machines but those that are set aside."""
        nodes = self._machines.usable()
        return {"cpus": sum(node.cpus for node in nodes), "gpus": sum(node.gpus for node in nodes)}

    def expect(self, requests: Sequence[Request]) -> None:
        """Starts the first workers in the background, in the order in which their requests come."""
        self._machines.settle(self._take)
        check_capacity(requests, self.capacity())
        counts = Counter(requests)
        self._machines.check_fit(counts)
        left = WARM_AHEAD
        for request, count in counts.items():
            slots = self._placing.warm_ahead(request, min(count, max(1, left // request.processes)) if left > 0 else 0)
            left -= sum(len(slot.places) for slot in slots)
            for slot in slots:
                self._start(slot)

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> Ticket:
        self._machines.settle(self._take)
        ticket = Ticket(priority, self._submitted, job_file, request, near)
        self._submitted += 1
        self._open += 1
        self._placing.submit(ticket)
        self._step()
        return ticket

    def poll(self, timeout: float) -> Sequence[tuple[Ticket, JobOutcome]]:
        """See Executor. Raises HarnessError when no machine is left that can run jobs, or the cluster is gone."""
        deadline = monotonic() + timeout
        while True:
            self._by_time(monotonic())
            left = deadline - monotonic()
            if self._ended or self._handed or not self._open or left <= 0:
                break
            wait = min([left, ROUND, *(max(0.0, trial.due - monotonic()) for trial in self._due)])
            for event in self._backend.events(wait):
                self._take(event)
            self._step()
        ended, self._ended, self._handed = self._ended, [], False
        self._open -= len(ended)
        return ended

    def running(self) -> Iterable[Ticket]:
        return reversed(self._trials)

    def stop(self) -> None:
        """Ends all workers at once, and leaves the cluster."""
        self._machines.forget()
        self._trials.clear()
        self._due.clear()
        self._open = 0
        self._backend.close()

    def _step(self) -> None:
        """Places what can be placed."""
        steps = self._placing.step(monotonic())
        self._end(steps.end)
        for slot in steps.start:
            self._start(slot)
        for ticket in steps.hand:
            self._hand(ticket)

    def _start(self, slot: Slot) -> None:
        self._starting[slot] = monotonic()
        self._backend.start(slot)

    def _hand(self, ticket: Ticket) -> None:
        ticket.started = now = monotonic()
        self._handed = True
        self._trials[ticket] = _Trial(ticket)
        for place in ticket.places:
            self._watch.begin(place, now)
        self._backend.run(ticket, ticket.seats(self._ports[ticket.places[0]]))

    def _by_time(self, now: float) -> None:
        """What is looked at now and then: machines, signs of life, gangs of which a process has failed."""
        self._backend.check()
        for trial in [trial for trial in self._due if trial.due <= now]:
            self._settle(trial)
        for slot, reason in self._machines.look(now):
            self._lose_slot(slot, reason)
        if now - self._looked >= self._look:
            self._looked = now
            self._look_at_pulses(now)
            self._look_at_starting(now)
        self._step()

    def _look_at_pulses(self, now: float) -> None:
        watched = self._watch.watched()
        pulses = self._backend.pulses(watched) if watched else {}
        for place in watched:
            self._watch.note(place, pulses.get(place, b""), now)
        for trial in list(self._trials.values()):
            if (found := self._watch.lost(trial.ticket, now)) is not None:
                self._fail(trial, *found)
                self._settle(trial)

    def _look_at_starting(self, now: float) -> None:
        late = [slot for slot, since in self._starting.items() if now - since > SLOW]
        for slot in late:
            del self._starting[slot]
        if late:
            names = ", ".join(sorted({place.node.name for slot in late for place in slot.places}))
            self._machines.tell(f"workers on {names} have not started for {SLOW:.0f} s: do others use the cluster?")

    def _take(self, event: Event) -> None:
        if isinstance(event, Proved):
            self._machines.proved(event.node_id, event.reasons)
        elif isinstance(event, Warm):
            self._ports[event.place] = event.port
            self._starting.pop(event.place.slot, None)
            for ticket in self._placing.warmed(event.place):
                self._hand(ticket)
        elif isinstance(event, Done):
            self._note_done(event)
        elif isinstance(event, Unfit):
            for slot in self._machines.set_aside(event.place.node, (event.reason,)):
                self._lose_slot(slot, f"{event.place.node.name} cannot run jobs: {event.reason}")
        else:
            self._note_dead(event)

    def _note_done(self, event: Done) -> None:
        trial = self._trials.get(event.ticket)
        if trial is None or event.place not in event.ticket.places:
            return  # it was decided meanwhile
        self._ports[event.place] = event.port
        rank = event.ticket.places.index(event.place)
        trial.answered.add(rank)
        trial.outcomes.append(replace(event.outcome, rank=rank))
        if event.outcome.failure is not None:
            self._note_failure(trial)
        if len(trial.outcomes) >= len(event.ticket.places):
            self._settle(trial)

    def _note_dead(self, event: Dead) -> None:
        place, ticket = event.place, event.place.ticket
        if place.slot not in self._placing.slots:
            return  # ended by us
        if event.no_machine:
            for slot in self._machines.gone(place.node):
                self._lose_slot(slot, f"{place.node.name} has left the cluster")
            return
        if ticket is None:
            place.dead = True
            self._end(self._placing.doom(place.slot))
        elif ticket in self._trials:
            trial = self._trials[ticket]
            self._fail(trial, place, event.reason)
            if len(trial.outcomes) >= len(ticket.places):
                self._settle(trial)
        else:
            self._lose(ticket, event.reason)

    def _fail(self, trial: _Trial, place: Place, reason: str) -> None:
        """Notes a process that is lost."""
        rank = trial.ticket.places.index(place)
        trial.answered.discard(rank)
        trial.outcomes.append(_lost(trial.ticket, reason, rank))
        self._note_failure(trial)

    def _note_failure(self, trial: _Trial) -> None:
        """The others get a moment to say why: the one that broke their connection may be heard after them."""
        trial.due = min(trial.due, monotonic() + (GRACE if len(trial.ticket.places) > 1 else 0.0))
        self._due[trial] = None

    def _settle(self, trial: _Trial) -> None:
        """Decides how a job ended. Workers that did not end their part, or must not run another, are replaced."""
        ticket, outcome = trial.ticket, decide(trial.outcomes)
        whole = len(trial.answered) == len(ticket.places) and not any(each.fresh for each in trial.outcomes)
        if outcome.failure is not None and outcome.seconds == 0.0:
            outcome = replace(outcome, seconds=monotonic() - ticket.started)
        self._finish(ticket, outcome, reuse=whole and (outcome.failure is None or len(ticket.places) == 1))

    def _lose(self, ticket: Ticket, reason: str) -> None:
        """Gives up a job whose workers are lost, whether it runs or still waits for them."""
        self._finish(ticket, _lost(ticket, reason, 0), reuse=False)

    def _put_back(self, ticket: Ticket) -> None:
        """Lets a job that has not started wait for other workers."""
        for place in ticket.places:
            self._backend.kill(place)
        self._end(self._placing.ended(ticket, reuse=False))
        ticket.places = ()
        self._placing.submit(ticket)

    def _lose_slot(self, slot: Slot, reason: str) -> None:
        """Gives up workers, and the jobs on them."""
        for ticket in dict.fromkeys(place.ticket for place in slot.places if place.ticket is not None):
            if ticket in self._trials:
                self._lose(ticket, reason)
            else:
                self._put_back(ticket)
        self._end(self._placing.doom(slot))

    def _finish(self, ticket: Ticket, outcome: JobOutcome, *, reuse: bool) -> None:
        trial = self._trials.pop(ticket, None)
        if trial is not None:
            self._due.pop(trial, None)
        for place in ticket.places:
            self._watch.end(place)
            if not reuse:
                self._backend.kill(place)
        self._end(self._placing.ended(ticket, reuse=reuse))
        self._ended.append((ticket, outcome))

    def _end(self, slots: Collection[Slot]) -> None:
        for slot in slots:
            for place in slot.places:
                self._ports.pop(place, None)
            self._starting.pop(slot, None)
            self._backend.end(slot)


def _lost(ticket: Ticket, reason: str, rank: int) -> JobOutcome:
    seconds = monotonic() - ticket.started if ticket.started else 0.0
    said = reason if len(ticket.places) <= 1 else f"rank {rank}: {reason}"
    return JobOutcome(Path(ticket.job_file).stem, "worker_lost", said, seconds=seconds, rank=rank)
