"""The world of the campaign: a cluster of three nodes on loopback, MLflow and S3 servers, three suites, one folder."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.campaign.suites import Size, Suite, suites_of
from tests.waiting import wait_for

if TYPE_CHECKING:  # a server's libraries take seconds to import
    from tests.faults.campaign.shelf import Shelf

ROOT = Path(__file__).parents[3]
LAUNCHER = ROOT / "launchers" / "ray_node.sh"
MARK = "PRIORBENCH_CAMPAIGN"
"""Stands in the environment of every process of a campaign, by which those that were left behind are found."""
NODES = 3
PORTS = range(15_000, 30_000)
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
CLOCK = """
import os, select, threading, time

time.sleep = lambda seconds: select.select([], [], [], seconds) and None  # libfaketime shifts the end of its own


def tell():
    while True:
        with open(os.environ["CLOCK_SEEN"], "w") as file:
            file.write(f"{time.time()} {time.monotonic()}")
        time.sleep(0.2)


threading.Thread(target=tell, daemon=True).start()
"""
"""A `sitecustomize.py`: the process says again and again what time it takes it for."""


def free_port() -> int:
    """One below those that a system gives to who asks for any: nobody takes it while its server is down."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port of {PORTS} is free")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
        self.head, self.mlflow, self.gate = free_port(), free_port(), free_port()
        for name in ("home", "shared", "driver"):
            (self.folder / name).mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(self.shared)]
        self.small_disk = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        self.clock = self.folder / "clock"
        self.clock.write_text("+0")
        (self.folder / "driver" / "sitecustomize.py").write_text(CLOCK)
        self.suites = suites_of(self.size, self.folder, self.out)
        self.going: Suite | None = None
        self.shelf: Shelf | None = None
        self.faults: list[str] = []
        """What events saw that was not as it must be."""

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    @property
    def clock_seen(self) -> Path:
        return self.folder / "driver" / "clock"

    @property
    def copies(self) -> Path:
        return self.shared / "copies"

    @property
    def out(self) -> Path:
        return self.shared / "out"

    def env(self, **more: str) -> dict[str, str]:
        others = ("MLFLOW_", "PRIORBENCH_", "RAY_", "AWS_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
        own = {
            MARK: self.mark,
            "HOME": str(self.folder / "home"),
            "RAY_TMPDIR": str(self.folder),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "NO_PROXY": "127.0.0.1",
            "PRIORBENCH_STORES": str(self.copies),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.gate}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
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
        wait_for(lambda: answers(self.head), "the head does not answer")
        for number in range(1, NODES):
            self.start_node(f"node{number}")

    def start_mlflow(self) -> None:
        store = f"sqlite:///{self.folder / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.mlflow)]
        command += ["--backend-store-uri", store, "--artifacts-destination", str(self.folder / "artifacts")]
        self._start_server("mlflow", [*command, "--workers", "1"])

    def start_store(self) -> None:
        """The way to the S3 server, and the server where there is none yet: what it has does not outlive it."""
        if self.shelf is None:
            from tests.faults.campaign.shelf import Shelf

            self.shelf = Shelf(self.folder / "seen")
            self.shelf.start()
        way = [sys.executable, "-m", "tests.faults.campaign.proxy", str(self.gate), str(self.shelf.port)]
        self._start_server("store", way)

    def _start_server(self, name: str, command: list[str]) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.servers[name] = subprocess.Popen(
                command, env=self.env(), stdout=log, stderr=log, start_new_session=True
            )

    def start_servers(self) -> None:
        self.start_mlflow()
        if self.size.stored:
            self.start_store()
            wait_for(lambda: answers(self.gate), "the way to the store does not open")

    def clocked(self) -> dict[str, str]:
        """What makes a process go by the campaign's clock, and say what time it is by that."""
        if FAKETIME is None:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "CLOCK_SEEN": str(self.clock_seen),
            "PYTHONPATH": f"{self.folder / 'driver'}{os.pathsep}{ROOT}",
        }

    def start_driver(self, suite: Suite) -> subprocess.Popen[bytes]:
        """`bench run` of a suite on the cluster, as a user would start it again and again."""
        more = self.clocked() | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.mlflow}"}
        command = self.command("run", suite.file, *suite.places, "--address", f"127.0.0.1:{self.head}")
        with open(self.folder / "driver.log", "ab") as log:
            log.write(f"--- {suite.name} {time.strftime('%H:%M:%S')}\n".encode())
            log.flush()
            return subprocess.Popen(
                command, cwd=self.folder, env=self.env(**more), stdout=log, stderr=log, start_new_session=True
            )

    def table(self, suite: Suite, *places: str) -> str:
        """The leaderboard of a suite as CSV, from where these options say."""
        command = self.command("leaderboard", suite.file, *places, "--format", "csv")
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
        if self.shelf is not None:
            self.shelf.kill()
            self.shelf = None
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
