"""Warm workers on Ray, on this machine or on a cluster. For suites this room alone imports Ray.

A worker imports the networks' libraries once and then runs one job after the other, so that a cell pays neither for a
process nor for the import of torch; several of them run a job of several processes together (a gang).

On a cluster (`--address auto`, or `host:port`) jobs travel as paths: the output and data folders must be storage that
every node sees under the same path, and every node needs this package at the same version. Both is looked at before the
first job.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

# Read when Ray is imported. What its nodes publish, such as workers that died or find no room, it would print between
# the lines of the run, which says it in its own words; the logs in Ray's session folder have it all.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray

from harness.api.running import Shared
from harness.core.errors import HarnessError
from harness.scheduling import token
from harness.scheduling.pool import Pool
from harness.scheduling.ray_backend import RayBackend
from harness.scheduling.resources import check_address
from harness.scheduling.signals import held_back

OBJECT_STORE = 100 * 2**20
"""Bytes of shared memory that Ray holds on a local cluster: jobs pass nothing through it but paths and outcomes."""


class RayPool(Pool):
    """Executor on Ray. Starts a cluster on this machine, or joins the one at `address` ("auto" or "host:port").

    `cpus` and `gpus` limit a local cluster; None: all that this machine has. Raises HarnessError when Ray does not
    start or does not answer, and KeyboardInterrupt for a Ctrl-C meanwhile, once Ray has started and ended again.
    """

    def __init__(
        self, address: str | None = None, *, cpus: int | None = None, gpus: int | None = None, **timing: float
    ) -> None:
        _connect(address, cpus, gpus)
        self._local = address is None
        super().__init__(RayBackend(), **timing)

    def prove(self, shared: Shared, tell: Any) -> None:
        """See Executor. This machine alone has nothing to prove to itself."""
        if not self._local:
            super().prove(shared, tell)
            if said := held_by_others(ray.cluster_resources(), ray.available_resources()):
                tell(said)


def held_by_others(total: Mapping[str, float], free: Mapping[str, float]) -> str:
    """What is said of a cluster on which this run has started no worker yet; empty when nothing is taken there.

    Ray leaves out of `free` what is all taken.
    """
    taken = {name: total.get(name, 0.0) - free.get(name, 0.0) for name in ("CPU", "GPU")}
    held = [f"{taken[name]:g} of {total[name]:g} {name}s" for name in taken if taken[name] > 0]
    return f"other runs hold {' and '.join(held)}: jobs that find no room wait until those end" if held else ""


def _connect(address: str | None, cpus: int | None, gpus: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        token.for_local()
        options |= {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    else:
        if address != "auto":
            check_address(address)
        token.for_cluster(address)
    try:
        with held_back("stopping, as soon as Ray has started"):
            ray.init(address=address or "local", **options)
    except (KeyboardInterrupt, SystemExit):  # the latter is Ray's own answer to SIGTERM
        with held_back():
            ray.shutdown()
        raise KeyboardInterrupt from None
    except Exception as error:  # Ray raises that very class when its servers are slow to start
        hint = (
            "start one with `launchers/ray_node.sh head`, or leave --address away" if address else "`--executor local`"
        )
        if "AF_UNIX" in str(error):
            hint = "set RAY_TMPDIR to a folder with a shorter name"
        raise HarnessError(f"Ray does not start: {error}", where=address or "this machine", hint=hint) from error
