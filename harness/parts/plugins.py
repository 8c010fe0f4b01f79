"""Plug-ins: parts in a user's own Python file.

Such a file ends with a constant that lists its parts, read without running the file:

    CATALOGUE = (("prior", "my_prior", "MyPrior"), ("loss", "my_loss", "MyLoss"))
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.api.declaration import read_declaration
from harness.api.kinds import KINDS
from harness.cells.suite import ResolvedSuite
from harness.core.bindings import bound_again, bound_in_module, plain
from harness.core.errors import HarnessError, Problem, SpecErrors, did_you_mean
from harness.core.helpers import helpers_of
from harness.core.names import unfit_name
from harness.core.registry import Entry, Registry
from harness.core.source import definitions, parse_module
from harness.core.text import shown_name
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand_placed
from harness.spec.origins import Origin
from harness.spec.parse import load_suite
from harness.spec.unread import Unread

_NO_PARTS = "this plug-in names no parts"
_EXAMPLE = 'CATALOGUE = (("prior", "my_prior", "MyPrior"),)'


def extend(registry: Registry, plugin_files: Sequence[str]) -> Registry:
    """The registry and the parts of plug-in files (absolute paths).

    Raises SpecErrors with all the mistakes of all the files: syntax, a missing or unreadable CATALOGUE, kinds or
    classes that do not exist, names that are taken or that no folder can have, imports of modules that are nowhere.
    """
    problems: list[Problem] = []
    for file in dict.fromkeys(plugin_files):
        for line, entry in _entries(file, problems):
            try:
                registry = registry.extended([entry])
            except HarnessError as error:
                problems.append(_problem(file, line, entry.name, error.what, error.hint))
    if problems:
        raise SpecErrors(problems)
    return registry


def declared(file: str) -> list[Entry]:
    """The parts of a plug-in file that can be read. What is wrong with others, or with what it imports, is skipped."""
    return [entry for _, entry in _entries(file, [])]


def open_suite(
    path_or_name: str, overrides: Sequence[str] = (), unread: Unread | None = None
) -> tuple[ResolvedSuite, Registry]:
    """A suite file with its plug-ins: all its cells, and the registry that holds their parts.

    `unread`: takes the data sets that this machine cannot open.

    Raises UnknownName when there is no such suite, and SpecErrors with every mistake of the suite, its includes, its
    `--set` arguments and its plug-ins.
    """
    return open_placed(path_or_name, overrides, unread)[:2]


def open_placed(
    path_or_name: str, overrides: Sequence[str] = (), unread: Unread | None = None
) -> tuple[ResolvedSuite, Registry, Mapping[str, Origin]]:
    """As `open_suite`, and for the id of every cell that trains where in the file it comes from."""
    suite = load_suite(path_or_name, overrides)
    try:
        registry = extend(REGISTRY, suite.plugins)
    except SpecErrors as error:  # the names that those files would have brought would only confuse
        raise SpecErrors([*suite.problems, *error.problems]) from None
    resolved, origins = expand_placed(suite, registry, unread)
    return resolved, registry, origins


def _entries(file: str, problems: list[Problem]) -> Iterator[tuple[int, Entry]]:
    """The readable lines of one file's catalogue, each with its line number."""
    try:
        module = parse_module(file)
    except SyntaxError as error:
        problems.append(
            _problem(file, error.lineno or 1, "", f"not Python: {error.msg}", "", max(1, error.offset or 1))
        )
        return
    except (OSError, ValueError) as error:
        problems.append(_problem(file, 1, "", f"cannot be read: {error}"))
        return
    problems.extend(helpers_of(file).problems)
    for node in _lines(file, module, problems):
        entry = _entry(file, node, problems)
        if entry is not None:
            yield node.lineno, entry


def _lines(file: str, module: ast.Module, problems: list[Problem]) -> list[ast.expr]:
    """The lines of the catalogue as they stand in the file; none when it cannot be read."""
    statement = plain(module.body, "CATALOGUE")
    bindings = bound_in_module(module)
    again = list(bound_again(bindings, "CATALOGUE", statement)) if "CATALOGUE" in bindings else []
    for error in again:
        problems.append(_problem(file, error.line, "CATALOGUE", error.what, error.hint, error.column))
    if statement is None or statement.value is None:
        if not again:
            problems.append(_problem(file, 1, "CATALOGUE", _NO_PARTS, _EXAMPLE))
        return []
    lines = statement.value.elts if isinstance(statement.value, ast.Tuple | ast.List) else [statement.value]
    if not lines:
        problems.append(_problem(file, statement.lineno, "CATALOGUE", _NO_PARTS, _EXAMPLE))
    return [] if again else lines


def _entry(file: str, node: ast.expr, problems: list[Problem]) -> Entry | None:
    texts = _texts(node)
    if len(texts) != 3 or not all(texts):
        what = "a line is three texts: kind, name in suites, class"
        problems.append(_problem(file, node.lineno, "CATALOGUE", what, _EXAMPLE, node.col_offset + 1))
        return None
    kind, name, attribute = texts
    target = f"{file}:{attribute}"
    if kind not in KINDS:
        problems.append(_problem(file, node.lineno, name, f"there is no kind {kind!r}", did_you_mean(kind, KINDS)))
        return None
    if unfit := unfit_name(name):
        problems.append(_problem(file, node.lineno, shown_name(name), unfit, "my_prior", node.col_offset + 1))
        return None
    defined = definitions(parse_module(file))
    if attribute not in defined:
        what = f"this file defines no class {attribute!r}"
        problems.append(_problem(file, node.lineno, name, what, did_you_mean(attribute, defined)))
        return None
    try:
        return Entry(kind, name, target, read_declaration(kind, target).summary)
    except SpecErrors as error:
        problems.extend(error.problems)
    return None


def _texts(node: ast.expr) -> list[str]:
    """The texts of a tuple; an empty one for each item that is no text."""
    items = node.elts if isinstance(node, ast.Tuple) else []
    values = [item.value if isinstance(item, ast.Constant) else "" for item in items]
    return [value if isinstance(value, str) else "" for value in values]


def _problem(file: str, line: int, path: str, what: str, hint: str = "", column: int = 1) -> Problem:
    return Problem(str(Path(file)), line, column, path, what, hint)
