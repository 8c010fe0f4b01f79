"""The version, installed and from a plain checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from harness.core import version as module
from harness.core.version import package_version, required_python, requirements

ROOT = Path(__file__).parents[3]

ASK = "from harness.core.version import *; print(package_version(), required_python(), *requirements(), sep='\\n')"


def without_installation(checkout: Path) -> list[str]:
    """What an interpreter without site-packages says, with the checkout to import from."""
    command, environment = [sys.executable, "-S", "-c", ASK], os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def copied(folder: Path) -> Path:
    """The part of the package that is asked, as in a checkout."""
    core = folder / "harness" / "core"
    core.mkdir(parents=True)
    for package in (core.parent, core):
        (package / "__init__.py").touch()
    shutil.copy(module.__file__, core / "version.py")
    return folder


def test_an_installation_says_its_version() -> None:
    assert package_version() == metadata.version("priorbench")
    assert any(line.startswith("torch>=") for line in requirements())
    assert required_python() == "3.11"


def test_a_checkout_that_is_not_installed_says_it_from_its_project_file(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", copied(tmp_path))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version, python, *required = without_installation(tmp_path)
    assert version == f"{project['version']}+source"
    assert f">={python}" == project["requires-python"]
    assert required[: len(project["dependencies"])] == project["dependencies"]
    assert any(line.endswith('extra == "dev"') for line in required)


def test_without_any_source_it_is_unknown(tmp_path: Path) -> None:
    assert without_installation(copied(tmp_path))[0] == "unknown"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\nversion = "7"\n')
    assert without_installation(tmp_path)[0] == "unknown"
