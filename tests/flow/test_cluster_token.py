"""Clusters with their token, on an account that has run Ray by itself before, and what is said to those without it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.bench import TINY, Bench
from tests.flow.test_cluster import Nodes

pytestmark = pytest.mark.xdist_group("tiny")

OWN = "from ray._private.authentication.authentication_token_setup import generate_and_save_token as make; make()"
"""What `ray.init()` does on an account without a token, before it starts anything."""


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Bench]:
    """A home of its own, without a token; its path is short, as Ray's sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="pb", ignore_cleanup_errors=True) as home:
        yield Bench(tmp_path, Path(home))


@pytest.fixture
def nodes(account: Bench) -> Iterator[Nodes]:
    started = Nodes(account)
    yield started
    started.stop()


def token_file(account: Bench) -> Path:
    return account.home / ".ray" / "auth_token"


def asked(account: Bench, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m harness.scheduling.await_nodes`, with changes to the environment."""
    command = [sys.executable, "-m", "harness.scheduling.await_nodes", *words]
    env = account.env() | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=200)


def test_a_cluster_after_rays_own_local_run(account, nodes, tmp_path):
    subprocess.run([sys.executable, "-c", OWN], env=account.env(), check=True, timeout=100)
    before = token_file(account).read_text()
    nodes.start("head")
    nodes.start("worker")
    nodes.wait_for(2)
    assert token_file(account).read_text() == before
    refusals = {
        "the cluster demands a token, and there is none on this account": {"HOME": str(tmp_path)},
        "the cluster does not take the token of RAY_AUTH_TOKEN": {"RAY_AUTH_TOKEN": "0" * 64},
        "the cluster demands a token, and RAY_AUTH_MODE=disabled here": {"RAY_AUTH_MODE": "disabled"},
    }
    for said, environment in refusals.items():
        refused = asked(account, nodes.address, "1", **environment)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_three_nodes_around_a_local_run(finished, account, nodes, tmp_path):
    """The head makes the token; a local run in between neither uses nor changes it."""
    nodes.start("head")
    for name in ("second", "third"):
        nodes.start("worker", name=name)
    nodes.wait_for(3)
    made = token_file(account)
    assert made.stat().st_mode & 0o777 == 0o600
    before = made.read_text()
    account.ok("run", TINY, "--out", tmp_path / "local", "--tracker", "none", "--limit", "1")
    assert made.read_text() == before
    out = tmp_path / "out"
    account.ok("run", TINY, "--out", out, "--address", nodes.address, "--tracker", "none")
    tables = [account.ok("leaderboard", folder, "--format", "csv") for folder in (out, finished)]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_a_local_run_leaves_no_token(account, tmp_path):
    account.ok("run", TINY, "--out", tmp_path / "out", "--tracker", "none", "--limit", "1")
    assert not token_file(account).exists()
