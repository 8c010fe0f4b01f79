"""The CPUs and GPUs that a job takes, and whether the machines have them."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from harness.core.errors import HarnessError
from harness.planning.job import Job, ShardsWork

Request = dict[str, float]
"""`cpus` and `gpus` that a job holds while it runs."""


def job_resources(job: Job, capacity: Mapping[str, float]) -> Request:
    """The request of one job, given the executor's total `cpus` and `gpus`.

    Preparing shards is one CPU's work. What runs a network takes the suite's CPUs, as their number decides the order
    of float sums, and the suite's GPUs (`auto`: one when there is any); only training can use several.
    """
    if isinstance(job.work, ShardsWork):
        return {"cpus": 1.0, "gpus": 0.0}
    gpus = float(capacity["gpus"] > 0) if job.run.gpus == "auto" else float(job.run.gpus)
    return {"cpus": float(job.run.cpus), "gpus": gpus if job.work.kind == "train" else min(gpus, 1.0)}


def check_capacity(requests: Iterable[Mapping[str, float]], capacity: Mapping[str, float]) -> None:
    """Raises HarnessError when a request is larger than everything there is, before any job starts."""
    for kind, option in (("cpus", "run.cpus"), ("gpus", "run.gpus")):
        wanted = max((request[kind] for request in requests), default=0.0)
        if wanted > capacity[kind]:
            raise HarnessError(
                f"a job asks for {wanted:g} {kind}, but there are only {capacity[kind]:g}",
                where=f"{option} of the suite",
                hint=f"run with --set {option}={int(capacity[kind])}, or give a larger cluster with --address",
            )


def check_address(address: str) -> None:
    """Raises HarnessError for what is no address of a Ray cluster, and where none answers.

    Asks the port itself first: Ray tries for ten minutes to reach a cluster that has gone.
    """
    host, _, port = address.rpartition(":")
    hint = "start one with `launchers/ray_node.sh head`, or leave --address away"
    if not host or not port.isdigit():
        raise HarnessError(
            f"{address!r} is not the address of a Ray cluster", where="--address", hint="auto, or host:port"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise HarnessError(f"no Ray cluster answers: {error.strerror or error}", where=address, hint=hint) from error
