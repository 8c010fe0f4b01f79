"""The world of the campaign: a cluster of three nodes on loopback, MLflow and S3 servers, two suites, one folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
LAUNCHER = ROOT / "launchers" / "ray_node.sh"
MARK = "PRIORBENCH_CAMPAIGN"
"""Stands in the environment of every process of a campaign, by which those that were left behind are found."""
NODES = 3
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

SUITE = """
suite: {name}
run: {{checkpoint_every: {every}, log_every: {log}, samples: 1, retries: 50{gang}}}
defaults:
  task: low_light
  dataset: photos
  seeds: [{seeds}]
  recipe: {{steps: {steps}, batch: 4, patch: 48, augment: flip, lr: 2e-3}}
  backbone: {{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
blocks:
  - matrix:
      variant: [base, {{refiner: ptg_rm, prior: nss}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Size:
    """How large a campaign is."""

    alone: int = 10
    """Seeds of the suite whose cells are one process, two cells a seed."""
    gangs: int = 5
    """Seeds of the suite whose cells are two."""
    steps: int = 240
    checkpoint_every: int = 12


@dataclass
class World:
    """Everything that runs. All its processes carry `MARK`; all its files lie in `folder`."""

    size: Size
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pb")))
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    small_disk: bool = False
    """Whether outputs lie on a disk of their own, which can be filled."""

    def __post_init__(self) -> None:
        self.head, self.mlflow = free_port(), free_port()
        for name in ("home", "shared"):
            (self.folder / name).mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(self.shared)]
        self.small_disk = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        self.clock = self.folder / "clock"
        self.clock.write_text("+0")
        size = self.size
        for name, seeds, gang in (("alone", size.alone, ""), ("gangs", size.gangs, ", processes: 2")):
            numbers = ", ".join(map(str, range(seeds)))
            text = SUITE.format(
                name=name,
                seeds=numbers,
                gang=gang,
                steps=size.steps,
                every=size.checkpoint_every,
                log=size.checkpoint_every // 2,
            )
            (self.folder / f"{name}.yaml").write_text(text)

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    @property
    def out(self) -> Path:
        return self.shared / "out"

    def suites(self) -> list[Path]:
        seeds = {"alone": self.size.alone, "gangs": self.size.gangs}
        return [self.folder / f"{name}.yaml" for name, count in seeds.items() if count]

    def env(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PRIORBENCH_", "RAY_"))}
        own = {
            MARK: self.mark,
            "HOME": str(self.folder / "home"),
            "RAY_TMPDIR": str(self.folder),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "COLUMNS": "200",
        }
        return {**kept, **own, **more}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "harness.cli.main", *map(str, arguments)]

    def start_node(self, name: str) -> None:
        """`head`, or another name for a node that joins it. One CPU each."""
        role = ["head", str(self.head)] if name == "head" else ["worker", f"127.0.0.1:{self.head}"]
        with open(self.folder / f"node-{name}.log", "ab") as log:
            self.nodes[name] = subprocess.Popen(
                [str(LAUNCHER), *role],
                env=self.env(CPUS="1", GPUS="0"),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_cluster(self) -> None:
        self.start_node("head")
        wait_for(lambda: answers(self.head), 60, "the head does not answer")
        for number in range(1, NODES):
            self.start_node(f"node{number}")

    def start_mlflow(self) -> None:
        store = f"sqlite:///{self.folder / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.mlflow)]
        command += ["--backend-store-uri", store, "--artifacts-destination", str(self.folder / "artifacts")]
        with open(self.folder / "mlflow.log", "ab") as log:
            self.servers["mlflow"] = subprocess.Popen(
                [*command, "--workers", "1"], env=self.env(), stdout=log, stderr=log, start_new_session=True
            )

    def start_driver(self, suite: Path) -> subprocess.Popen[bytes]:
        """`bench run` of a suite on the cluster, as a user would start it again and again."""
        more = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.mlflow}"}
        if FAKETIME is not None:
            more |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        command = self.command("run", suite, "--out", self.out, "--address", f"127.0.0.1:{self.head}")
        with open(self.folder / "driver.log", "ab") as log:
            log.write(f"--- {suite.stem} {time.strftime('%H:%M:%S')}\n".encode())
            log.flush()
            return subprocess.Popen(
                command, cwd=self.folder, env=self.env(**more), stdout=log, stderr=log, start_new_session=True
            )

    def table(self, out: Path, suite: Path) -> str:
        """The leaderboard of a suite as CSV."""
        command = self.command("leaderboard", suite, "--out", out, "--format", "csv")
        done = subprocess.run(command, cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> dict[int, str]:
        """Command lines of all processes of this campaign but the present one, by process id."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue  # it has ended, or is another user's
        return {pid: line for pid, line in found.items() if pid != os.getpid() and line}

    def of_the_run(self) -> dict[int, str]:
        """Processes of runs that have ended, which a cluster that stays must not hold any more."""
        lines = self.processes()
        return {pid: line for pid, line in lines.items() if "harness" in line or line.startswith("ray::Worker")}

    def close(self) -> None:
        """Ends all. `ray start --block` takes some fifteen seconds to end by itself, and needs not."""
        for process in (*self.nodes.values(), *self.servers.values()):
            end_group(process, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        for pid in left:
            kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        if self.small_disk:
            subprocess.run(["umount", "-l", str(self.shared)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def end_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def kill(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds: float, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)
