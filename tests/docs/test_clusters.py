"""The guide of clusters: its files are there, its commands are ones that exist, and those that need no cluster run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import exits
from harness.cli.main import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
FOREIGN = {"kubectl", "ray", "sky", "squeue", "export"}
"""Programs of others, which tests/flow/test_launchers.py and test_slurm.py stand for as far as they can."""


def commands() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL)
    return [shlex.split(line, comments=True) for line in "\n".join(blocks).splitlines() if line.strip()]


def options_of(command: str) -> set[str]:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    return set(re.findall(r"--[a-z][a-z-]*", shown.output))


def benches() -> list[list[str]]:
    """The words after `bench`, also of those that another program starts."""
    found = [words[1:] for words in commands() if words[0] == "bench"]
    inside = [shlex.split(word)[1:] for words in commands() for word in words if word.startswith("bench ")]
    return found + inside


def test_every_launcher_is_shown_and_every_file_that_is_shown_is_there() -> None:
    named = {word for words in commands() for word in words if word.startswith("launchers/")}
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "launchers").rglob("*")
        if path.suffix in (".sh", ".sbatch", ".yaml")
    }
    assert named == files
    assert all(os.access(ROOT / name, os.X_OK) for name in named if not name.endswith(".yaml"))


@pytest.mark.parametrize("words", benches(), ids=" ".join)
def test_commands_have_the_options_that_are_shown(words: list[str]) -> None:
    shown = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert shown <= options_of(words[0])


def test_other_programs_are_known_and_our_modules_exist() -> None:
    for words in commands():
        if words[0] == "python":
            assert words[1] == "-m"
            assert find_spec(words[2]) is not None
        elif words[0] == "sbatch":
            assert words[-3].endswith(".sbatch") or "launchers/slurm/bench.sbatch" in words
        else:
            assert words[0] in FOREIGN | {"bench"} or words[0].startswith("launchers/"), words


def test_what_needs_no_cluster_runs(tmp_path: Path) -> None:
    name, content = re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, flags=re.DOTALL)[0]
    (tmp_path / name).write_text(content, encoding="utf-8")
    with chdir(tmp_path):
        for words in benches():
            if words[0] in ("plan", "check"):
                done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
                assert done.exit_code == exits.DONE, f"bench {' '.join(words)}\n{done.output}"


def test_the_token_command_runs(tmp_path: Path) -> None:
    assert ["python", "-m", "harness.scheduling.token"] in commands()
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-m", "harness.scheduling.token"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600


def test_its_messages_are_ours() -> None:
    """What the guide says that one sees stands in the code."""
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("harness/scheduling", "harness/records", "launchers")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sh", ".sbatch")
    )
    for said in (
        "does not take the token of",
        "the cluster demands a token",
        "no token of a Ray cluster",
        "no head answers at",
        "nodes are up after",
        "another run is using this folder",
        "to be made again",
        "single jobs cannot write into an object store",
    ):
        assert said in sources
        assert said.split(" after")[0] in TEXT
