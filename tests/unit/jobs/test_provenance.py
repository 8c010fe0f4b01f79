"""Provenance: what identifies the code, and that it is cheap after the first time."""

from __future__ import annotations

import subprocess
import time
from importlib import metadata
from pathlib import Path

import numpy
import pytest

import harness
from harness.core.own_code import source_digest
from harness.jobs import provenance as module


@pytest.fixture(autouse=True)
def fresh():
    module.code_version.cache_clear()
    yield
    module.code_version.cache_clear()


def test_versions_and_host() -> None:
    made = module.provenance(threads=3, data={"set/train": "ab"}, weights={"clip": "cd"})
    assert made.harness == metadata.version("priorbench")
    assert made.packages["numpy"] == numpy.__version__
    assert {"torch", "accelerate", "pyiqa"} <= made.packages.keys()
    assert (made.threads, made.data, made.weights) == (3, {"set/train": "ab"}, {"clip": "cd"})
    assert made.processor
    assert made.cpus >= 1


def test_a_checkout_that_is_not_installed_has_a_provenance_too(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.distribution

    def not_installed(name: str) -> metadata.Distribution:
        if name == "priorbench":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "distribution", not_installed)
    module._packages.cache_clear()
    made = module.provenance(threads=1)
    module._packages.cache_clear()
    assert made.harness.endswith("+source")
    assert made.packages["numpy"] == numpy.__version__


def test_the_second_time_costs_nothing() -> None:
    module.provenance(threads=1)
    began = time.perf_counter()
    module.provenance(threads=1)
    assert time.perf_counter() - began < 0.02


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@e"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    package = tmp_path / "harness"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("A = 1\n")
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(harness, "__file__", str(package / "__init__.py"))
    return tmp_path


def test_a_checkout_is_its_commit_and_says_when_it_was_edited(checkout: Path) -> None:
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "m")
    commit = git(checkout, "rev-parse", "HEAD")
    assert module.code_version() == commit
    (checkout / "elsewhere.txt").touch()
    module.code_version.cache_clear()
    assert module.code_version() == commit
    (checkout / "harness" / "a.py").write_text("A = 2\n")
    module.code_version.cache_clear()
    assert module.code_version() == f"{commit}+dirty"


def test_an_installed_package_in_a_strangers_repository_is_its_source(checkout: Path) -> None:
    first = module.code_version()
    assert first.startswith("source:")
    assert len(first) == len("source:") + 16
    (checkout / "harness" / "a.py").write_text("A = 2\n")
    module.code_version.cache_clear()
    assert module.code_version() != first


def test_without_git_it_is_its_source(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert module.code_version() == f"source:{source_digest(Path(harness.__file__).parent)}"
