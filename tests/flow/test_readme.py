"""The README stays true: every command in it is run, every file that it names exists."""

from __future__ import annotations

import csv
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from harness.cli import exits
from tests.flow.bench import Bench

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ["--set", "defaults.recipe.steps=2", "--set", "defaults.seeds=[0]"]
"""Appended to `bench run`, `plan` and `leaderboard`: the same suite, trained for two steps with one seed."""

pytestmark = pytest.mark.xdist_group("readme")


def commands() -> list[str]:
    """The lines of the README's ```bash blocks, continuation lines joined, comments dropped."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


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


def write_files(folder: Path) -> list[str]:
    """The README's python and yaml blocks whose first line names a file, as the reader would save them."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", README, flags=re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text, encoding="utf-8")
    return [name for name, _ in blocks]


def answers(server: subprocess.Popen[str], url: str, patience: float = 120.0) -> bool:
    """Whether a server that was just started serves its page."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                return bool(page.status == 200)
        except OSError:
            time.sleep(0.5)
    return False


def serve(words: list[str], bench: Bench) -> None:
    """Starts the README's server on a free port, asks for its page, ends it and all its processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = bench.env() | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", *words, "--port", str(port)]
    server = subprocess.Popen(command, cwd=bench.cwd, env=env, text=True, start_new_session=True)
    try:
        assert answers(server, f"http://127.0.0.1:{port}/")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def ends(words: list[str]) -> set[int]:
    """The exit codes that a command of the README may have on a machine without data sets, weights or a cluster."""
    if words == ["doctor"]:
        return {exits.DONE, exits.BLOCKED}
    if words[:2] == ["plan", "published"]:
        return {exits.BLOCKED}  # no machine of a test has the field's archives
    return {exits.DONE}


def smaller(words: list[str]) -> list[str]:
    """What makes a command short enough. `make test-slow` does the demo to its end."""
    few = ["--limit", "6"] if words[0] == "run" and "--limit" not in words else []
    return [*SMALL, *few] if words[0] in ("run", "plan", "leaderboard") else []


def test_every_command_runs(bench: Bench):
    """In the README's order, in a folder that holds the files that the README shows."""
    assert write_files(bench.cwd) == ["my_suite.yaml", "field.yaml", "my_prior.py"]
    ran = []
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make":
            continue
        if words[0] == "mlflow":
            serve(words, bench)
        else:
            assert words.pop(0) == "bench", line
            done = bench(*words, *smaller(words), timeout=500)
            assert done.returncode in ends(words), f"{line}\n{done.stdout}\n{done.stderr}"
        ran.append(line)
    assert len(ran) == len(set(ran)) >= 12


def test_the_readmes_table_is_the_measured_one():
    """Tables typed by hand go wrong: every row of the README's is the reference run's."""
    with open(ROOT / "suites" / "reference" / "smoke.csv", encoding="utf-8", newline="") as handle:
        measured = list(csv.DictReader(handle))
    shown = re.findall(r"^\| (\S+) \| (\S+) \| ([\d,]*) *\| ([\d.]+).*?\| ([\d.]+).*\|$", README, flags=re.MULTILINE)
    assert len(shown) == len(measured) == 18
    for (backbone, variant, added, psnr, ssim), row in zip(shown, measured, strict=True):
        assert (backbone, variant, added.replace(",", "")) == (
            row["backbone"],
            row["variant"],
            row["added_parameters"],
        )
        assert psnr == f"{float(row['photos.psnr@rgb_uint8/v1.mean']):.2f}"
        assert ssim == f"{float(row['photos.ssim@rgb_uint8/v1.mean']):.4f}"
