"""The house in order: what planning reads of a part is what Python sees, and every suite that ships can be expanded."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.api.declaration import Declaration, declaration, read_declaration
from harness.api.kinds import KINDS
from harness.api.traits import LossUse, Published, StageUse, Traits
from harness.core.registry import Entry
from harness.core.source import REQUIRED, parse_module
from harness.parts.catalogue import BUILT_IN, REGISTRY
from harness.parts.plugins import open_suite
from harness.spec.options import adapter_of, refers_to
from harness.weights.catalogue import known

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "suites").rglob("*.yaml"))
COMMAND_LINE = ("executor", "tracker")
"""Kinds that are chosen on the command line: their parameters are no suite options, and they declare nothing."""

PARTS = tuple(entry for entry in BUILT_IN if entry.kind not in COMMAND_LINE)
DECLARED = {"VERSION", "weights"} | {item.name for traits in KINDS.values() for item in fields(traits)}
"""Names that mean something in traits, and would mean something else, or nothing, beside them."""

each_part = pytest.mark.parametrize("entry", PARTS, ids=lambda entry: f"{entry.kind}-{entry.name}")


def test_every_catalogue_line_leads_somewhere() -> None:
    assert len(BUILT_IN) == len(REGISTRY.entries()) > 20
    assert len({(entry.kind, entry.name) for entry in BUILT_IN}) == len(BUILT_IN)
    for entry in BUILT_IN:
        assert callable(REGISTRY.load(entry.kind, entry.name)), entry
        assert entry.summary, entry


def test_every_kind_that_a_suite_names_has_parts() -> None:
    assert {entry.kind for entry in BUILT_IN} == {*KINDS, *COMMAND_LINE}


@each_part
def test_options_are_read_as_python_sees_them(entry: Entry) -> None:
    """And a suite can be checked against them."""
    part, read = REGISTRY.load(entry.kind, entry.name), read_declaration(entry.kind, entry.target)
    parameters = inspect.signature(part).parameters.values()
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters)
    options = {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    assert list(read.options) == list(options)
    for name, option in read.options.items():
        default = options[name].default
        if default is inspect.Parameter.empty:
            assert option.default is REQUIRED, name
        else:
            assert (type(option.default), option.default) == (type(default), default), name
    for name, option in declaration(REGISTRY, entry.kind, entry.name).options.items():
        if refers_to(option) is None:
            assert adapter_of(option.annotation), name


@each_part
def test_traits_are_read_as_the_class_holds_them(entry: Entry) -> None:
    part, read = REGISTRY.load(entry.kind, entry.name), read_declaration(entry.kind, entry.target)
    is_class = inspect.isclass(part)
    assert is_class
    assert part.__module__ == entry.target.partition(":")[0]
    assert type(vars(part)["traits"]) is KINDS[entry.kind]
    assert read.traits == part.traits
    assert read.version == str(part.traits.version)
    assert read.summary == (inspect.getdoc(part) or "").partition("\n")[0] != ""


@each_part
def test_nothing_beside_the_traits_reads_like_a_declaration(entry: Entry) -> None:
    """Neither on the class, nor on one of ours that it is made of, nor as a literal that an instance is given."""
    part = REGISTRY.load(entry.kind, entry.name)
    ours = [cls for cls in part.__mro__ if cls.__module__.startswith("harness.")]
    assert part in ours
    for cls in ours:
        beside = DECLARED & ({name for name, value in vars(cls).items() if not inspect.isfunction(value)})
        beside |= DECLARED & inspect.get_annotations(cls).keys()
        assert not beside, cls
        assert not DECLARED & set(_literal_attributes(cls)), cls


def _literal_attributes(cls: type) -> Iterator[str]:
    """The names of `self.name = <literal>` in a class."""
    module = parse_module(cls.__module__)
    (found,) = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__]
    for node in ast.walk(found):
        if isinstance(node, ast.Assign) and _is_literal(node.value):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    yield target.attr


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def test_no_part_keeps_its_version_outside_its_traits() -> None:
    files = sorted((ROOT / "harness" / "parts").rglob("*.py"))
    assert len(files) > 50
    assert [str(file) for file in files if "VERSION" in file.read_text(encoding="utf-8")] == []


def test_published_weights_that_parts_name_are_in_the_catalogue() -> None:
    ids = {checkpoint.id for checkpoint in known()}
    named = {item.id: entry for entry in PARTS for item in _traits(entry).weights if isinstance(item, Published)}
    assert named.keys() <= ids
    assert "vgg19/imagenet" in named


def test_losses_that_parts_train_by_are_in_the_catalogue() -> None:
    """And have the options that they are given."""
    checked = 0
    for entry in PARTS:
        for use in _uses(_traits(entry)):
            loss: Declaration[Any] = declaration(REGISTRY, "loss", use.name)
            assert use.options.keys() <= loss.options.keys(), entry
            checked += 1
    assert checked > 10


def _traits(entry: Entry) -> Traits:
    traits: Traits = read_declaration(entry.kind, entry.target).traits
    return traits


def _uses(value: Any) -> Iterator[LossUse]:
    """Every loss that traits name, also in their stages."""
    if isinstance(value, LossUse):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _uses(item)
    elif isinstance(value, Traits | StageUse):
        for field in fields(value):
            yield from _uses(getattr(value, field.name))


def test_tasks_name_a_degradation_and_its_options() -> None:
    for entry in PARTS:
        if entry.kind == "task":
            traits = declaration(REGISTRY, "task", entry.name).traits
            if traits.degradation is None:  # its data sets bring the inputs
                assert (traits.options, traits.settings) == ((), {}), entry
                continue
            given = declaration(REGISTRY, "degradation", traits.degradation).options
            assert {*traits.options, *traits.settings} <= given.keys(), entry


def test_every_suite_that_ships_expands() -> None:
    names, checked = set(), 0
    for file in SUITES:
        suite, _ = open_suite(str(file))
        assert suite.name == file.stem, file
        assert suite.description, file
        assert any(entry.listed for entry in suite.cells), file
        names.add(suite.name)
        checked += 1
    assert checked == len(list((ROOT / "suites").glob("**/*.yaml"))) == len(names) > 0


def test_the_smoke_suite_shows_what_the_project_is_for() -> None:
    suite, _ = open_suite("smoke")
    listed = [entry for entry in suite.cells if entry.listed and entry.cell.backbone is not None]
    assert len({entry.labels.task for entry in listed}) >= 2
    assert len({entry.labels.backbone for entry in listed}) >= 2
    assert {entry.cell.variant.prior.name for entry in listed if entry.cell.variant.prior} >= {
        "nss",
        "restoration",
        "random",
    }
    assert {entry.cell.seed for entry in listed} >= {0, 1}
    assert any(entry.cell.prior_source for entry in listed)


@pytest.mark.parametrize("package", ["harness", "suites", "launchers", "results_schema"])
def test_packages_have_empty_init_files(package: str) -> None:
    files = sorted((ROOT / package).rglob("__init__.py"))
    assert files
    assert [file for file in files if file.read_bytes()] == []


@pytest.mark.xdist_group("house")
def test_the_tests_of_a_group_go_to_one_worker(request):
    """What they share is made once then: half of the suite's minutes hang on it, and nothing else would tell."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("one process runs all tests")
    assert request.node.nodeid.endswith("@house")
