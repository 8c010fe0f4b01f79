"""`bench test`: tests the parts of a plug-in file against the promises of their kinds."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any

import typer

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cli import exits
from harness.cli.common import plugin_path
from harness.core.errors import Problem, SpecErrors, did_you_mean
from harness.core.registry import Entry, Registry
from harness.core.source import Option
from harness.core.yaml import Place, load
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.spec.options import Filled, fill, refers_to
from harness.weights.files import missing_files, needed_files, said_missing

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A plug-in file.")]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="Test with this value of an option and not its default."),
]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Show every check, and tracebacks.")]

STAND_INS = {"PriorRef": "nss", "CellRef": "0" * 16}
"""What options that refer to other parts are tested with: rows and networks are made up."""


def run_contracts(file: FileArgument, set_: OptionsOption = None, verbose: VerboseOption = False) -> int:
    """Test the parts of a plug-in file, each with small inputs on the CPU.

    Exit codes: 0 all is as promised, 1 something is not, 2 the file or the options are wrong, 3 weights are missing.
    """
    path = plugin_path(file)
    registry = extend(REGISTRY, [str(path)])
    entries = [entry for entry in registry.entries() if entry.target.startswith(f"{path}:")]
    if not entries:
        raise SpecErrors([Problem(str(file), 1, 1, "CATALOGUE", "this plug-in names no parts")])
    filled = _options(entries, registry, set_ or (), str(file))
    states = [_tell(entry, registry, filled[entry], path, verbose) for entry in entries]
    return exits.code_of_run(failed=exits.FAILED in states, blocked=exits.BLOCKED in states)


def _tell(entry: Entry, registry: Registry, filled: Filled, path: Path, verbose: bool) -> int:
    """Tests one part and prints what came of it; the exit code that it alone would lead to."""
    title = f"{entry.kind} {entry.name}"
    arguments = {**filled.values, **filled.files}
    traits = declaration(registry, entry.kind, entry.name).traits
    if missing := missing_files(needed_files(traits, arguments, title)):
        names, fetch = said_missing(missing)
        typer.echo(f"{title} · not tested: it needs {names}\n  try: {fetch}")
        return exits.BLOCKED
    for name, (kind, value) in filled.references.items():
        arguments[name] = PartRef(name=str(value)) if kind == "PriorRef" else value
    catalogued, runner = import_module("harness.testing.catalogued"), import_module("harness.testing.run")
    subject = catalogued.PartUnderTest(entry, registry, arguments, tuple(filled.files))
    verdict = runner.run_contract(catalogued.contract_for(subject), str(path))
    broken, total = verdict.broken, len(verdict.checks)
    if verdict.unmade:
        typer.echo(f"{title} · cannot be made:\n  seen:     {indent(verdict.unmade, ' ' * 12).strip()}")
        typer.echo(indent(broken[0].trace, "    ") if verbose else "", nl=verbose)
        return exits.FAILED
    came = f"{len(broken)} of {total} promises broken" if broken else f"all {total} promises kept"
    typer.echo(f"{title} · {came} ({verdict.seconds:.1f} s)")
    for seen in dict.fromkeys(check.seen for check in broken):
        same = [check for check in broken if check.seen == seen]
        for check in same:
            typer.echo(f"  promised: {check.promise}")
        typer.echo(f"  seen:     {indent(seen, ' ' * 12).strip()}")
        if verbose:
            typer.echo(indent(same[0].trace, "    "))
    for check in verdict.checks if verbose else ():
        if check.kept:
            typer.echo(f"  kept:     {check.promise}")
    return exits.FAILED if broken else exits.DONE


def _options(entries: list[Entry], registry: Registry, given: Any, file: str) -> dict[Entry, Filled]:
    """All options of each part, its defaults where `--set` says nothing.

    Raises SpecErrors with every argument that is wrong and every option without a value.
    """
    # The options that a task offers are its degradation's: nothing of the task itself depends on them.
    known = {e: declaration(registry, e.kind, e.name).options if e.kind != "task" else {} for e in entries}
    values, problems = _values(given, {name for options in known.values() for name in options})
    filled = {}
    for entry, options in known.items():
        own = {name: value for name, value in values.items() if name in options}
        rules = declaration(registry, entry.kind, entry.name).traits.rules
        filled[entry] = fill(options, {**_stand_ins(options), **own}, f"{entry.kind} {entry.name}", rules)
        for mistake in filled[entry].mistakes:
            path = ".".join(map(str, (entry.name, *mistake.path)))
            hint = mistake.hint if mistake.path else "bench test FILE --set OPTION=VALUE"
            problems.append(Problem(file, 1, 1, path, mistake.what, hint))
        filled[entry].files = {name: str(Path(path).absolute()) for name, path in filled[entry].files.items()}
    if problems:
        raise SpecErrors(problems)
    return filled


def _values(given: Any, known: set[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Option → value, read as YAML, of `--set` arguments; and what is wrong with them."""
    values: dict[str, Any] = {}
    problems = []
    for number, argument in enumerate(given, start=1):
        name, equals, text = argument.partition("=")
        if not equals:
            problems.append(Problem("--set", number, 1, argument, "expected OPTION=VALUE"))
            continue
        if name not in known:
            what = f"no part of this file has the option {name!r}"
            problems.append(Problem("--set", number, 1, name, what, did_you_mean(name, known)))
            continue
        tree, wrong = load(text, Place("--set", number, len(name) + 2))
        problems += wrong
        values[name] = tree.plain if tree else None
    return values, problems


def _stand_ins(options: Any) -> dict[str, Any]:
    stand_ins = {}
    for name, option in options.items():
        assert isinstance(option, Option)
        if refers := refers_to(option):
            stand_ins[name] = STAND_INS[refers]
    return stand_ins
