"""The CPUs and GPUs that a job takes, and whether the machines have them."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from harness.api.reference import PartRef
from harness.api.running import Request
from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.planning.job import FeaturesWork, Job, ScoresWork, ShardsWork, TogetherWork, TrainWork, Work
from harness.scheduling.address import ADDRESSES, is_address


def job_resources(job: Job, capacity: Mapping[str, float]) -> Request:
    """The request of one job, given the executor's total `cpus` and `gpus`.

    Preparing shards is one CPU's work. What runs a network takes the suite's CPUs, as their number decides the order
    of float sums, and the suite's GPUs (`auto`: one a process when there is any); only training takes several
    processes. Raises HarnessError for training in fp16 without a GPU.
    """
    run = job.run
    if isinstance(job.work, ShardsWork):
        return Request(patience=run.patience)
    gpus = int(capacity["gpus"] > 0) if run.gpus == "auto" else min(run.gpus, 1)
    if not gpus:
        _check_precision(job)
    if not isinstance(job.work, TrainWork) or job.work.cell.ready_made:
        return Request(run.cpus, gpus, patience=run.patience)
    return Request(run.cpus, gpus, job.processes, run.nodes, run.patience)


def near(job: Job) -> str:
    """A word for the pictures that a job reads; empty when it has none."""
    work = job.work
    if isinstance(work, ShardsWork):
        return _word(work.stored.dataset)
    if isinstance(work, FeaturesWork):
        return _word(work.features.samples.dataset)
    if isinstance(work, TrainWork | TogetherWork):
        return _word(trained_by(work)[0].train)
    tests = work.of.tests if isinstance(work, ScoresWork) else work.tests
    return _word(tests[0].dataset) if tests else ""


def trained_by(work: Work) -> tuple[Cell, ...]:
    """The cells that a job trains."""
    if isinstance(work, TogetherWork):
        return work.cells
    return (work.cell,) if isinstance(work, TrainWork) else ()


def _word(dataset: PartRef) -> str:
    return dataset.digest or dataset.name


def _check_precision(job: Job) -> None:
    if any(cell.recipe.precision == "fp16" for cell in trained_by(job.work)):
        raise HarnessError(
            "this job trains on the CPU, which cannot train in fp16: there is no GPU here",
            where=job.title,
            hint="precision: bf16 or precision: fp32 in the recipe, or a larger cluster with --address",
        )


def check_capacity(requests: Iterable[Request], capacity: Mapping[str, float]) -> None:
    """Raises HarnessError when a request is larger than everything there is, before any job starts."""
    asked = list(requests)
    for axis, (kind, option) in enumerate((("cpus", "run.cpus"), ("gpus", "run.gpus"))):
        largest = max(asked, key=lambda request: request.total[axis], default=Request())
        wanted = largest.total[axis]
        if wanted > capacity[kind]:
            raise HarnessError(
                f"a job asks for {wanted:g} {kind}, but there are only {capacity[kind]:g}",
                where=f"{option} of the suite, times its processes" if kind == "cpus" else f"{option} of the suite",
                hint=f"run with {_less(largest, kind, int(capacity[kind]))}, or give a larger cluster with --address",
            )


def _less(request: Request, kind: str, there: int) -> str:
    """Settings with which a request takes what is there. GPUs are so many processes."""
    if kind == "gpus":
        return f"--set run.gpus={there}"
    if request.processes == 1:
        return f"--set run.cpus={there}"
    fewer = f"--set run.processes={max(there // request.cpus, 1)}"
    return fewer if request.cpus <= there else f"{fewer} --set run.cpus={there}"


def check_address(address: str) -> None:
    """Raises HarnessError for what is no address of a Ray cluster, and where none answers.

    Asks the port itself first: Ray tries for ten minutes to reach a cluster that has gone.
    """
    if not is_address(address):
        what = f"{address!r} is not the address of a Ray cluster"
        raise HarnessError(what, where="--address", hint=ADDRESSES)
    host, _, port = address.rpartition(":")
    hint = "start one with `launchers/ray_node.sh head`, or leave --address away"
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise HarnessError(f"no Ray cluster answers: {reason or error}", where=address, hint=hint) from error
