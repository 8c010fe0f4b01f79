"""Whole runs whose results and data lie on an S3 server: killed, gone on with elsewhere, with a server that vanishes.

Machines are working copies of their own (PRIORBENCH_STORES): nothing but the server has what another one made.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.flow.bench import Bench
from tests.flow.test_cluster import Nodes
from tests.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.xdist_group("store")

SUITE = """
suite: stored
run: {checkpoint_every: 4, log_every: 2, samples: 1}
defaults:
  dataset: photos
  seeds: [0]
  recipe: {steps: 24, batch: 2, patch: 64, augment: flip, lr: 2e-3}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1], label: NAFNet-8}
    matrix:
      variant:
        - base
        - {refiner: ptg_rm, prior: nss, regime: frozen}
"""
OUT, DATA = f"s3://{BUCKET}/run", f"s3://{BUCKET}/data"
PLACES = ("--out", OUT, "--data", DATA, "--tracker", "none")


REFINED = "        - {refiner: ptg_rm, prior: nss, regime: frozen}\n"
"""The line of the suite that takes most of the time: features, cells that rest on others."""


@pytest.fixture(scope="module")
def base_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite with one network alone."""
    file = tmp_path_factory.mktemp("base") / "stored.yaml"
    assert REFINED in SUITE
    file.write_text(SUITE.replace(REFINED, ""))
    return file


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("suite") / "stored.yaml"
    file.write_text(SUITE)
    return file


@pytest.fixture(scope="module")
def table(suite: Path, short_home: Path) -> str:
    return table_of(suite, short_home)


def table_of(suite: Path, home: Path) -> str:
    """The table of a run on this machine's disk."""
    bench = Bench(suite.parent, home)
    bench.ok("run", suite, "--out", suite.parent / "out", "--executor", "local", "--tracker", "none")
    return bench.ok("leaderboard", suite.parent / "out", "--format", "csv")


@pytest.fixture
def machines(server: S3Server, tmp_path: Path, short_home: Path) -> Machines:
    return Machines(server, tmp_path, short_home)


class Machines:
    """Machines that share the server alone."""

    def __init__(self, server: S3Server, folder: Path, home: Path) -> None:
        self.server, self._folder, self._home = server, folder, home

    def __call__(self, name: str) -> Bench:
        (self._folder / name).mkdir(exist_ok=True)
        return Bench(self._folder / name, self._home, {"PRIORBENCH_STORES": str(self._folder / name)})

    def table(self, name: str) -> str:
        return self(name).ok("leaderboard", OUT, "--data", DATA, "--format", "csv")


def checkpoints(server: S3Server) -> set[str]:
    """The steps of all training checkpoints that the server has as part of a whole state."""
    found = set()
    for key in [key for key in server.objects() if key.startswith("run/units/cells/")]:
        files = json.loads(server.content(key))["files"]
        found |= {name.split("/")[1] for name in files if name.startswith("checkpoint/step-")}
    return found


@pytest.mark.slow
def test_killed_in_mid_training_a_run_goes_on_on_another_machine_with_the_same_table(
    machines: Machines, base_only: Path, short_home: Path
) -> None:
    killed_and_gone_on_with(machines, base_only, table_of(base_only, short_home))


@pytest.mark.slow
def test_a_killed_run_of_cells_that_rest_on_others_goes_on_on_another_machine(
    machines: Machines, suite: Path, table: str
) -> None:
    killed_and_gone_on_with(machines, suite, table)


def killed_and_gone_on_with(machines: Machines, suite: Path, table: str) -> None:
    server = machines.server
    process = machines("one").start("run", suite, *PLACES, "--executor", "local")
    deadline = time.monotonic() + 200
    while not checkpoints(server):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = machines("two")("run", suite, *PLACES, "--executor", "local")
    assert done.returncode == 1
    assert "another run is using this folder: process " in done.stderr, done.stderr
    server.remove("run/lock.json")  # as if the time after which its holder counts as dead had passed
    sets = {key: size for key, size in server.objects().items() if key.startswith("data/sets/")}
    told = machines("two").ok("run", suite, *PLACES, "--executor", "local")
    assert "shards photos" not in told, "they are on the server"
    assert machines.table("three") == table
    assert {key: server.objects()[key] for key in sets} == sets
    again = machines("three").ok("run", suite, *PLACES, "--executor", "local")
    assert "nothing to do" in again
    resumed = [json.loads(line) for key in logs(server) for line in server.content(key).splitlines()]
    assert any(event.get("event") == "start" and event.get("step", 0) > 0 for event in resumed), "from a checkpoint"


