"""YAML 1.2 with places, and the traps of YAML 1.1."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness.core.errors import Problem
from harness.core.scalars import resolve_scalar
from harness.core.yaml import MAX_DEPTH, Place, dotted, load, rooted

FILE = Place("f.yaml")


def read(text: str) -> object:
    tree, problems = load(text, FILE)
    assert problems == []
    assert tree is not None
    return tree.plain


def mistakes(text: str) -> list[Problem]:
    return load(text, FILE)[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-2.5e+3", -2500.0), (".5", 0.5), ("1.", 1.0), ("12", 12), ("-3", -3),
        ("0x1F", 31), ("0o17", 15), ("0", 0), ("true", True), ("False", False), ("null", None), ("~", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("NO", "NO"),
        ("1_000", "1_000"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("0b11", "0b11"), ("1.2.3", "1.2.3"),
        ("e5", "e5"), ("+", "+"), (".", "."), ("tRue", "tRue"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = read(f"a: {text}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


@pytest.mark.parametrize("text", ["'12'", '"true"', "'1e-4'", '"null"', "|\n  12"])
def test_quoted_scalars_stay_text(text: str) -> None:
    assert isinstance(read(f"a: {text}")["a"], str)  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("a: 010", "010 is octal to some readers of YAML", "write 10"),
        ("a: .inf", ".inf is not a finite number", ""),
        ("a: -.INF", "-.INF is not a finite number", ""),
        ("a: .nan", ".nan is not a finite number", ""),
        ("a: 1e999", "1e999 is too large a number", ""),
        ("a: !!str 1", "the tag tag:yaml.org,2002:str has no meaning here", "remove it"),
        ("a: !!python/object:os.system x",
         "the tag tag:yaml.org,2002:python/object:os.system has no meaning here", "remove it"),
        ("a: *b", "*b refers to nothing that is complete before it", ""),
        ("a: &b [*b]", "*b refers to nothing that is complete before it", ""),
        ("a: b\n---\nc: d", "a second document begins here", "one suite per file"),
        ("%YAML 1.1\n---\na: b", "suites are YAML 1.2", "remove the %YAML line"),
        ("? [a]\n: b", "a key that is not text", "write a plain name before the colon"),
        ("a:\n\t- b", "a tab: YAML indents with spaces only", "replace the tab by spaces"),
        ("a: b: c", "mapping values are not allowed here",
         "put text that holds ': ' in quotes, or check the indentation"),
        ("a: \"\\ud800\"", "half of a character (a lone surrogate)", ""),
    ],
)  # fmt: skip
def test_traps_are_reported(text: str, what: str, hint: str) -> None:
    [problem] = mistakes(text)
    assert (problem.what, problem.hint) == (what, hint)


@pytest.mark.parametrize("text", ["a: [1,", "a: \x07", 'a: "\\U00110000"', "a: 'x", "{", "- a\nb: c", "[" * 500, "@a"])
def test_what_is_not_yaml_is_one_problem(text: str) -> None:
    tree, problems = load(text, FILE)
    assert tree is None
    assert len(problems) == 1


def test_every_duplicate_key_is_reported_where_it_stands() -> None:
    problems = mistakes("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n")
    assert [(p.line, p.column, p.path) for p in problems] == [(2, 11, "b.c"), (3, 1, "a"), (4, 1, "a")]
    assert all("twice" in p.what for p in problems)


def test_the_first_of_duplicate_keys_counts() -> None:
    tree, _ = load("a: 1\na: 2", FILE)
    assert tree is not None
    assert tree.plain == {"a": 1}


def test_every_value_and_key_has_its_place() -> None:
    tree, _ = load("top:\n  - x: 1\n    yy:   two\n", FILE)
    assert tree is not None
    item = tree.nearest(("top", 0))
    assert (item.place.line, item.place.column) == (2, 5)
    assert item.keys["yy"] == Place("f.yaml", 3, 5)
    assert tree.nearest(("top", 0, "yy")).place == Place("f.yaml", 3, 11)
    assert tree.nearest(("top", 0, "missing", "more")).place == item.place


def test_a_text_inside_a_line_has_places_of_the_line() -> None:
    tree, _ = load("{a: 1}", Place("--set", 2, 10))
    assert tree is not None
    assert tree.nearest(("a",)).place == Place("--set", 2, 14)


def test_aliases_and_merge_keys() -> None:
    assert read("a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}") == {
        "a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 2}, "c": {"k": 3, "l": 2},
    }  # fmt: skip


def test_rooted_gives_every_use_of_an_alias_its_own_path() -> None:
    tree, _ = load("a: &x [1]\nb: *x", FILE)
    assert tree is not None
    copy = rooted(tree)
    assert dotted(copy.nearest(("a", 0)).path) == "a.0"
    assert dotted(copy.nearest(("b", 0)).path) == "b.0"


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    tree, problems = load("\n".join(lines), FILE)
    assert problems == []
    assert tree is not None
    with pytest.raises(ValueError, match="more than"):
        rooted(tree)


def test_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    assert "nested deeper" in mistakes("[" * (MAX_DEPTH + 2))[0].what
    assert read("[" * 30 + "]" * 30) is not None


@given(st.text(max_size=200))
def test_any_text_gives_a_tree_or_problems(text: str) -> None:
    tree, problems = load(text, FILE)
    if tree is not None:
        rooted(tree)
    elif not problems:
        assert YAML(typ="safe", pure=True).load(text) is None


TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@given(st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXT, x, max_size=3)))
def test_json_is_read_as_itself(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    tree, problems = load(text, FILE)
    assert problems == []
    assert tree is not None
    assert json.dumps(tree.plain, ensure_ascii=False) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_ruamel_dumps_is_read_back(number: float) -> None:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump({"a": number}, stream)
    assert read(stream.getvalue()) == {"a": number}


@given(st.integers(), st.sampled_from(["e", "E"]), st.integers(-30, 30))
def test_exponents_need_no_dot(mantissa: int, letter: str, exponent: int) -> None:
    text = f"{mantissa}{letter}{exponent}"
    assert resolve_scalar(text) == float(text)
