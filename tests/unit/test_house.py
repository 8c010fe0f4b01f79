"""The house in order: every catalogue line leads somewhere, every suite that ships can be expanded."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from harness.core.signature import REQUIRED, Signature
from harness.parts.catalogue import BUILT_IN, REGISTRY
from harness.parts.plugins import KINDS, open_suite
from harness.spec.options import adapter_of, refers_to

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "suites").rglob("*.yaml"))
PACKAGE_FREE = ("executor", "tracker")
"""Kinds that are chosen on the command line: their parameters are no suite options."""


def test_every_catalogue_line_leads_to_a_part() -> None:
    checked = 0
    for entry in BUILT_IN:
        signature = REGISTRY.signature(entry.kind, entry.name)
        part = REGISTRY.load(entry.kind, entry.name)
        assert callable(part), entry
        assert entry.summary, entry
        if entry.kind not in PACKAGE_FREE:
            _options_are_as_read(part, signature)
        checked += 1
    assert checked == len(BUILT_IN) == len(REGISTRY.entries()) > 20


def _options_are_as_read(part: object, signature: Signature) -> None:
    """What was read from the source is what Python sees, and a suite can be checked against it."""
    parameters = inspect.signature(part).parameters.values()  # type: ignore[arg-type]
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters), part
    options = {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    assert signature.options.keys() == options.keys(), part
    for name, option in signature.options.items():
        default = options[name].default
        assert option.default == (REQUIRED if default is inspect.Parameter.empty else default), (part, name)
        if refers_to(option) is None:
            adapter_of(option.annotation)
    assert signature.needs_weights == (inspect.isclass(part) and hasattr(part, "weights")), part


def test_every_kind_that_a_suite_names_has_parts() -> None:
    assert {entry.kind for entry in BUILT_IN} == {*KINDS, *PACKAGE_FREE}


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
