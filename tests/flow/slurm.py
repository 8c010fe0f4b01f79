"""A Slurm of the test's own: munged, slurmctld and two slurmd on loopback, files in one folder, ended by process id.

Debian's build lets several slurmd run on one machine, each with the name of a node (`slurmd -N`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES = ("one", "two")

CONFIG = """
ClusterName=priorbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2,batch_sched_delay=1
PriorityType=priority/basic
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=10
MinJobAge=3600
ReturnToService=2
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes={nodes[0]},{nodes[1]} Default=YES State=UP
"""


def missing_programs() -> str:
    """Which of Slurm's programs are not installed; empty when all are."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"
    return ", ".join(name for name in PROGRAMS if shutil.which(name, path=path) is None)


@dataclass
class Slurm:
    """The running cluster."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        return kept | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{kept['PATH']}:/usr/sbin:/usr/bin"}

    def start(self, *command: str | Path) -> None:
        log = open(self.folder / f"{Path(command[0]).name}.out", "ab")  # noqa: SIM115 - the process keeps it open
        words = list(map(str, command))
        self.processes.append(subprocess.Popen(words, env=self.env(), stdout=log, stderr=log, start_new_session=True))

    def run(self, *words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
        """One of Slurm's commands; asserts that it succeeds, gives what it prints."""
        done = subprocess.run(
            list(map(str, words)), env=self.env() | (env or {}), cwd=cwd, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def sbatch(self, *words: str | Path, env: dict[str, str], cwd: Path) -> str:
        """Submits; gives the job's id."""
        return self.run("sbatch", "--parsable", *words, env=env, cwd=cwd).strip().partition(";")[0]

    def jobs(self, job: str) -> list[dict[str, str]]:
        """What Slurm says of a job, or of each task of an array."""
        text = self.run("scontrol", "show", "job", "--oneliner", job)
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in text.splitlines() if line]

    def states(self, job: str) -> set[str]:
        return {one["JobState"] for one in self.jobs(job)}

    def ended(self, job: str, patience: float) -> set[str]:
        """Waits until a job has ended for good; gives the states of its tasks."""
        going = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"}
        deadline = time.monotonic() + patience
        while (states := self.states(job)) & going:
            assert time.monotonic() < deadline, f"job {job} is {states}\n{self.logs()}"
            time.sleep(0.2)
        return states

    def logs(self) -> str:
        texts = [f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.folder.glob("*.log")]
        return "\n".join(texts)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=20)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def running(folder: Path, nodes: Sequence[str] = NODES) -> Iterator[Slurm]:
    """Starts the cluster in an empty folder and waits until both nodes are idle."""
    slurm = Slurm(folder)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    text = CONFIG.format(folder=folder, host=socket.gethostname(), ports=free_ports(3), nodes=nodes, user=_user())
    (folder / "slurm.conf").write_text(text)
    try:
        files = [f"--{what}={folder}/munge.{end}" for what, end in _MUNGE]
        slurm.start("munged", "--foreground", "--force", "--num-threads=2", *files)
        wait_for((folder / "munge.socket").exists, "munged does not start", 30, said=slurm.logs)
        slurm.start("slurmctld", "-D", "-i", "-f", folder / "slurm.conf")
        for node in nodes:
            slurm.start("slurmd", "-D", "-N", node, "-f", folder / "slurm.conf")
        wait_for(lambda: _idle(slurm) == len(nodes), "the nodes do not come up", 30, said=slurm.logs)
        yield slurm
    finally:
        slurm.stop()


_MUNGE = (("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))


def _idle(slurm: Slurm) -> int:
    done = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%T"], env=slurm.env(), capture_output=True, text=True
    )
    return done.stdout.split().count("idle")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
