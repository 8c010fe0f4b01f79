"""The command `bench`. Each command lives in its own module, imported when it is called: `--help` imports none."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from harness.cli import exits
from harness.cli.output import guard_streams
from harness.core.errors import HarnessError
from harness.core.guests import contained, tell_interrupts
from harness.core.text import printable

COMMANDS = {
    "run": ("harness.cli.run:run", "Run a suite: everything that is not done yet."),
    "plan": ("harness.cli.plan:plan", "Show the jobs of a suite: todo, done, stale, blocked, and why."),
    "status": ("harness.cli.status:status", "Show the state of every cell of a suite or folder."),
    "leaderboard": ("harness.cli.leaderboard:leaderboard", "Show the table of results."),
    "list": (
        "harness.cli.list_:list_",
        "List what a suite can name: parts of every kind with their options, recipes, suites.",
    ),
    "check": ("harness.cli.check:check", "Check a suite file; every mistake is reported."),
    "new": ("harness.cli.new:new", "Write a suite, or a small working part of your own, to start from."),
    "test": ("harness.cli.test_:run_contracts", "Test the parts of a plug-in file against what their kinds promise."),
    "explain": ("harness.cli.explain:explain", "Say in which fields two cells differ."),
    "clean": ("harness.cli.clean:clean", "List what no suite needs any more, with sizes; --yes removes it."),
    "track": ("harness.cli.track:track", "Bring MLflow up to date."),
    "data": ("harness.cli.data:data", "Take in your own pictures; list prepared sets, push and pull them."),
    "weights": ("harness.cli.weights:weights", "List, fetch, check and take in published weights."),
    "doctor": ("harness.cli.doctor:doctor", "Check this machine: packages, devices, Ray, MLflow, weights, disk."),
    "selftest": ("harness.cli.selftest:selftest", "Train on several processes here, in every way, and compare."),
}
"""Command: where its function lives, and its line in `bench --help`."""


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called, and the one place where errors become messages."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            found.pretty_exceptions_enable = False
            command = typer.main.get_command(found)
        else:
            app = _app()
            app.command(cmd_name)(found)
            command = typer.main.get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = dict.fromkeys(COMMANDS, TyperCommand(None))  # names alone, for "did you mean"
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Raises typer.Exit with the exit code for errors, after a message without a traceback."""
        debug = bool(ctx.params.get("debug"))
        try:
            with contained("mend the plug-in; --debug shows the traceback"):
                code = super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("stopped; the same command resumes", err=True)
            raise typer.Exit(exits.INTERRUPTED) from None
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except HarnessError as error:
            _tell(error, str(error), debug)
            raise typer.Exit(exits.code_for(error)) from None
        except Exception as error:  # noqa: BLE001 - the last place that can keep a traceback from the user
            first = (str(error).strip() or "no message").splitlines()[0]
            _tell(error, f"{type(error).__name__}: {first}\n  try: run again with --debug, and report it", debug)
            raise typer.Exit(exits.FAILED) from None
        if isinstance(code, int) and code:
            raise typer.Exit(code)
        return code


def _tell(error: Exception, message: str, debug: bool) -> None:
    text = "".join(traceback.format_exception(error)) if debug else f"error: {message}"
    typer.echo(printable(text), err=True)


def _app(**options: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **options)


app = _app(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)


def _version(asked: bool) -> None:
    if asked:
        from harness.core.version import package_version

        typer.echo(f"priorbench {package_version()}")
        raise typer.Exit


@app.callback()
def bench(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks. May stand anywhere in the line."),
    version: bool = typer.Option(False, "--version", help="Show the version.", callback=_version, is_eager=True),
) -> None:
    """Benchmark priors in image restoration: suites of tasks × backbones × variants, run once, compared fairly.

    Exit codes: 0 all done, 1 something failed, 2 the suite or the arguments are wrong, 3 something is blocked.
    """


def main() -> None:
    """Entry point. Always raises SystemExit."""
    guard_streams()
    tell_interrupts()
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = ["--debug"] * debug + [argument for argument in arguments if argument != "--debug"]
    typer.main.get_command(app).main(arguments, prog_name="bench")


if __name__ == "__main__":
    main()
