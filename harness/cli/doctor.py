"""`bench doctor`: checks what runs need on this machine, and says how to get what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from harness.api.declaration import declaration
from harness.api.kinds import KINDS
from harness.cli import exits
from harness.cli.common import OutOption
from harness.core.errors import HarnessError
from harness.core.source import REQUIRED
from harness.core.version import required_python, requirements
from harness.parts.catalogue import REGISTRY
from harness.scheduling.token import COPY, MODE, TOKEN, find_token
from harness.storage.copies import folder_of
from harness.weights.files import missing_files, needed_files, said_missing

PATIENCE = 120
"""Seconds within which a library must start."""

ROOM = 5
"""GB of disk that a suite should have free."""

# Each runs in its own process and prints one line, so that a library that is broken or hangs stops no other check.
TORCH = """
import torch
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(f"{torch.__version__}, {torch.get_num_threads()} threads,", ", ".join(gpus) or "no GPU")
"""
RAY = """
import time
began = time.monotonic()
from harness.scheduling.ray_pool import RayPool
pool = RayPool(None)
has = pool.capacity()
took = time.monotonic() - began
pool.stop()
print(f"starts in {took:.1f} s with {has['cpus']:g} CPUs and {has['gpus']:g} GPUs")
"""
MLFLOW = """
import sys
from harness.tracking.mlflow import ping
print(ping(sys.argv[1] or None))
"""
PROCESSES = """
import torch
import torch.distributed as group
gpus = torch.cuda.device_count()
nccl = ".".join(map(str, torch.cuda.nccl.version())) if group.is_nccl_available() and torch.version.cuda else ""
said = f"NCCL {nccl}" + ("" if gpus else " (unused: no GPU)") if nccl else "no NCCL in this build of torch"
print(f"gloo for CPUs, {said}")
raise SystemExit("no NCCL in this build of torch, which GPUs of several processes need" if gpus > 1 and not nccl else 0)
"""
DEEPSPEED = """
import shutil, deepspeed
print(f"{deepspeed.__version__},", "nvcc is there" if shutil.which("nvcc") else "no nvcc: no offload to the CPU")
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    subject: str
    state: Literal["ok", "missing"]
    detail: str
    todo: str = ""


def doctor(out: OutOption = None) -> None:
    """Check this machine: python, packages, devices, Ray, MLflow, weights, disk. Exit code 3: something is missing."""
    folder = out or Path("results")
    data = os.environ.get("PRIORBENCH_DATA")
    checks: list[Callable[[], list[Finding]]] = [
        _python,
        _packages,
        lambda: [_in_process("torch", TORCH, "", "pip install torch")],
        lambda: [_in_process("ray", RAY, "", "--executor local needs no Ray; with a long TMPDIR: RAY_TMPDIR=/tmp")],
        lambda: [_token()],
        lambda: [_in_process("processes", PROCESSES, "", "a build of torch for CUDA, or one process a cell")],
        lambda: [_in_process("deepspeed", DEEPSPEED, "", "strategy: ddp and fsdp2 do without it")],
        lambda: [_in_process("mlflow", MLFLOW, os.environ.get("MLFLOW_TRACKING_URI", ""), "bench run --tracker none")],
        _weights,
        lambda: [_disk("results", folder)],
        lambda: [_disk("data", folder_of(data))] if data else [],
    ]
    missing = False
    with ThreadPoolExecutor(3) as threads:
        for findings in threads.map(lambda check: check(), checks):
            for finding in findings:
                missing |= finding.state != "ok"
                typer.echo(f"{finding.state:8} {finding.subject:18} {finding.detail}")
                if finding.todo:
                    typer.echo(f"{'':27} try: {finding.todo}")
    raise typer.Exit(exits.code_of_run(failed=False, blocked=missing))


def _python() -> list[Finding]:
    wanted = required_python()
    enough = sys.version_info >= tuple(int(part) for part in wanted.split("."))
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return [Finding("python", "ok" if enough else "missing", detail, "" if enough else f"use Python {wanted} or newer")]


def _packages() -> list[Finding]:
    """One finding for all required packages that are installed, and one for each missing one."""
    here, findings = 0, []
    for requirement in requirements():
        if "extra ==" in requirement or ("sys_platform" in requirement and sys.platform != "linux"):
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            metadata.version(name)
            here += 1
        except metadata.PackageNotFoundError:
            findings.append(Finding(name, "missing", "not installed", f"pip install '{requirement.partition(';')[0]}'"))
    return [Finding("packages", "ok", f"{here} of {here + len(findings)} required ones installed"), *findings]


def _in_process(subject: str, program: str, argument: str, todo: str) -> Finding:
    command = [sys.executable, "-c", program, argument]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return Finding(subject, "missing", f"no answer within {PATIENCE} s", todo)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["no answer"]
    if done.returncode:
        return Finding(subject, "missing", lines[-1], todo)
    return Finding(subject, "ok", lines[-1])


def _token() -> Finding:
    """Ray's token: of clusters that are joined; a Ray that a run starts for itself has its own."""
    mode = os.environ.get(MODE, "").strip().lower()
    if mode not in ("", "token", "disabled"):
        return Finding("ray token", "missing", f"{MODE}={mode}, which Ray does not know", f"unset {MODE}")
    if mode == "disabled":
        return Finding("ray token", "ok", f"{MODE}=disabled: clusters that demand a token refuse")
    try:
        token = find_token()
    except HarnessError as error:
        return Finding("ray token", "missing", f"{error.where}: {error.what}", error.hint)
    if token is None:
        if mode:
            return Finding("ray token", "missing", f"{MODE}=token, and there is none", COPY)
        return Finding("ray token", "ok", "none yet: the head of a cluster makes one (launchers/ray_node.sh head)")
    if token.file is not None and _others_read(token.file):
        return Finding("ray token", "missing", f"others can read {token.place}", f"chmod 600 {token.place}")
    return Finding("ray token", "ok", f"in {token.place}, readable by you alone" if token.file else f"in {TOKEN}")


def _others_read(file: Path) -> bool:
    """Whether other accounts can read a file: itself, and every folder on the way to it."""
    return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)) and _ways(file)


def _ways(file: Path) -> bool:
    """Whether others can enter every folder above a file."""
    return all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in file.resolve().parents)


def _weights() -> list[Finding]:
    """One finding for every part that needs files of weights, with its default options."""
    findings = []
    for entry in (entry for kind in KINDS for entry in REGISTRY.entries(kind)):
        found = declaration(REGISTRY, entry.kind, entry.name)
        if not found.traits.weights:
            continue
        defaults = {name: option.default for name, option in found.options.items() if option.default is not REQUIRED}
        subject = f"{entry.kind} {entry.name}"
        missing = missing_files(needed_files(found.traits, defaults, subject))
        if missing:
            names, fetch = said_missing(missing)
            findings.append(Finding(subject, "missing", f"weights {names}", fetch))
        else:
            findings.append(Finding(subject, "ok", "weights are here"))
    return findings


def _disk(subject: str, folder: Path) -> Finding:
    """Whether the folder, or the nearest existing one above it, can be written and has free space."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e9
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(subject, "missing", f"cannot write {there}", "choose another folder with --out")
    if free < ROOM:
        return Finding(subject, "missing", f"{free:.1f} GB free in {there}", f"free some space: {ROOM} GB at least")
    return Finding(subject, "ok", f"{free:.0f} GB free in {there}")
