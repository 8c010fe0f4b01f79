"""What a GPU gains, in one table: `make benchmarks-gpu`, or `python -m tests.benchmarks.gpu [NAME…] [--out FOLDER]
[--seconds BUDGET] [--small]`.

Every section runs in a process of its own, one after the other, in the order of `SHARES`, within its share of the
budget; what one does not use the others get. A section leaves out what its time does not hold and says so; one that
fails or is stopped keeps what it has measured. The findings are in `<out>/<section>.json` and, as a table with the
goals, in `<out>/table.md`. A missed goal changes no exit code: 0, or 2 for a section that does not exist.

A GPU that is lent for minutes: `tests/benchmarks/gpu/device.sh` runs it on a machine that has PyTorch and no network,
with wheels that `python -m tests.benchmarks.gpu.wheels` collects. `steps` takes the longest, most of it to make graphs
for the first time; give it a budget of its own where all of its networks are wanted in both precisions.

`--small` tries the benchmark itself, with tiny networks, also without a GPU; its numbers mean nothing.

Not run on a GPU since it was written (November 2026). What is known from before it, and before what it measures was
made (one H100, torch 2.11, medians): PTG-RM's training step at 2×256² 29 to 35 ms in fp32, where the plain computation
took 17 to 22, and 5.3 as a CUDA graph; whole steps of Restormer b8 p128 196 ms, NAFNet-32 b8 p256 111, SNR-Net b4 p256
20, MPRNet b4 p256 211, Uformer-B b4 p128 180, in bf16 213, 123, 33, 128 and 234 (in that order); SNR-Net and Uformer
could not be captured; three trainings of one PTG-RM cell gave three different weights, of a base cell one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import did_you_mean
from tests.benchmarks.gpu import finding
from tests.benchmarks.gpu.processes import ROOT, ended

SHARES = {
    "ptg_rm": 24,
    "steps": 34,
    "deterministic": 12,
    "evaluation": 12,
    "together": 8,
    "features": 6,
    "host_tensors": 4,
}
"""The sections, the most important first, and what of the budget each gets, in percent of all."""
GRACE = 10
"""Seconds of a section's share that it has to end in."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu")
    parser.add_argument("sections", nargs="*", metavar="NAME", help=", ".join(SHARES))
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks-gpu"))
    parser.add_argument("--seconds", type=float, default=600.0, help="for all of it; 600 when left out")
    parser.add_argument("--small", action="store_true", help="tiny networks, to try the benchmark itself")
    given = parser.parse_args(arguments)
    for name in given.sections:
        if name not in SHARES:
            print(f"no section is called {name!r}: {did_you_mean(name, list(SHARES))}", file=sys.stderr)
            return 2
    wanted = [name for name in SHARES if name in given.sections or not given.sections]
    deadline = time.monotonic() + given.seconds
    reports: list[finding.Report] = []
    for place, name in enumerate(wanted):
        share = (deadline - time.monotonic()) * SHARES[name] / sum(SHARES[each] for each in wanted[place:])
        print(f"\n{name}, {share:.0f} s", flush=True)
        reports.append(measured(name, given.out, max(0.0, share), small=given.small))
        text = finding.table(reports)
        (given.out / "table.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    return 0


def measured(section: str, out: Path, share: float, *, small: bool) -> finding.Report:
    """Runs a section within its share of the time, and gives what it has found, however it ended."""
    out = out.absolute()
    path = out / f"{section}.json"
    path.unlink(missing_ok=True)
    grace = min(GRACE, share / 5)
    command = [sys.executable, "-m", "tests.benchmarks.gpu.child", section, "--out", str(out)]
    command += ["--seconds", str(share - grace), *(["--small"] if small else [])]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    why = ""
    try:
        process.wait(share)
    except subprocess.TimeoutExpired:
        why = "stopped: its time was over"
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            why = "killed: it did not stop when its time was over"
    finally:
        ended(process)
    try:
        report = finding.read(path)
    except OSError:
        report = finding.Report(path, section, {}, small)
    if report.ended == "cut off":
        report.ended, report.seconds = why or f"died with exit code {process.returncode}", time.monotonic() - began
        report.keep()
    return report


if __name__ == "__main__":
    sys.exit(main())
