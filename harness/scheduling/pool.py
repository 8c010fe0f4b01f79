"""The executor of warm workers, whoever runs them (harness.scheduling.backend): it knows no Ray.

Which job runs where is decided by harness.scheduling.placing, how a job ended by harness.scheduling.trial, whether a
worker still lives by harness.scheduling.watch, whether it ever starts by harness.scheduling.starting; here is what they
are told, and what is done about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic

from harness.api.running import JobOutcome, Request, Shared
from harness.scheduling.backend import Backend, Dead, Done, Event, Proved, Unfit, Warm
from harness.scheduling.departures import took_leave, why_dead
from harness.scheduling.machines import Machines
from harness.scheduling.placing import Placing
from harness.scheduling.resources import check_capacity
from harness.scheduling.room import Place, Slot, Ticket
from harness.scheduling.starting import DEATHS, NOT_READY, Starting
from harness.scheduling.trial import Trial, Trials, lost_outcome, may_be_the_machines
from harness.scheduling.watch import SILENCE, Watch

WARM_AHEAD = 8
"""Processes started before a job waits for them. More would only hold memory when jobs depend on each other."""

LOOK = 5.0
"""Seconds between looks at the signs of life of the workers."""

ROUND = 0.5
"""Longest wait for news, in seconds, before what goes by time is looked at again."""


class Pool:
    """Runs jobs on warm workers. `silence`: seconds after which a worker that gives no sign is lost."""

    def __init__(self, backend: Backend, *, silence: float = SILENCE, look: float = LOOK) -> None:
        self._backend, self._look = backend, look
        self._placing, self._watch = Placing(), Watch(silence)
        self._machines = Machines(backend, self._placing)
        self._trials = Trials()
        self._ended: list[tuple[Ticket, JobOutcome]] = []
        self._ports: dict[Place, int] = {}
        self._starting = Starting()
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
            self._by_time(now := monotonic())
            if self._ended or self._handed or not self._open:
                break
            for event in self._backend.events(max(0.0, min(deadline - now, ROUND, self._trials.next_due() - now))):
                self._take(event)
            self._step()
            if now >= deadline:
                break
        ended, self._ended, self._handed = self._ended, [], False
        self._open -= len(ended)
        return ended

    def running(self) -> Iterable[Ticket]:
        return reversed(self._trials)

    def stop(self) -> None:
        """Ends all workers at once, and leaves the cluster."""
        self._machines.forget()
        self._trials.clear()
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
        self._starting.begin(slot, monotonic())
        self._backend.start(slot)

    def _hand(self, ticket: Ticket) -> None:
        ticket.started = now = monotonic()
        self._handed = True
        self._trials.begin(ticket)
        for place in ticket.places:
            self._watch.begin(place, now)
        self._backend.run(ticket, ticket.seats(self._ports[ticket.places[0]]))

    def _by_time(self, now: float) -> None:
        """What is looked at now and then: machines, signs of life, gangs of which a process has failed."""
        self._backend.check()
        for trial in self._trials.due(now):
            self._settle(trial)
        for slot, reason in self._machines.look(now, lambda: bool(self._trials) or self._starting.is_awaited):
            self._lose_slot(slot, reason)
        if now - self._looked >= self._look:
            self._looked = now
            self._look_at_signs(now)
        self._step()

    def _look_at_signs(self, now: float) -> None:
        places = [*self._watch.watched(), *self._starting.places]
        self._watch.look(signs := self._backend.pulses(places) if places else {}, now)
        if signs is None:
            return
        for trial in [trial for trial in self._trials.values() if not trial.doubted]:
            if (found := self._watch.lost(trial.ticket)) is not None:
                trial.lost(*found, now)
                self._settle(trial)
        self._starting.note(signs.keys(), now)
        for event in self._backend.events(0.0):  # if the driver was held up, workers may be warm for long
            self._take(event)
        self._look_at_starting(now)

    def _look_at_starting(self, now: float) -> None:
        late = self._starting.late(now)
        for message in late.tell:
            self._machines.tell(message)
        for place in late.hung:
            if place in self._starting.places:  # its gang has not been given up meanwhile
                self._lose_start(place, f"it {NOT_READY}")
        for node in late.doubtful:
            self._machines.doubt(node)

    def _take(self, event: Event) -> None:
        if isinstance(event, Proved):
            self._take_proof(event)
        elif isinstance(event, Warm):
            self._take_warm(event)
        elif isinstance(event, Done):
            self._take_done(event)
        elif isinstance(event, Unfit):
            for slot in self._machines.set_aside(event.place.node, event.reason):
                self._lose_slot(slot, f"{event.place.node.name} cannot run jobs: {event.reason}")
        else:
            self._take_dead(event)

    def _take_proof(self, event: Proved) -> None:
        """Of jobs that wait for it, those on a good machine failed by themselves; those on a bad one are lost."""
        for slot, reason in self._machines.proved(event.node_id, event.reasons):
            self._lose_slot(slot, reason)
        for trial in self._trials.doubted(event.node_id):
            self._decide(trial)

    def _take_warm(self, event: Warm) -> None:
        place = event.place
        if place.slot not in self._placing.slots or place.dead:
            return  # ended by us
        self._starting.warm(place)
        if place.ticket is None and place.slot.doomed:
            return
        self._ports[place] = event.port
        for ticket in self._placing.warmed(place):
            self._hand(ticket)

    def _take_done(self, event: Done) -> None:
        trial = self._trials.get(event.ticket)
        if trial is None or event.place not in event.ticket.places:
            return  # it was decided meanwhile
        self._ports[event.place] = event.port
        trial.done(event.place, event.outcome, monotonic())
        self._look_at_trial(trial)

    def _take_dead(self, event: Dead) -> None:
        place, ticket = event.place, event.place.ticket
        if place.slot not in self._placing.slots or place.dead:
            return  # ended by us
        if event.no_machine:
            for slot, reason in self._machines.gone(place.node):
                self._lose_slot(slot, reason)
        elif not place.warm:
            self._lose_start(place, event.reason)
        elif ticket is None:
            place.dead = True
            self._end(self._placing.doom(place.slot))
        elif ticket in self._trials:
            reason, left = why_dead(self._backend, place, event.reason)
            self._trials[ticket].lost(place, reason, monotonic(), left=left)
            self._look_at_trial(self._trials[ticket])
        else:
            self._finish(ticket, lost_outcome(ticket, event.reason, 0, monotonic()), reuse=False)

    def _lose_start(self, place: Place, reason: str) -> None:
        """Ends a worker that has not become warm. No try of its job is spent; the machine may get no more jobs."""
        spent, place.dead = self._starting.died(place), True
        self._backend.kill(place)
        self._retire(place.slot)
        if not spent:
            return
        why = f"{DEATHS} workers in a row ended before they could run a job (the last: {reason})"
        for slot in self._machines.set_aside(place.node, why):
            self._retire(slot)
        for trial in self._trials.doubted(place.node.id):
            self._finish(trial.ticket, lost_outcome(trial.ticket, why, 0, monotonic()), reuse=False)

    def _look_at_trial(self, trial: Trial) -> None:
        """Decides on a job when all its processes have been heard; otherwise, after a failure, a moment later."""
        if trial.failed:
            self._trials.hurry(trial)
        if trial.all_said:
            self._settle(trial)

    def _settle(self, trial: Trial) -> None:
        """Decides how a job ended, unless its machine is to say first whether it still can run jobs."""
        self._trials.calm(trial)
        outcome = trial.verdict(monotonic())
        node = trial.ticket.places[outcome.rank].node
        if may_be_the_machines(outcome) and (trial.doubted or self._machines.doubt(node)):
            trial.doubted = trial.doubted or node.id
        else:
            self._decide(trial)

    def _decide(self, trial: Trial) -> None:
        """Workers that did not end their part, or must not run another, are replaced."""
        outcome = trial.verdict(monotonic())
        self._finish(trial.ticket, outcome, reuse=trial.leaves_workers(outcome))

    def _put_back(self, ticket: Ticket) -> None:
        """Lets a job that has not started wait for other workers."""
        for place in ticket.places:
            self._backend.kill(place)
        self._starting.end(ticket.places)
        self._end(self._placing.ended(ticket, reuse=False))
        ticket.places = ()
        self._placing.submit(ticket)

    def _retire(self, slot: Slot) -> None:
        """Gives workers no more jobs; those that run end, and those that wait for them wait for others."""
        for ticket in slot.tickets:
            if ticket not in self._trials:
                self._put_back(ticket)
        self._end(self._placing.doom(slot))

    def _lose_slot(self, slot: Slot, reason: str) -> None:
        """Gives up workers, and the jobs on them."""
        for ticket in slot.tickets:
            if ticket in self._trials:
                left = took_leave(self._backend, slot)
                self._finish(ticket, lost_outcome(ticket, reason, 0, monotonic(), left=left), reuse=False)
        self._retire(slot)

    def _finish(self, ticket: Ticket, outcome: JobOutcome, *, reuse: bool) -> None:
        self._trials.end(ticket)
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
            self._starting.end(slot.places)
            self._backend.end(slot)
