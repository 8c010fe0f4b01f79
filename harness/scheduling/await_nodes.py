"""`python -m harness.scheduling.await_nodes HOST:PORT COUNT [SECONDS]`: waits until a Ray cluster has so many nodes.

For launchers that start the nodes themselves: `bench run` plans with the nodes that are there when it begins. Exit
code 0; 1 when fewer have come within the time, or the cluster cannot be joined.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from harness.core.errors import HarnessError
from harness.scheduling.resources import check_address
from harness.scheduling.token import for_cluster

SECONDS = 300.0
POLL = 0.5


def main(arguments: Sequence[str]) -> int:
    """Says on standard error what is missing."""
    if len(arguments) not in (2, 3) or not arguments[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    address, wanted = arguments[0], int(arguments[1])
    deadline = time.monotonic() + (float(arguments[2]) if len(arguments) == 3 else SECONDS)
    try:
        _await_head(address, deadline)
        for_cluster(address)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    import ray

    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    while (here := sum(node["Alive"] for node in ray.nodes())) < wanted and time.monotonic() < deadline:
        time.sleep(POLL)
    ray.shutdown()
    print(f"{here} of {wanted} nodes are there", file=sys.stderr)
    return 0 if here >= wanted else 1


def _await_head(address: str, deadline: float) -> None:
    """Raises HarnessError when no head answers in time."""
    while True:
        try:
            return check_address(address)
        except HarnessError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
