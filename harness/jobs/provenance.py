"""Where, with what and from what a result is made. What does not change in a process is found once."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

import harness
from harness.core.own_code import source_digest
from harness.core.version import package_version, requirements
from harness.records.model import Provenance


def provenance(
    *,
    threads: int,
    data: Mapping[str, str] | None = None,
    weights: Mapping[str, str] | None = None,
    skipped: Mapping[str, Mapping[str, str]] | None = None,
) -> Provenance:
    """The present process as a Provenance. `data`: manifest digests by set; `weights`: file digests by part;
    `skipped`: by set, the files left out, with the reasons.
    """
    return Provenance(
        harness=package_version(),
        code=code_version(),
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cpus=os.cpu_count() or 1,
        gpus=_gpus(),
        threads=threads,
        packages=_packages(),
        data=dict(data or {}),
        weights=dict(weights or {}),
        skipped={name: dict(files) for name, files in (skipped or {}).items()},
    )


def trains_on() -> dict[str, str]:
    """The present machine and code, as the legs of a training tell them (harness.records.model.Leg)."""
    return {"machine": ", ".join(_gpus()) or _processor(), "code": code_version()}


@cache
def code_version() -> str:
    """The git commit of a checkout, with `+dirty` when its files were edited; else a digest of the package's source.

    An installed package may lie inside somebody's repository without belonging to it, so git is asked about the file.
    """
    package = Path(harness.__file__).parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return f"source:{source_digest(package)}"
    commit = _git(package, "rev-parse", "HEAD")
    edited = _git(package, "status", "--porcelain", "--", str(package))
    return f"{commit or 'unborn'}{'+dirty' if edited else ''}"


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, None where git is missing or refuses."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _packages() -> dict[str, str]:
    """Versions of the installed packages that ours names as dependencies, extras included."""
    names = {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in requirements()}
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


@cache
def _gpus() -> tuple[str, ...]:
    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
