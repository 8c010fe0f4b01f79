"""What placing jobs costs the driver. `python -m tests.benchmarks.scheduling`. The machines exist in memory alone.

Jobs of 1,000 slots end one at a time, as they do in a run, and the next is placed; nothing of Ray is in it.
"""

from __future__ import annotations

from time import process_time

from harness.api.running import Request
from harness.scheduling.pool import Pool
from tests.unit.scheduling.machines_in_memory import InMemory

ONE = Request()
MIXED = (Request(1), Request(2), Request(1, 0, 4), Request(4))


def run(jobs: int, machines: int, cpus: int, requests: tuple[Request, ...]) -> float:
    """Milliseconds of CPU a job."""
    backend = InMemory(*((f"node{number}", float(cpus), 0.0) for number in range(machines)))
    pool = Pool(backend)
    began = process_time()
    pool.expect([requests[number % len(requests)] for number in range(jobs)])
    for number in range(jobs):
        pool.submit(f"/out/jobs/{number}.json", requests[number % len(requests)], number, f"set{number % 7}")
    done = 0
    while done < jobs:
        if backend.running:
            backend.finish(next(iter(backend.running)))
        done += len(pool.poll(0.0) or pool.poll(0.01))
    pool.stop()
    return (process_time() - began) / jobs * 1000


def main() -> None:
    for title, machines, cpus in (("125 machines of 8 CPUs", 125, 8), ("1,000 machines of 1 CPU", 1000, 1)):
        for jobs in (2000, 10000):
            print(f"{title:24} {jobs:6,} jobs of one kind     {run(jobs, machines, cpus, (ONE,)):6.3f} ms a job")
    for jobs in (2000, 10000):
        print(f"{'125 machines of 8 CPUs':24} {jobs:6,} jobs of four kinds   {run(jobs, 125, 8, MIXED):6.3f} ms a job")


if __name__ == "__main__":
    main()
