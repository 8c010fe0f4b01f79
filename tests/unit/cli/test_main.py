"""`bench` as a whole: commands on demand, messages instead of tracebacks, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module, metadata

import pytest

from harness.cli import exits, main
from harness.core.errors import HarnessError, Problem, SpecErrors, UnknownName


def bench(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as stop:
        main.main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.fixture
def failing(monkeypatch):
    """Makes `bench doctor` raise what is asked for."""
    module = import_module("harness.cli.doctor")

    def install(error: BaseException) -> None:
        def doctor() -> None:
            raise error

        monkeypatch.setattr(module, "doctor", doctor)

    return install


def test_every_command_has_a_module_and_a_help(monkeypatch, capsys):
    for name in main.COMMANDS:
        code, out, _ = bench(monkeypatch, capsys, name, "--help")
        assert code == 0
        assert out.startswith(f"Usage: bench {name}")
    assert len(main.COMMANDS) == 15


def test_help_names_every_command_and_says_what_it_does(monkeypatch, capsys):
    code, out, _ = bench(monkeypatch, capsys, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in main.COMMANDS)
    assert "--debug" in out


def test_the_version_is_the_installed_one(monkeypatch, capsys):
    assert bench(monkeypatch, capsys, "--version")[:2] == (0, f"priorbench {metadata.version('priorbench')}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "No such command 'rum'. Did you mean 'run'?"),
        (["run"], "Missing argument 'SUITE'"),
        (["run", "smoke", "--limit", "x"], "'--limit': Input should be a valid integer"),
        (["run", "smoke", "--bogus"], "--bogus"),
        (["run", "smoke", "--executor", "rya"], "did you mean 'ray'?"),
        (["run", "smoke", "--tracker", "wandb"], "no tracker is called 'wandb'"),
    ],
)
def test_wrong_arguments_are_exit_code_2(monkeypatch, capsys, arguments, message):
    code, _, err = bench(monkeypatch, capsys, *arguments)
    assert code == exits.WRONG
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (HarnessError("it is so", where="here", hint="that"), 1, "error: here: it is so\n  try: that\n"),
        (UnknownName("no x is called 'y'"), 2, "error: no x is called 'y'\n"),
        (
            SpecErrors([Problem("s.yaml", 2, 3, "blocks", "wrong"), Problem("s.yaml", 1, 1, "", "bad", "good")]),
            2,
            "error: s.yaml:1:1 · (file) · bad · try: good\ns.yaml:2:3 · blocks · wrong\n",
        ),
        (
            ValueError("first line\nsecond line"),
            1,
            "error: ValueError: first line\n  try: run again with --debug, and report it\n",
        ),
        (KeyboardInterrupt(), 130, "stopped; the same command resumes\n"),
    ],
)
def test_errors_become_messages(monkeypatch, capsys, failing, error, code, message):
    failing(error)
    assert bench(monkeypatch, capsys, "doctor") == (code, "", message)


@pytest.mark.parametrize("place", [0, 1])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(monkeypatch, capsys, failing, place):
    failing(UnknownName("no x is called 'y'"))
    arguments = ["doctor"]
    arguments.insert(place, "--debug")
    code, _, err = bench(monkeypatch, capsys, *arguments)
    assert code == 2
    assert err.startswith("Traceback")
    assert "raise error" in err


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m harness.cli.main --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: bench")
    assert done.stderr == ""
