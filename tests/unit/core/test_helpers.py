"""Files beside a plug-in: imported alike everywhere, kept apart by folder, part of the plug-in's identity."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import harness
from harness.core.helpers import content_digest, helpers_of, is_local
from harness.core.identity import digest
from harness.core.running import import_file
from harness.core.source import parse_module
from harness.core.version import requirements

MAIN = """
import helper
import pkg.deep
from pkg import near as other
from .third import VALUE as third
from . import third as again


def late():
    import fourth
    return fourth.VALUE


VALUES = (helper.VALUE, pkg.deep.VALUE, other.VALUE, third, again.VALUE)
"""
MODULES = ("helper", "third", "fourth", "pkg/near", "pkg/deep")


def write(folder: Path, **texts: str) -> str:
    """A plug-in with its helpers, each of which knows its folder."""
    (folder / "pkg").mkdir(parents=True)
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"VALUE = '{folder.name} {name}'\n")
    (folder / "main.py").write_text(MAIN)
    for name, text in texts.items():
        (folder / name.replace("__", "/")).with_suffix(".py").write_text(text)
    return str(folder / "main.py")


def fresh(path: str) -> str:
    """The digest in a process that has read nothing before."""
    code = f"from harness.core.helpers import content_digest; print(content_digest({path!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_two_plug_ins_with_helpers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for name in ("a", "b"):
        module = import_file(write(tmp_path / name))
        said = (*module.VALUES, module.late())
        assert said == tuple(f"{name} {part}" for part in
                             ("helper", "pkg/deep", "pkg/near", "third", "third", "fourth"))  # fmt: skip
    assert "helper" not in sys.modules
    assert "pkg" not in sys.modules


def test_a_helper_finds_its_own_helpers(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c", helper="import fourth\nfrom pkg.deep import VALUE as deep\nVALUE = fourth.VALUE + deep"
    )
    assert import_file(file).VALUES[0] == "c fourthc pkg/deep"


def test_a_file_beside_the_plug_in_goes_before_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "helper.py").write_text("VALUE = 'wrong'")
    file = write(tmp_path / "d")
    code = f"from harness.core.running import import_file; print(import_file({file!r}).VALUES[0])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "here"), os.getcwd()])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "d helper"


def test_helpers_are_found_through_each_other(tmp_path: Path) -> None:
    file = write(tmp_path / "e", helper="from pkg import further\nVALUE = 1", pkg__further="import fifth", fifth="",
                 unused="")  # fmt: skip
    found = [os.path.relpath(path, tmp_path / "e") for path in helpers_of(file).files]
    assert found == sorted(["fifth.py", "fourth.py", "helper.py", "pkg/deep.py", "pkg/further.py", "pkg/near.py",
                            "third.py"])  # fmt: skip


def test_a_changed_helper_is_another_plug_in_and_a_comment_is_not(tmp_path: Path) -> None:
    file = write(tmp_path / "f")
    before = content_digest(file)
    (tmp_path / "f" / "pkg" / "deep.py").write_text("# a comment\nVALUE = 'f pkg/deep'\n")
    assert fresh(file) == before
    (tmp_path / "f" / "pkg" / "deep.py").write_text("VALUE = 'f pkg/deeper'\n")
    assert fresh(file) != before
    moved = tmp_path / "elsewhere"
    (tmp_path / "f" / "pkg" / "deep.py").write_text("VALUE = 'f pkg/deep'\n")
    (tmp_path / "f").rename(moved)
    assert fresh(str(moved / "main.py")) == before


def test_without_helpers_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import json\nimport numpy as np\nX = 1\n")
    (tmp_path / "json.py").write_text("Y = 2\n")  # Python's own goes first
    path = str(tmp_path / "alone.py")
    import ast

    assert helpers_of(path).files == ()
    assert content_digest(path) == digest(ast.dump(parse_module(path)))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("x = 1\nimport no_such_thing", 2, "no module named 'no_such_thing', installed or beside this file"),
        ("from no_such.thing import x", 1, "no module named 'no_such', installed or beside this file"),
        ("def f():\n    import no_such_thing", 2, "no module named 'no_such_thing'"),
        ("import pkg.nothing", 1, "no module named 'pkg.nothing' beside this plug-in"),
        ("from . import nothing", 1, "no module named 'nothing' in this folder"),
        ("from .. import x", 1, "this import leaves the folder of the plug-in"),
        ("try:\n    import no_such_thing\nexcept KeyError:\n    pass", 2, "no module named 'no_such_thing'"),
    ],
)
def test_an_import_that_leads_nowhere_is_found_without_running(tmp_path: Path, text: str, line: int, what: str) -> None:
    file = write(tmp_path / "g", main=text)
    [problem] = helpers_of(file).problems
    assert (problem.file, problem.line) == (file, line)
    assert what in problem.what


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import no_such_thing\nexcept ImportError:\n    no_such_thing = None",
        "try:\n    import no_such_thing\nexcept (KeyError, ModuleNotFoundError):\n    pass",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from no_such_thing import X",
        "import torch, numpy.linalg, harness.core.errors",
        "import os.path, xml.etree.ElementTree",
    ],
)
def test_imports_that_may_fail_or_are_installed_are_no_mistakes(tmp_path: Path, text: str) -> None:
    assert helpers_of(write(tmp_path / "h", main=text)).problems == ()


def test_a_mistake_in_a_helper_has_its_own_place(tmp_path: Path) -> None:
    file = write(tmp_path / "i", helper="import no_such_thing", third="x = (")
    problems = helpers_of(file).problems
    assert [(Path(problem.file).name, problem.line) for problem in sorted(problems)] == [
        ("helper.py", 1),
        ("third.py", 1),
    ]


def test_a_module_of_the_working_folder_alone_is_nowhere(tmp_path: Path) -> None:
    """With `python -m` that folder is on the path of this process, and not of a worker's."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "passing_by.py").write_text("")
    file = write(tmp_path / "j", main="import passing_by")
    (tmp_path / "here" / "run.py").write_text(
        f"from harness.core.helpers import helpers_of; print([p.what for p in helpers_of({file!r}).problems])"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-m", "run"], cwd=tmp_path / "here", capture_output=True, text=True,
                          env=environment, check=True)  # fmt: skip
    assert "no module named 'passing_by'" in done.stdout


def _named(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_what_this_package_requires_goes_before_files_beside_a_plug_in(tmp_path: Path) -> None:
    required = {_named(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in requirements() if "extra ==" not in line}
    tops: dict[str, list[str]] = {}
    for top, owners in packages_distributions().items():
        for owner in owners:
            tops.setdefault(_named(owner), []).append(top)
    for distribution in sorted(required & tops.keys()):  # one for another system is not installed
        for top in tops[distribution]:
            (tmp_path / f"{top}.py").write_text("")
        assert not all(is_local(str(tmp_path), top) for top in tops[distribution]), distribution


def test_what_this_package_imports_goes_before_files_beside_a_plug_in(tmp_path: Path) -> None:
    package = Path(harness.__file__).parent
    known = {*sys.stdlib_module_names, "harness", "results_schema"}
    imported = {name for file in package.rglob("*.py") for name in _imported(file.read_text())} - known
    assert {"torch", "numpy", "pydantic"} <= imported
    for top in imported:
        (tmp_path / f"{top}.py").write_text("")
    assert {top for top in imported if is_local(str(tmp_path), top)} == set()


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
