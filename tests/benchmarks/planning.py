"""How long `bench` takes to answer where no tensor is needed: `python -m tests.benchmarks.planning [CELLS …]`.

Whole processes, as a user starts them, the median of five after one warm-up. Beside them the bare interpreter with the
libraries that any such command must import, as the floor. Then, for each number of CELLS, 1000 and 10000 as a rule, a
plan and a run of a suite of which everything is on record, once each: the seconds of the processor, which other
programs of the machine change least, and the most memory.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.core.paths import Layout
from tests.benchmarks.on_record import write_records

CELLS = 1000

SUITE = """
suite: thousand
defaults: {{dataset: photos, recipe: {{steps: 100}}}}
blocks:
  - matrix:
      task: [low_light, {{name: gaussian_denoise, sigma: 15}}, gaussian_denoise, derain, motion_blur]
      backbone: [{{name: nafnet, width: 8}}, {{name: nafnet, width: 16}}, {{name: restormer, dim: 8}}, restormer]
      variant:
        - base
        - {{refiner: ptg_rm, prior: nss}}
        - {{refiner: ptg_rm, prior: random}}
        - {{refiner: ptg_rm, prior: {{name: shuffled, of: nss}}}}
        - {{refiner: ptg_rm, prior: {{name: mean, of: nss}}, regime: frozen}}
    seeds: [{seeds}]
"""

FLOOR = [sys.executable, "-c", "import pydantic, typer, ruamel.yaml"]
BENCH = [sys.executable, "-m", "harness.cli.main"]


def suite_of(cells: int) -> str:
    """A suite that lists about so many cells; a fifth more stand for bases and inputs."""
    return SUITE.format(seeds=", ".join(map(str, range(max(1, cells // 100)))))


def seconds(command: list[str], folder: str) -> float:
    """Median wall time of a command that ends well."""
    taken = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def used(command: list[str], folder: str) -> resource.struct_rusage:
    """What a command that ends well used of the machine."""
    with open(os.devnull, "wb") as nowhere:
        started = subprocess.Popen(command, cwd=folder, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    assert started.returncode == 0, command
    return usage


def answers(folder: str) -> None:
    """Small commands, and the plan of a suite that has never run."""
    Path(folder, "thousand.yaml").write_text(suite_of(CELLS))
    floor = seconds(FLOOR, folder)
    print(f"{'interpreter and libraries':30} {floor:6.2f} s")
    checks = (["check", "smoke", "--quick"], ["check", "smoke"])
    commands = (["--help"], *checks, ["plan", "smoke"], ["list", "priors"], ["plan", "thousand.yaml"])
    for arguments in commands:
        taken = seconds([*BENCH, *arguments], folder)
        print(f"{'bench ' + ' '.join(arguments):30} {taken:6.2f} s   {taken / floor:5.1f} × the floor")


def all_done(folder: str, cells: int) -> None:
    """What it costs to find that there is nothing to do."""
    suite, out = Path(folder, f"done{cells}.yaml"), Path(folder, f"done{cells}")
    suite.write_text(suite_of(round(cells / 1.2)))
    written = write_records(str(suite), Layout(out, out / "data"))
    for command in ("plan", "run", "run"):  # the first run writes the suite down
        usage = used([*BENCH, command, str(suite), "--out", str(out)], folder)
        cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        print(f"{f'bench {command}, {written} cells on record':40} {cpu:6.2f} s of the processor {memory:6.0f} MiB")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not sys.argv[1:]:
            answers(folder)
        for cells in map(int, sys.argv[1:] or ("1000", "10000")):
            all_done(folder, cells)


if __name__ == "__main__":
    main()
