"""The README stays true: every command in it is run, every file that it names exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.bench import Bench

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ["--set", "defaults.recipe.steps=2", "--set", "defaults.seeds=[0]"]
"""Appended to every `bench run` and `bench leaderboard SUITE`: the same suite, trained for two steps."""

pytestmark = pytest.mark.xdist_group("readme")


def commands() -> list[str]:
    """The lines of the README's ```bash blocks, continuation lines joined, comments dropped."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [line.split()[1] for line in commands() if line.startswith("make ")]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_and_pictures_of_the_readme_exist():
    paths = [path for path in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in path]
    assert paths
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_every_command_runs(bench: Bench):
    """In the README's order, in a folder that holds what a clone holds."""
    for name in ("suites", "tests", "launchers", "examples"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, bench.cwd / name, ignore=shutil.ignore_patterns("__pycache__"))
    ran = 0
    for line in commands():
        words = shlex.split(line)
        if words[0] in ("make", "git", "cd"):
            continue
        if words[:2] == ["bench", "run"]:
            words += SMALL
        program = {"bench": bench.command(), "python": [sys.executable]}[words[0]]
        env = {**bench.env(), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [*program, *words[1:]], cwd=bench.cwd, env=env, capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        ran += 1
    assert ran >= 8
