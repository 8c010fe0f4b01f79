"""Plug-in files: read without being run, every mistake with its line."""

from __future__ import annotations

import sys
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
        ("CATALOGUE = [('prior', 'a', 'A')]\nCATALOGUE = 1", 2, "CATALOGUE is bound or changed here", None),
        ("CATALOGUE = ()", 1, "this plug-in names no parts", None),
        ("CATALOGUE = ('abc',)", 1, "a line is three texts", None),
        ("CATALOGUE = (['prior', 'a', 'A'],)", 1, "a line is three texts", None),
        ("CATALOGUE = (('prior', 'a', ''),)", 1, "a line is three texts", None),
        ("CATALOGUE = (('prior', 'a', f()),)", 1, "a line is three texts", None),
        ("CATALOGUE = [('prior', 'a', 'A')]\nCATALOGUE += [('prior', 'b', 'A')]", 2, "CATALOGUE is bound", None),
        ("CATALOGUE = [('prior', 'a', 'A')]\nCATALOGUE.append(('prior', 'b', 'A'))", 2, "CATALOGUE is bound", None),
        ("x = 1\nif x:\n    CATALOGUE = (('prior', 'a', 'A'),)", 3, "CATALOGUE is bound",
         "bind CATALOGUE once, in a statement of its own outside of if, for and try"),
        ("x = 1\n\nf(x=2, x=3)", 3, "not Python: keyword argument repeated: x", None),
        ("x = 0x" + "f" * 5000, 1, "not Python: this number has too many digits", None),
        ("x = 1\nreturn", 2, "not Python: 'return' outside function", None),
        ("x = (\n  '\\ud800',)", 2, "not Python: this text holds half of a surrogate pair", None),
        ("x = " + "(" * 250 + ")" * 250, 1, "not Python: too many nested parentheses", None),
        ("x = " + "-" * 50_000 + "1", 1, "not Python: the file is nested too deeply", None),
        ("class A: ...\nCATALOGUE = (\n  ('prior', 'a'),\n)", 3,
         "a line is three texts: kind, name in suites, class", None),
        ("CATALOGUE = open('x')", 1, "a line is three texts: kind, name in suites, class", None),
        ("class A: ...\nCATALOGUE = [('priro', 'a', 'A')]", 2, "there is no kind 'priro'", "did you mean 'prior'?"),
        ("class Aa: ...\nCATALOGUE = [('prior', 'a', 'Ab')]", 2,
         "this file defines no class 'Ab'", "known: Aa"),
        ("from harness.api.prior import PriorTraits\nclass A: traits = PriorTraits()\n"
         "CATALOGUE = [('prior', 'nss', 'A')]", 3,
         "prior 'nss' is named twice", "rename one of them"),
        ("from harness.api.prior import PriorTraits\nclass A:\n  traits = PriorTraits()\n"
         "  def __init__(self, *, x: int = f()): ...\nCATALOGUE = [('prior', 'a', 'A')]", 4,
         "is not a literal", None),
    ],
)  # fmt: skip
def test_mistakes_have_their_line(tmp_path: Path, text: str, line: int, what: str, hint: str | None) -> None:
    file = write(tmp_path, text)
    with pytest.raises(SpecErrors) as caught:
        extend(REGISTRY, [file])
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (file, line)
    assert what in problem.what
    assert hint is None or problem.hint == hint


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_files_are_read_in_the_encoding_that_python_finds(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "plug_in.py"
    cookie = "# coding: latin-1\n" if encoding == "latin-1" else ""
    path.write_bytes((cookie + PLUGIN.replace("zeros", "zéros")).encode(encoding))
    assert extend(REGISTRY, [str(path)]).get("prior", "mine").summary == "Nothing but zéros."


def test_what_python_nests_deeper_than_a_reader_can_is_a_mistake(tmp_path: Path) -> None:
    file = write(tmp_path, PLUGIN + "\nx = " + "1 + " * 1500 + "1\n")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # whatever a library, as Inductor, has made of it in this process
    try:
        with pytest.raises(SpecErrors, match="nested too deeply"):
            extend(REGISTRY, [file])
    finally:
        sys.setrecursionlimit(limit)


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


TASK = """
from harness.api.task import TaskTraits
from harness.api.traits import Conflict, When


class Rainy:
    '''Long streaks.'''

    traits = TaskTraits(
        degradation="rain",
        protocol="y_matlab",
        options=("length",),
        conflicts=(Conflict((When("length", 3),), "{length} is too short", "more"),),
    )


CATALOGUE = (("task", "rainy", "Rainy"),)
"""


def test_a_suite_is_held_to_the_conflicts_of_its_task(tmp_path: Path) -> None:
    write(tmp_path, TASK)
    task = "{name: rainy, length: 3}"
    suite = SUITE.replace("low_light", task).replace(", variant: {refiner: ptg_rm, prior: mine}", "")
    with pytest.raises(SpecErrors, match="3 is too short · try: more"):
        open_suite(write(tmp_path, suite, "suite.yaml"))
    assert open_suite(write(tmp_path, suite.replace("length: 3", "length: 9"), "suite.yaml"))[0].cells


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../../x", "a name holds no '/'"),
        ("a\\\\b", "a name holds no '\\\\'"),
        ("a\\0b", "a name holds only characters that can be printed"),
        ("a\\nb", "a name holds only characters that can be printed"),
        ("\\u202eb", "a name holds only characters that can be printed"),
        ("..", "a name neither begins nor ends with a dot"),
        (".hidden", "a name neither begins nor ends with a dot"),
        ("dot.", "a name neither begins nor ends with a dot"),
        (" left", "a name neither begins nor ends with a space"),
        ("right ", "a name neither begins nor ends with a space"),
        ("a:b", "a name holds no ':'"),
        ("what?", "a name holds no '?'"),
        ("NUL", "is the name of a device in Windows"),
        ("com1.x", "is the name of a device in Windows"),
        ("x" * 101, "a name has at most 100 bytes in UTF-8"),
        ("ü" * 51, "a name has at most 100 bytes in UTF-8"),
    ],
)
def test_names_that_no_folder_can_have_are_refused(tmp_path: Path, name: str, what: str) -> None:
    file = write(tmp_path, PLUGIN.replace('"mine"', f'"{name}"'))
    with pytest.raises(SpecErrors) as caught:
        extend(REGISTRY, [file])
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (file, 17)
    assert what in problem.what


@pytest.mark.parametrize("name", ["plain@50 %", "x" * 100, "my.prior", "ü-3+(b)", "priors_2", "console"])
def test_names_that_folders_have_pass(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, PLUGIN.replace('"mine"', f'"{name}"'))
    assert extend(REGISTRY, [file]).get("prior", name).name == name


def test_a_helper_is_part_of_every_part_of_a_plug_in(tmp_path: Path) -> None:
    text = PLUGIN.replace('raise RuntimeError("a plug-in must not run before it is used")', "import helper")
    versions = []
    for number, value in enumerate(("1", "1  # the same", "2")):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, f"VALUE = {value}\n", "helper.py")
        versions.append(declaration(extend(REGISTRY, [write(folder, text)]), "prior", "mine").version)
    assert versions[0] == versions[1] != versions[2]


def test_an_import_of_nothing_is_a_mistake_beside_all_others(tmp_path: Path) -> None:
    text = PLUGIN.replace('raise RuntimeError("a plug-in must not run before it is used")', "import no_such_thing")
    with pytest.raises(SpecErrors) as caught:
        extend(REGISTRY, [write(tmp_path, text.replace('"mine"', '"../x"'))])
    assert [problem.line for problem in caught.value.problems] == [6, 17]
