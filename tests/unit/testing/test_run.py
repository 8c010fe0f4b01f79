"""Contracts run without pytest, and what was seen comes out in words."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest

from harness.testing.run import LONGEST, run_contract

SILENT = """
class Contract:
    def test_two_is_three(self):
        two = 2
        assert two == 3
"""


class Contract:
    made: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.made.append(id(self))

    def test_all_is_well(self) -> None:
        """Is well, whatever comes. This line is a promise.

        This one is not.
        """

    def test_words(self) -> None:
        raise AssertionError("it is so")

    def test_leaves(self) -> None:
        raise SystemExit(3)

    def helper(self) -> None:
        raise AssertionError("no test")


def test_every_promise_is_checked_on_an_object_of_its_own() -> None:
    verdict = run_contract(Contract)
    assert len(Contract.made) == len(verdict.checks) == 3
    seen = {check.promise: check.seen for check in verdict.checks}
    assert seen == {
        "Is well, whatever comes. This line is a promise": "",
        "Leaves": "SystemExit: 3",
        "Words": "it is so",
    }
    assert [check.promise for check in verdict.broken] == ["Leaves", "Words"]
    assert "Traceback" in verdict.broken[0].trace


def test_an_assertion_without_a_message_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a module of its own: pytest gives those of tests a message."""
    (tmp_path / "silent_contract.py").write_text(SILENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    (check,) = run_contract(import_module("silent_contract").Contract).checks
    assert (check.promise, check.seen) == ("Two is three", "this does not hold: two == 3")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Odd:
    def test_long(self) -> None:
        raise ValueError("x" * 1_000_000)

    def test_unspeakable(self) -> None:
        raise Unspeakable


class Unmade:
    def __init__(self) -> None:
        raise RuntimeError("no luck")

    def test_declares_its_traits(self) -> None: ...

    def test_two(self) -> None: ...


def test_messages_that_are_endless_or_cannot_be_read() -> None:
    long, unspeakable = run_contract(Odd).checks
    assert long.seen == f"ValueError: {'x' * (LONGEST - 1)}…"
    assert len(long.trace) < 10_000
    assert unspeakable.seen == "Unspeakable: its message cannot be read (ValueError)"


def test_what_all_checks_see_is_why_a_part_cannot_be_made() -> None:
    assert run_contract(Unmade).unmade == "RuntimeError: no luck"
    assert run_contract(Odd).unmade == run_contract(Contract).unmade == ""
