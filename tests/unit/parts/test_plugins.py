"""Plug-in files: read without being run, every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.core.errors import SpecErrors
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend, open_suite

PLUGIN = '''
"""A plug-in."""

from harness.api.prior import PriorTraits

raise RuntimeError("a plug-in must not run before it is used")


class Mine:
    """Nothing but zeros."""

    traits = PriorTraits()

    def __init__(self, *, dim: int = 4) -> None: ...


CATALOGUE = (("prior", "mine", "Mine"),)
'''


def write(folder: Path, text: str, name: str = "plug_in.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_plug_in_is_named_without_being_run(tmp_path: Path) -> None:
    file = write(tmp_path, PLUGIN)
    registry = extend(REGISTRY, [file, file])
    assert registry.get("prior", "mine").target == f"{file}:Mine"
    assert registry.get("prior", "mine").summary == "Nothing but zeros."
    assert declaration(registry, "prior", "mine").options["dim"].default == 4
    assert "mine" not in REGISTRY.names("prior")
    with pytest.raises(RuntimeError, match="must not run"):
        registry.load("prior", "mine")


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("x = (", 1, "not Python: '(' was never closed", ""),
        ("x = 1", 1, "this plug-in names no parts", 'CATALOGUE = (("prior", "my_prior", "MyPrior"),)'),
        ("CATALOGUE = ()\nCATALOGUE = 1", None, "", ""),
        ("class A: ...\nCATALOGUE = (\n  ('prior', 'a'),\n)", 3,
         "a line is three texts: kind, name in suites, class", None),
        ("CATALOGUE = open('x')", 1, "a line is three texts: kind, name in suites, class", None),
        ("class A: ...\nCATALOGUE = [('priro', 'a', 'A')]", 2, "there is no kind 'priro'", "did you mean 'prior'?"),
        ("class Aa: ...\nCATALOGUE = [('prior', 'a', 'Ab')]", 2,
         "this file defines no class 'Ab'", "known: Aa"),
        ("class A: traits = PriorTraits()\nCATALOGUE = [('prior', 'nss', 'A')]", 2,
         "prior 'nss' is named twice", "rename one of them"),
        ("class A:\n  traits = PriorTraits()\n  def __init__(self, *, x: int = f()): ...\n"
         "CATALOGUE = [('prior', 'a', 'A')]", 3,
         "is not a literal", None),
    ],
)  # fmt: skip
def test_mistakes_have_their_line(tmp_path: Path, text: str, line: int | None, what: str, hint: str | None) -> None:
    file = write(tmp_path, text)
    if line is None:
        assert extend(REGISTRY, [file]).entries() == REGISTRY.entries()
        return
    with pytest.raises(SpecErrors) as caught:
        extend(REGISTRY, [file])
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (file, line)
    assert what in problem.what
    assert hint is None or problem.hint == hint


def test_all_mistakes_of_all_files_come_together(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "CATALOGUE = [('prior', 'a', 'A'), ('prior', 'b', 'B')]", "a.py"),
        write(tmp_path, "x", "b.py"),
    ]
    with pytest.raises(SpecErrors) as caught:
        extend(Registry([]), [*files, str(tmp_path / "none.py")])
    assert [Path(problem.file).name for problem in caught.value.problems] == ["a.py", "a.py", "b.py", "none.py"]


SUITE = """
suite: plug_ins
plugins: [plug_in.py]
blocks:
  - {task: low_light, dataset: photos, backbone: nafnet, variant: {refiner: ptg_rm, prior: mine}}
"""


def test_a_suite_brings_its_plug_ins(tmp_path: Path) -> None:
    write(tmp_path, PLUGIN)
    suite, registry = open_suite(write(tmp_path, SUITE, "suite.yaml"))
    assert suite.cells[-1].cell.variant.prior is not None
    assert suite.cells[-1].cell.variant.prior.version.startswith("1+")
    assert suite.plugins == (str(tmp_path / "plug_in.py"),)
    assert "mine" in registry.names("prior")


def test_mistakes_of_a_suite_and_its_plug_ins_come_together(tmp_path: Path) -> None:
    write(tmp_path, "CATALOGUE = [('prior', 'mine', 'Mine')]")
    with pytest.raises(SpecErrors) as caught:
        open_suite(write(tmp_path, SUITE + "sweets: 3\n", "suite.yaml"))
    assert [(Path(p.file).name, p.line) for p in caught.value.problems] == [("plug_in.py", 1), ("suite.yaml", 6)]
