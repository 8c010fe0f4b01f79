"""The CPUs and GPUs that a job takes, and whether the machines have them."""

from __future__ import annotations

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