def logs(server: S3Server) -> list[str]:
    """The objects with the events of cells."""
    found = []
    for key in [key for key in server.objects() if key.startswith("run/units/cells/")]:
        files = json.loads(server.content(key))["files"]
        cell = Path(key).stem
        found += [f"run/content/cells/{cell}/{files['events.jsonl']['sha256']}"] if "events.jsonl" in files else []
    return found


@pytest.mark.slow
def test_a_server_that_vanishes_for_a_while_in_mid_run_ends_nothing(
    suite: Path, table: str, tmp_path: Path, short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content outlives it, as it is kept by this process."""
    from tests.s3_server import kept_server

    with kept_server(monkeypatch) as server:
        machines = Machines(server, tmp_path, short_home)
        process = machines("one").start("run", suite, *PLACES, "--executor", "local")
        while not checkpoints(server):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        server.stop()
        time.sleep(25)
        assert process.poll() is None
        server.start()
        said = process.communicate(timeout=300)[0]
        assert process.returncode == 0, said
        assert machines.table("two") == table


@pytest.mark.slow
def test_two_nodes_that_share_nothing_but_the_server_give_the_numbers_of_one(
    machines: Machines, suite: Path, table: str, tmp_path: Path
) -> None:
    head = machines("head")
    nodes = Nodes(head)
    try:
        nodes.start("head")
        nodes.start("worker", before=["env", f"PRIORBENCH_STORES={tmp_path / 'worker'}"])
        nodes.wait_for(2)
        head.ok("run", suite, *PLACES, "--address", nodes.address)
        assert machines.table("third") == table
        for name in ("head", "worker"):
            assert list((tmp_path / name).glob("*/files/jobs/*.log")), f"jobs ran on {name}"
        assert not [key for key in machines.server.objects() if ".nonce" in key]
    finally:
        nodes.stop()


@pytest.mark.slow
def test_a_gang_shares_what_its_machine_brought_and_every_process_leaves_its_log(
    machines: Machines, suite: Path, tmp_path: Path
) -> None:
    two = ("--executor", "local", "--limit", "2", "--set", "run.processes=2", "--set", "run.cpus=1")
    machines("one").ok("run", suite, *PLACES, *two)
    here = tmp_path / "here"
    machines("one").ok("run", suite, "--out", here, "--tracker", "none", *two)
    tables = [
        machines("two").ok("leaderboard", *place, "--format", "csv") for place in ((OUT, "--data", DATA), (here,))
    ]
    assert tables[0] == tables[1]
    logs = [Path(key).name for key in machines.server.objects() if key.startswith("run/jobs/train-")]
    assert sum(name.endswith(".rank1.log") for name in logs) == sum(name.endswith(".json") for name in logs) > 0


def test_a_place_that_cannot_be_used_is_named_before_anything_runs(
    server: S3Server, tmp_path: Path, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from harness.cli.main import app

    monkeypatch.setenv("PRIORBENCH_STORES", str(tmp_path))
    for places, said in [
        (("--out", "s3://nowhere-at-all/run"), "there is no such bucket"),
        (("--out", "s3://"), "names no bucket"),
        (("--out", "s4://bucket/run"), "no place that can be reached"),
        (("--out", "file:///tmp/run"), "name it without file://"),
        (("--out", f"s3://{BUCKET}/../x"), "cannot be the URL of a folder"),
        (("--out", OUT, "--data", "s3://nowhere-at-all/data"), "there is no such bucket"),
    ]:
        done = CliRunner().invoke(app, ["run", str(suite), *places, "--executor", "local"])
        assert done.exit_code in (1, 2), done.output
        assert said in done.output
        assert "try:" in done.output
    done = CliRunner().invoke(app, ["leaderboard", OUT])
    assert (done.exit_code, "no suite has been run here" in done.output) == (2, True), done.output
    assert server.objects() == {}
