"""Workers on Ray: actors, placed by a placement group where several belong together, on the machines that are named.

What comes of a call is noted by a callback of its own, so that the driver's work does not grow with what is running.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.core.generated.common_pb2 import NodeDeathInfo
from ray.exceptions import ActorUnschedulableError, OutOfMemoryError, RayError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from harness.api.running import JobOutcome, Seat
from harness.scheduling.backend import Absence, Dead, Done, Event, Proved, Unfit, Warm
from harness.scheduling.head import HeadWatch
from harness.scheduling.proof import Evidence, forget, shortcomings
from harness.scheduling.room import Node, Place, Slot, Ticket
from harness.scheduling.worker import SPACE, Worker

IN_ORDER = (
    NodeDeathInfo.EXPECTED_TERMINATION,
    NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED,
    NodeDeathInfo.AUTOSCALER_DRAIN_IDLE,
)
"""Why nodes die that were stopped, or are taken away."""

KV_PATIENCE = 5.0
"""Seconds within which Ray's key-value store answers."""


@dataclass
class _Held:
    """What Ray holds for a slot."""

    group: Any = None
    actors: dict[Place, Any] = field(default_factory=dict)


class RayBackend:
    """See Backend. To be made once Ray is connected, and closed before it is left."""

    def __init__(self) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._held: dict[Slot, _Held] = {}
        self._run = uuid.uuid4().hex[:12]
        self._numbers = count()
        self._pulses: dict[Place, bytes] = {}
        """Under which key a worker leaves its signs of life."""
        self._wanted: list[dict[str, float]] | None = None
        """What Ray was asked for last; None while that is unknown: what a killed driver asked for still holds."""
        self._worker = ray.remote(Worker)
        self._asking = ray.remote(num_cpus=0, max_retries=0)(shortcomings)
        self._asked: Evidence | None = None
        """What machines were asked for last."""
        self._head = HeadWatch(ray.get_runtime_context().gcs_address, self._tidy)

    def nodes(self) -> Sequence[Node]:
        alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        return [
            Node(
                id=node["NodeID"],
                name=node["NodeManagerHostname"],
                address=node["NodeManagerAddress"],
                cpus=node["Resources"]["CPU"],
                gpus=node["Resources"].get("GPU", 0.0),
            )
            for node in alive
        ]

    def absence(self, node: Node) -> Absence:
        return next((absence_of(entry) for entry in ray.nodes() if entry["NodeID"] == node.id), "lost")

    def prove(self, node: Node, evidence: Evidence) -> None:
        pinned = NodeAffinitySchedulingStrategy(node.id, soft=False)
        task = self._asking.options(scheduling_strategy=pinned)
        self._asked = evidence

        def note(result: Future[Any]) -> None:
            error = result.exception()
            if isinstance(error, RayTaskError):
                reasons = (f"priorbench does not load there, or is another version ({_first_line(error.cause)})",)
            else:
                reasons = (cause(error),) if error is not None else tuple(result.result())
            self._events.put(Proved(node.id, reasons))

        task.remote(evidence).future().add_done_callback(note)

    def _tidy(self) -> None:
        """Removes what the proofs lie by in the folders, where the run that left it there cannot."""
        if self._asked is not None:
            forget(self._asked)

    def start(self, slot: Slot) -> None:
        cpus, gpus = slot.unit
        held = self._held[slot] = _Held()
        if len(slot.places) > 1:
            held.group = _group(slot)
        for rank, place in enumerate(slot.places):
            key = f"{self._run}-{next(self._numbers)}"
            self._pulses[place] = key.encode()
            where: Any = NodeAffinitySchedulingStrategy(place.node.id, soft=False)
            if held.group is not None:
                where = PlacementGroupSchedulingStrategy(held.group, placement_group_bundle_index=rank)
            worker = self._worker.options(num_cpus=cpus, num_gpus=gpus, max_restarts=0, scheduling_strategy=where)
            held.actors[place] = actor = worker.remote(cpus, gpus, os.getcwd(), key)
            actor.ready.remote().future().add_done_callback(partial(self._note, partial(start_event, place)))

    def run(self, ticket: Ticket, seats: Sequence[Seat]) -> None:
        for place, seat in zip(ticket.places, seats, strict=True):
            reference = self._held[place.slot].actors[place].run.remote(ticket.job_file, seat)
            reference.future().add_done_callback(partial(self._note, partial(end_event, place, ticket)))

    def _note(self, event: Callable[[Future[Any]], Event], result: Future[Any]) -> None:
        self._events.put(event(result))

    def kill(self, place: Place) -> None:
        held = self._held.get(place.slot)
        if held is not None and place in held.actors:
            ray.kill(held.actors.pop(place), no_restart=True)

    def end(self, slot: Slot) -> None:
        for place in slot.places:
            self.kill(place)
            self._pulses.pop(place, None)
        held = self._held.pop(slot, None)
        if held is not None and held.group is not None:
            remove_placement_group(held.group)

    def events(self, timeout: float) -> Sequence[Event]:
        found: list[Event] = []
        with suppress(Empty):
            found.append(self._events.get(timeout=timeout) if timeout > 0 else self._events.get_nowait())
            while True:
                found.append(self._events.get_nowait())
        return found

    def pulses(self, places: Collection[Place]) -> Mapping[Place, bytes] | None:
        keys = {self._pulses[place]: place for place in places if place in self._pulses}
        try:
            found = _store().internal_kv_multi_get(list(keys), SPACE.encode(), timeout=KV_PATIENCE)
        except (RayError, RuntimeError, OSError):
            self._head.note(heard=False)
            return None
        self._head.note(heard=True)
        return {keys[key]: value for key, value in found.items() if value is not None}

    def want(self, tickets: Collection[Ticket]) -> None:
        """Asks a cluster that can grow for machines. One that cannot takes no notice."""
        wanted = [_bundle(*ticket.unit) for ticket in tickets for _ in range(ticket.request.processes)]
        if wanted != self._wanted:
            from ray.autoscaler.sdk import request_resources

            with suppress(RayError, RuntimeError, OSError):
                request_resources(bundles=wanted)
                self._wanted = wanted

    def check(self) -> None:
        self._head.check()

    def close(self) -> None:
        if self._head.is_lost:  # Ray would wait for its head, and end the process
            self._head.leave()
            return
        self.want(())
        for slot in list(self._held):
            self.end(slot)
        with suppress(RayError, RuntimeError, OSError):
            _store().internal_kv_del(self._run.encode(), True, SPACE.encode())
        self._head.close()
        ray.shutdown()


