"""Starts gangs of small trainings (sharded_gang.py), and compares what they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from tests.unit.training.sharded_gang import Task, run

ROOT = Path(__file__).parents[3]


def run_gang(ranks: int, folder: Path, tasks: Sequence[Task]) -> None:
    """Runs the tasks one after the other in the same processes; raises when one of these fails."""
    (folder / f"jobs{ranks}.json").write_text(json.dumps([asdict(task) for task in tasks]))
    command = [sys.executable, "-m", "tests.unit.training.sharded_gang"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    logs = [folder / f"rank{rank}.log" for rank in range(ranks)]
    started = []
    for rank, log in enumerate(logs):
        with log.open("w") as file:
            arguments = [*command, str(rank), str(ranks), str(folder)]
            process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
            started.append(process)
    try:
        while any(process.poll() is None for process in started):
            time.sleep(0.1)
            if any(process.poll() not in (None, 0) for process in started):
                break
    finally:
        for process in started:
            process.kill()
            process.wait()
    failed = [log.read_text()[-4000:] for log, process in zip(logs, started, strict=True) if process.returncode]
    assert not failed, "\n".join(failed)


def run_plain(folder: Path, tasks: Sequence[Task]) -> None:
    """The yardsticks, in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for task in tasks:
        run(task, 0, 1, folder)
    torch.set_num_threads(threads)


def run_both(folder: Path, plain: Sequence[Task], cut: Sequence[Task], then: Sequence[Task]) -> Path:
    """Leaves the yardsticks' results, those of two processes, which run all their jobs, and what one process makes of
    these; gives the folder."""
    run_plain(folder, plain)
    run_gang(2, folder, cut)
    run_plain(folder, then)
    return folder


@dataclass
class Differences:
    """The largest ones between two results."""

    loss: float
    """Of a step, as a share of the loss."""
    weights: float
    average: float
    moments: float

    def __str__(self) -> str:
        return f"{self.loss:.0e} | {self.weights:.0e} | {self.average:.0e} | {self.moments:.0e}"


def differences(folder: Path, one: str, other: str, since: int = 0) -> Differences:
    """Between the results of two jobs, which hold the same tensors by the same names.

    `since`: steps of the other that the first one did not take.
    """
    first, second = (torch.load(folder / f"{name}.pt", weights_only=True) for name in (one, other))
    assert "refused" not in first, first["refused"]
    moments = {}
    for number, result in enumerate((first, second)):
        state = result["optimizer"]["state"]
        moments[number] = {f"{name} {key}": value for name, own in state.items() for key, value in own.items()}
    losses = zip(first["losses"], second["losses"][since:], strict=True)
    return Differences(
        max(abs(mine - its) / abs(its) for mine, its in losses),
        largest(first["model"], second["model"]),
        largest(first["average"], second["average"]),
        largest(moments[0], moments[1]),
    )


def largest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between numbers of the same names and shapes."""
    assert one.keys() == other.keys()
    assert all(one[name].shape == other[name].shape for name in one)
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)
