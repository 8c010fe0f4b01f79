"""What every section is given: a folder, its report, and the seconds that it has."""

from __future__ import annotations

import os
import platform
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.gpu.finding import Report


@dataclass
class Bench:
    """One section's run."""

    folder: Path
    """For its data, results and logs."""
    report: Report
    deadline: float
    """By time.monotonic()."""

    @property
    def small(self) -> bool:
        """Whether this is a trial of the benchmark itself, with tiny networks."""
        return self.report.small

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def each(self, pieces: Mapping[str, Callable[[], object]]) -> None:
        """Measures the pieces of a section in turn. One for which no time is left, or that fails, is told as such, and
        the others go on."""
        waiting = dict(pieces)
        try:
            while waiting and self.left() > 0:
                name = next(iter(waiting))
                self._one(name, waiting[name])
                del waiting[name]
        finally:
            for name in waiting:
                self.report.skip(name, "its time was over")

    def _one(self, name: str, piece: Callable[[], object]) -> None:
        try:
            piece()
        except Exception as error:  # noqa: BLE001 - of anything that is measured
            traceback.print_exc()
            self.report.skip(name, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    found = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU",
        "driver": _driver(),
        "torch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "Python": platform.python_version(),
        "cores": str(os.cpu_count()),
    }
    return {name: value for name, value in found.items() if value}


def _driver() -> str:
    """The version of the GPU's driver; empty where nothing says it."""
    if not torch.cuda.is_available():
        return ""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""