def absence_of(entry: Mapping[str, Any]) -> Absence:
    """What Ray's table of nodes says of one that may have left."""
    if entry["Alive"]:
        return ""
    return "in order" if entry.get("DeathReason") in IN_ORDER else "lost"


def start_event(place: Place, result: Future[Any]) -> Event:
    """What has become of a worker that was to get ready."""
    error = result.exception()
    if isinstance(error, RayTaskError):
        return Unfit(place, f"workers cannot load ({_first_line(error.cause)})")
    if error is not None:
        return Dead(place, cause(error), isinstance(error, ActorUnschedulableError))
    return Warm(place, result.result())


def end_event(place: Place, ticket: Ticket, result: Future[Any]) -> Event:
    """What has become of a process's part of a job."""
    error, job_id = result.exception(), Path(ticket.job_file).stem
    if isinstance(error, RayTaskError):  # run_job_file raises nothing: what came back cannot be sent
        return Done(place, ticket, JobOutcome(job_id, "bug", _first_line(error.cause), fresh=True), 0)
    if isinstance(error, OutOfMemoryError):
        said = f"its machine ran out of memory, and Ray ended the process: {cause(error)}"
        return Done(place, ticket, JobOutcome(job_id, "memory", said, fresh=True, killed=True), 0)
    if error is not None:
        return Dead(place, cause(error))
    return Done(place, ticket, *result.result())


def cause(error: BaseException) -> str:
    """What Ray's message says about the end of a process, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "exit detail" in line.lower() or "memory" in line.lower()]
    text = (telling or lines or ["the worker process ended"])[0]
    return text.partition("Worker exit detail: ")[2].partition(" Some common causes")[0] or text[:300]


def _first_line(error: object) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else 'no message'}"


def _bundle(cpus: int, gpus: int) -> dict[str, float]:
    return {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})


def _group(slot: Slot) -> Any:
    """The placement group of workers that belong together: Ray gives the room for all of them, or for none."""
    one_node = len({place.node for place in slot.places}) == 1
    return placement_group(
        [_bundle(*slot.unit) for _ in slot.places],
        strategy="STRICT_PACK" if one_node else "PACK",
        bundle_label_selector=[{"ray.io/node-id": place.node.id} for place in slot.places],
    )


def _store() -> Any:
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    return internal_kv_get_gcs_client()
