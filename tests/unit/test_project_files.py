"""The files around the package agree with each other and with what is installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOLS = Path(sys.executable).parent
CITED_AS = {"cff-version", "message", "title", "authors"}
"""What version 1.2.0 of the Citation File Format requires."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def yaml(name: str) -> Any:
    return YAML(typ="safe").load(read(name))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))


def test_hooks_call_tools_of_the_environment() -> None:
    done = subprocess.run(
        [TOOLS / "pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    repositories = yaml(".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"], "others are downloaded"
    entries = [hook["entry"].split() for hook in repositories[0]["hooks"]]
    assert {Path(entry[0]).name for entry in entries} == {"ruff", "mypy", "lint-imports"}
    for tool, *_ in entries:
        assert tool.startswith(".venv/bin/"), "where make puts it"
        assert (TOOLS / Path(tool).name).is_file(), tool


def test_the_citation_is_complete_and_of_this_version() -> None:
    citation = yaml("CITATION.cff")
    assert citation.keys() >= CITED_AS
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    (paper,) = citation["references"]
    assert paper.keys() >= {"type", "title", "authors"}
    assert "2403.06793" in paper["url"]
    assert all(author.keys() == {"family-names", "given-names"} for author in paper["authors"])


def test_every_folder_of_the_harness_stands_on_a_floor() -> None:
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    floors = [re.findall(r"harness\.(\w+)", layer) for layer in contract["layers"]]
    on_floors = [name for floor in floors for name in floor]
    optional = set(re.findall(r"\(harness\.(\w+)\)", " ".join(contract["layers"])))
    folders = {file.parent.name for file in (ROOT / "harness").glob("*/__init__.py")}
    assert folders <= set(on_floors)
    assert set(on_floors) - folders <= optional
    table = read("CONTRIBUTING.md").partition("## Layout")[2].partition("\n## ")[0]
    shown = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    assert [sorted(floor) for floor in shown] == [sorted(floor) for floor in floors]
    forbidden = next(each for each in PROJECT["tool"]["importlinter"]["contracts"] if "torch" in str(each))
    drawn, marked = _drawn_floors()
    assert [sorted(floor) for floor in drawn] == [sorted(floor) for floor in floors]
    assert marked == {name.removeprefix("harness.") for name in forbidden["source_modules"]}


def _drawn_floors() -> tuple[list[list[str]], set[str]]:
    """The floors of README's drawing, and those that it marks as free of torch."""
    drawing = re.search(r"```\n( +cli ○.*?)```", read("README.md"), re.DOTALL)
    assert drawing
    lines = [line[:50] for line in drawing[1].splitlines()]
    return [re.findall(r"\w+", line) for line in lines], set(re.findall(r"(\w+) ○", drawing[1]))


def test_the_targets_that_documents_name_exist_and_help_lists_them_all() -> None:
    targets = make_targets()
    for document in ("CONTRIBUTING.md", "README.md", ".ci/run"):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", read(document), flags=re.MULTILINE))
        assert named, document
        assert named <= targets, document
    done = subprocess.run(["make", "-C", ROOT, "--silent", "help"], capture_output=True, text=True, check=True)
    assert {line.split()[0] for line in done.stdout.splitlines()} == targets
    assert ".DEFAULT_GOAL := demo\n" in read("Makefile")


def test_what_links_in_documents_lead_to_exists() -> None:
    for document in ("CONTRIBUTING.md", "SECURITY.md"):
        paths = [path for path in re.findall(r"\]\(([^)#]+)\)", read(document)) if "://" not in path]
        assert [path for path in paths if not (ROOT / path).exists()] == [], document


@pytest.mark.parametrize("extra", [None, *PROJECT["project"]["optional-dependencies"]])
def test_what_is_required_is_pinned_to_a_version_that_is_allowed(extra: str | None) -> None:
    lines = [line for line in read("constraints.txt").splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines)
    project = PROJECT["project"]
    wanted = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
