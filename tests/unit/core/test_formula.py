"""Formulas of options: what they may hold, and their values."""

from __future__ import annotations

import pytest

from harness.core.formula import FormulaError, Unknown, names_in, value_of


@pytest.mark.parametrize(
    ("formula", "options", "value"),
    [
        ("dim % heads == 0", {"dim": 48, "heads": 8}, True),
        ("dim % heads == 0", {"dim": 50, "heads": 8}, False),
        ("dim * (1, 2, 4, 8) % heads == 0", {"dim": 6, "heads": [1, 2, 4, 8]}, True),
        ("dim * (1, 2, 4, 8) % heads == 0", {"dim": 6, "heads": [1, 5, 4, 8]}, False),
        ("len(a) == len(b)", {"a": [1, 2], "b": (3, 4)}, True),
        ("min(a) >= 3 or sum(a) == 0", {"a": (0, 0)}, True),
        ("not a > 2 and -b < 0", {"a": 2, "b": 1}, True),
        ("1 <= a <= b", {"a": 3, "b": 2}, False),
        ("int(n * f)", {"n": 5, "f": 1.5}, 7),
        ("max(a, 4)", {"a": (1, 8)}, (4, 8)),
        ("heads[2] * 2", {"heads": (1, 2, 4)}, 8),
        ("lcm(min(w, s // (1, 2, 4)) * (1, 2, 4))", {"w": 8, "s": 16}, 16),
        ("2 ** len(levels)", {"levels": [1, 1, 1]}, 8),
    ],
)
def test_values(formula: str, options: dict, value: object) -> None:
    assert value_of(formula, options) == value


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("a > 1", {"a": None}),
        ("a > 1", {}),
        ("a % b == 0", {"a": 4, "b": 0}),
        ("a * b == 0", {"a": (1, 2), "b": (1, 2, 3)}),
        ("a[3] > 1", {"a": (1, 2)}),
        ("a + 1 > 1", {"a": "x"}),
        ("9 ** a > 1", {"a": 10**9}),
        ("max(a, 1) > 1", {"a": (1, None)}),
    ],
)
def test_without_a_value(formula: str, options: dict) -> None:
    with pytest.raises(Unknown):
        value_of(formula, options)


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "a ==",
        "a.real > 0",
        "__import__('os')",
        "print(a)",
        "[a for a in b]",
        "lambda: a",
        "a if b else c",
        "a == 'text'",
        "len(a, key=b)",
        "a[b]",
        "len()",
        "(" * 500 + "a" + ")" * 500,
        "a + " * 500 + "a",
    ],
)
def test_what_is_no_formula(formula: str) -> None:
    with pytest.raises(FormulaError):
        value_of(formula, {"a": 1, "b": 2, "c": 3})


def test_names_come_in_order_and_once() -> None:
    assert names_in("len(b) == a and a * b[0] > c") == ("b", "a", "c")
