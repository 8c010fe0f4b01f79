"""`bench check`: says everything that is wrong with suite files, or what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import SetOption
from harness.cli.tried import tried
from harness.core.errors import HarnessError, SpecErrors
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_placed
from harness.planning.missing import broken_guests
from harness.spec.notes import notes
from harness.spec.origins import Origin
from harness.spec.unread import Unread

SuitesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="SUITE...", help="Suite files, or names of built-in suites.")
]
SchemaOption = Annotated[
    bool, typer.Option("--json-schema", help="Print the JSON Schema of suite files, for editors, and nothing else.")
]
QuickOption = Annotated[
    bool,
    typer.Option("--quick", help="Build no network: read the files, and ask data sets for digests of their images."),
]


def check(
    suites: SuitesArgument = None,
    overrides: SetOption = None,
    json_schema: SchemaOption = False,
    quick: QuickOption = False,
) -> int:
    """Check suites without running anything. Exit code 2 when one has mistakes; all of them are listed."""
    if json_schema:
        from harness.spec.json_schema import suite_json_schema

        typer.echo(json.dumps(suite_json_schema(REGISTRY), indent=1, ensure_ascii=False))
        return exits.DONE
    if not suites:
        raise typer.BadParameter("name at least one suite", param_hint="SUITE")
    wrong = [name for name in suites if not _check(name, overrides or (), quick)]
    return exits.WRONG if wrong else exits.DONE


def _check(name: str, overrides: Sequence[str], quick: bool) -> bool:
    """Prints what one suite holds, or its mistakes."""
    unread = Unread()
    try:
        suite, registry, origins = _read(name, overrides, unread)
        problems = () if quick else tried(suite, registry, origins)
        if problems:
            raise SpecErrors(problems)
    except SpecErrors as error:
        typer.echo(str(error), err=True)
        typer.echo(f"{name}: {_counted(len(error.problems), 'mistake')}", err=True)
        return False
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        return False
    if not quick and (broken := broken_guests(suite.cells, registry)):
        typer.echo("\n".join(f"error: {line}" for line in broken), err=True)
        return False
    for note in notes(suite, registry):
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{name}: {summary(suite)}")
    return True


def _read(name: str, overrides: Sequence[str], unread: Unread) -> tuple[ResolvedSuite, Registry, Mapping[str, Origin]]:
    """A suite with its registry and its places. Raises SpecErrors with its mistakes, those of files included."""
    try:
        found = open_placed(name, overrides, unread)
    except SpecErrors as error:
        raise SpecErrors([*error.problems, *unread.unfit]) from None
    finally:
        for problem in sorted(set(unread.missing)):
            typer.echo(f"warning: {problem}", err=True)
    if unread.unfit:
        raise SpecErrors(unread.unfit)
    return found


def summary(suite: ResolvedSuite) -> str:
    """One line: how many cells, and of what."""
    listed = [entry for entry in suite.cells if entry.listed]
    trained = [entry for entry in listed if entry.cell.backbone is not None]
    counts = [
        _counted(len({entry.labels.task for entry in trained}), "task"),
        _counted(len({entry.labels.backbone for entry in trained}), "backbone"),
        _counted(len({entry.labels.variant for entry in trained}), "variant"),
        _counted(len({entry.cell.seed for entry in trained}), "seed"),
    ]
    required = len(suite.cells) - len(listed)
    inputs = len(listed) - len(trained)
    extra = f", {required} more that they need" if required else ""
    return f"ok, {_counted(len(trained), 'cell')} ({', '.join(counts)}){extra}, {_counted(inputs, 'input row')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
