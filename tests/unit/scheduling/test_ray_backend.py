"""What the pool hears of Ray's answers, and what a cluster that can grow is asked for. No Ray runs here."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future
from typing import Any

import pytest
import ray.autoscaler.sdk
from ray.exceptions import ActorDiedError, ActorUnschedulableError, OutOfMemoryError

from harness.api.running import JobOutcome, Request
from harness.scheduling import ray_backend
from harness.scheduling.backend import Dead, Done, Unfit, Warm
from harness.scheduling.ray_backend import RayBackend, absence_of, end_event, start_event
from harness.scheduling.ray_pool import held_by_others
from harness.scheduling.room import Node, Place, Slot, Ticket, Unit

LOW = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node was 5.42GB used / 5.5GB limit\n"
    "OOM kill reason: Memory usage exceeded threshold\nObject store memory usage: [- objects spillable: 0"
)


def worker() -> Place:
    return Place(Slot(Unit(1, 0)), Node("a", "a", "", 1, 0))


def ended(result: object) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def test_a_process_that_ray_ended_for_memory_is_a_job_out_of_memory():
    place, ticket = worker(), Ticket(0, 0, "/out/jobs/train-1.json", Request())
    event = end_event(place, ticket, ended(OutOfMemoryError(LOW)))
    assert isinstance(event, Done)
    outcome = event.outcome
    assert (outcome.job_id, outcome.failure, outcome.killed, outcome.fresh) == ("train-1", "memory", True, True)
    assert outcome.message.endswith(LOW.splitlines()[0])


def test_another_end_of_a_process_is_a_lost_worker():
    place, ticket = worker(), Ticket(0, 0, "/out/jobs/train-1.json", Request())
    event = end_event(place, ticket, ended(ActorDiedError()))
    assert isinstance(event, Dead)
    outcome = JobOutcome("train-1")
    assert end_event(place, ticket, ended((outcome, 20000))) == Done(place, ticket, outcome, 20000)


@pytest.mark.parametrize(
    ("entry", "absence"),
    [
        ({"Alive": True, "DeathReason": 0}, ""),
        ({"Alive": False, "DeathReason": 1}, "in order"),
        ({"Alive": False, "DeathReason": 2}, "lost"),
        ({"Alive": False, "DeathReason": 3}, "in order"),
        ({"Alive": False}, "lost"),
    ],
)
def test_why_a_machine_is_not_there(entry, absence):
    assert absence_of(entry) == absence


@pytest.mark.parametrize(
    ("free", "said"),
    [
        ({"CPU": 2.0, "GPU": 1.0}, ""),
        ({"GPU": 1.0}, "other runs hold 2 of 2 CPUs: jobs that find no room wait until those end"),
        ({"CPU": 1.0}, "other runs hold 1 of 2 CPUs and 1 of 1 GPUs: jobs that find no room wait until those end"),
    ],
)
def test_what_others_hold_of_a_cluster(free, said):
    assert held_by_others({"CPU": 2.0, "GPU": 1.0}, free) == said


def test_what_becomes_of_a_worker_that_starts():
    place = worker()
    assert start_event(place, ended(20000)) == Warm(place, 20000)
    failed = ray.exceptions.RayTaskError("ready", "Traceback", ImportError("no torch"))
    assert start_event(place, ended(failed)) == Unfit(place, "workers cannot load (ImportError: no torch)")
    gone = start_event(place, ended(ActorUnschedulableError("no such node")))
    assert isinstance(gone, Dead)
    assert gone.no_machine
    low = start_event(place, ended(OutOfMemoryError(LOW)))
    assert isinstance(low, Dead)
    assert not low.no_machine


def test_what_a_killed_run_asked_a_cluster_for_is_taken_back_by_the_next(monkeypatch):
    class Context:
        gcs_address = "127.0.0.1:1"

    asked: list[list[dict[str, float]]] = []
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    monkeypatch.setattr(ray.autoscaler.sdk, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(ray_backend, "HeadWatch", lambda *_: None)
    backend = RayBackend()
    backend.want(())
    backend.want(())
    backend.want([Ticket(0, 0, "", Request(2, 1, 2))])
    assert asked == [[], [{"CPU": 2.0, "GPU": 1.0}] * 2]


PUBLISHED = """
import harness.scheduling.ray_pool
from ray._private.worker import print_to_stdstream

for line in ("Warning: The following resource request cannot be scheduled right now", "A worker died or was killed"):
    print_to_stdstream({"lines": [line], "pid": "raylet", "is_err": False}, ignore_prefix=False)
"""


def test_what_nodes_publish_is_not_printed_between_the_lines_of_a_run():
    done = subprocess.run([sys.executable, "-c", PUBLISHED], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout + done.stderr == ""


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda *args, **options: pytest.fail("Ray was started"))
