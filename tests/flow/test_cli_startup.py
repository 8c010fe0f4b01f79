"""`bench` answers at once because it imports little."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HEAVY = {"torch", "ray", "mlflow", "accelerate", "webdataset"}


def imported(*arguments: str) -> set[str]:
    """Top-level packages that a `bench` call imports."""
    command = [sys.executable, "-X", "importtime", "-m", "harness.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name.partition(".")[0] for name in re.findall(r"^import time:.*\|\s+(\S+)$", done.stderr, re.M)}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["list", "priors"], ["weights", "list"]]
)
def test_commands_that_only_tell_import_no_heavy_library(arguments):
    found = imported(*arguments)
    assert "typer" in found
    assert "harness" in found
    assert not HEAVY & found


def test_help_imports_next_to_nothing():
    assert not {"numpy", "pydantic", "rich", "pyarrow", "ruamel"} & imported("--help")
