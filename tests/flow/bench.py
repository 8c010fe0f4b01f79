"""Runs `bench` as a user does: a process of its own, with a home folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TINY = Path(__file__).with_name("tiny.yaml")


@dataclass
class Bench:
    """Runs `bench` with a private HOME, so that no test meets a user's settings or another test's Ray."""

    cwd: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "harness.cli.main", *map(str, arguments)]

    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PRIORBENCH_", "RAY_"))}
        private = {"HOME": str(self.home), "RAY_TMPDIR": str(self.home), "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
        return {**kept, **private, **self.environment}

    def __call__(self, *arguments: str | Path, timeout: float = 400) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.cwd, env=self.env(), capture_output=True, text=True, timeout=timeout
        )

    def ok(self, *arguments: str | Path, timeout: float = 400) -> str:
        """Runs, asserts exit code 0, gives stdout."""
        done = self(*arguments, timeout=timeout)
        assert done.returncode == 0, f"bench {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts in the background; the caller ends it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.cwd,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
