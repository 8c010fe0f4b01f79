"""Options against annotations that are read and never run."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api.traits import Rule, When
from harness.core.source import REQUIRED, Option
from harness.spec.options import AnnotationError, adapter_of, fill, refers_to


def filled(annotation: str, value: Any, default: Any = REQUIRED):
    return fill({"o": Option("o", annotation, default)}, {} if value is REQUIRED else {"o": value}, "part p")


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("int", 3, 3),
        ("float", 3, 3.0),
        ("float | None", None, None),
        ("bool", True, True),
        ("tuple[int, ...]", (1, 2), [1, 2]),
        ("tuple[int, float]", (1, 2), [1, 2.0]),
        ("list[str]", ("a",), ["a"]),
        ("dict[str, int]", {"a": 1}, {"a": 1}),
        ("Literal['a', 'b']", "a", "a"),
        ('Literal["a", 2] | None', 2, 2),
        ("'int'", 3, 3),
        ("Annotated[int, Ge(2)]", 2, 2),
        ("Annotated[float, Field(gt=0, le=1)]", 1, 1.0),
        ("PositiveInt", 1, 1),
        ("Sequence[float]", (1, 2), [1.0, 2.0]),
        ("object", {"any": (1, "x")}, {"any": [1, "x"]}),
        ("Augment", "flip", "flip"),
    ],
)
def test_sound_values_come_out_as_json_has_them(annotation: str, value: Any, expected: Any) -> None:
    result = filled(annotation, value)
    assert result.mistakes == []
    assert result.values == {"o": expected}
    assert type(result.values["o"]) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "path", "what"),
    [
        ("int", "3", ("o",), "expected a whole number, not '3'"),
        ("int", 1.5, ("o",), "expected a whole number, not 1.5"),
        ("int", True, ("o",), "expected a whole number, not true"),
        ("float", "1e-4", ("o",), "expected a number, not '1e-4'"),
        ("bool", 1, ("o",), "expected true or false, not 1"),
        ("str", 5, ("o",), "expected text, not 5"),
        ("int", None, ("o",), "expected a whole number, not nothing (null)"),
        ("tuple[int, ...]", (1, "a"), ("o", 1), "expected a whole number, not 'a'"),
        ("tuple[int, ...]", 4, ("o",), "expected a list, not 4"),
        ("Annotated[int, Ge(2)]", 1, ("o",), "expected at least 2, not 1"),
    ],
)
def test_wrong_values(annotation: str, value: Any, path: tuple, what: str) -> None:
    [mistake] = filled(annotation, value).mistakes
    assert (mistake.path, mistake.what) == (path, what)


def test_defaults_are_checked_and_normalised_too() -> None:
    assert filled("float", REQUIRED, default=25).values == {"o": 25.0}
    assert filled("float", REQUIRED, default="x").mistakes != []
    [mistake] = filled("int", REQUIRED).mistakes
    assert (mistake.path, mistake.what, mistake.hint) == ((), "part p needs the option 'o'", "add o: <int>")


def test_references_stand_apart() -> None:
    assert filled("PriorRef", "nss").references == {"o": ("PriorRef", "nss")}
    assert filled("CellRef | None", REQUIRED, default=None).references == {}
    assert refers_to(Option("o", "int")) is None
    assert refers_to(Option("o", "'CellRef'")) == "CellRef"


@pytest.mark.parametrize(
    "annotation", ["Unknown", "os.PathLike", "(lambda: 3)()", "[x for x in ()]", "int()[0].__class__", "list[", "3 < 4"]
)
def test_annotations_that_are_no_types_are_refused_and_never_run(annotation: str) -> None:
    try:
        with pytest.raises(AnnotationError):
            adapter_of(annotation)
    except SyntaxError:
        assert annotation == "list["


@pytest.mark.parametrize(
    "annotation",
    ["5", "int()", "'list['", "Annotated[int]", "Annotated[str, Field(pattern='(')]", "Ge(2)", "int[3]", "-1",
     "Field(x=", "Literal[()]", "list[" * 300 + "int" + "]" * 300],
)  # fmt: skip
def test_what_is_wrong_with_an_annotation_is_one_short_sentence(annotation: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        adapter_of(annotation)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


OPTIONS = {
    "dim": Option("dim", "Annotated[int, Ge(1), Le(64)]", 16),
    "heads": Option("heads", "tuple[PositiveInt, ...]", (1, 2)),
    "mode": Option("mode", "str", "plain"),
    "limit": Option("limit", "int | None", None),
}


@pytest.mark.parametrize(
    ("rule", "given", "path", "what", "hint"),
    [
        (Rule("dim % heads == 0", "`heads` divide `dim`"), {"dim": 15}, ("dim",), "`dim` is 15, `heads` is [1,2]",
         "dim: 14, or dim: 16"),
        # the option that the suite gives is at fault, and not a default
        (Rule("dim % heads == 0", "`heads` divide `dim`"), {"heads": [1, 3]}, ("heads",), "`heads` is [1,3]",
         "heads: [1, 2]"),
        (Rule("len(heads) == 3", "`heads` has three numbers"), {"heads": [1, 2]}, ("heads",), "`heads` is [1,2]",
         "heads: [1, 2, 2]"),
        # values outside the option's own range fit nothing
        (Rule("dim > 63", "`dim` is large"), {"dim": 3}, ("dim",), "`dim` is 3", "dim: 64"),
        (Rule("dim > 64", "`dim` is large"), {"dim": 3}, ("dim",), "`dim` is 3", ""),
        (Rule("dim == 8", "`dim` is 8", when=(When("mode", "other"),)), {"mode": "other"}, (), "here `dim` is 16",
         "dim: 8"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_with_the_nearest_value_that_fits(
    rule: Rule, given: dict[str, Any], path: tuple[Any, ...], what: str, hint: str
) -> None:
    [mistake] = fill(OPTIONS, given, "part p", (rule,)).mistakes
    assert (mistake.path, mistake.hint) == (path, hint)
    assert mistake.what.startswith(f"{rule.what}; here ")
    assert what in mistake.what


def test_the_nearest_value_keeps_every_rule() -> None:
    rules = (Rule("dim % heads == 0", "`heads` divide `dim`"), Rule("dim % 10 == 0", "`dim` is round"))
    mistakes = fill(OPTIONS, {"dim": 33}, "part p", rules).mistakes
    assert [mistake.hint for mistake in mistakes] == ["dim: 30, or dim: 40"] * 2


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (Rule("dim % heads == 0", "no"), {"dim": 8}),
        (Rule("limit > 3", "no"), {}),
        (Rule("limit > 3", "no"), {"limit": 4}),
        (Rule("dim == 8", "no", when=(When("mode", "other"),)), {}),
        (Rule("heads * (1, 2, 3) == 0", "no"), {}),
    ],
)
def test_rules_that_are_kept_or_do_not_apply(rule: Rule, given: dict[str, Any]) -> None:
    assert fill(OPTIONS, given, "part p", (rule,)).mistakes == []


def test_a_value_out_of_range_is_told_alone() -> None:
    rule = Rule("dim % heads == 0", "`heads` divide `dim`")
    [mistake] = fill(OPTIONS, {"dim": -3}, "part p", (rule,)).mistakes
    assert mistake.what == "expected at least 1, not -3"


@pytest.mark.parametrize(
    ("annotation", "value", "what"),
    [
        ("Annotated[tuple[int, ...], MinLen(2)]", (1,), "expected at least 2 items, not 1"),
        ("Annotated[tuple[int, ...], MaxLen(2)]", (1, 2, 3), "expected at most 2 items, not 3"),
        ("Annotated[str, Field(pattern='^[RL]*$')]", "RX", "expected text like ^[RL]*$, not 'RX'"),
        ("Channels", 0, "expected at least 1, not 0"),
        ("Blocks | None", -1, "expected at least 0, not -1"),
        ("tuple[Count, Count]", (1, 0), "expected at least 1, not 0"),
        ("Chance", 1.0, "expected less than 1, not 1.0"),
        ("Factor", 0.0, "expected more than 0, not 0.0"),
        ("Annotated[int, Ge(4), MultipleOf(4)]", 6, "expected a multiple of 4, not 6"),
    ],
)
def test_ranges_in_words(annotation: str, value: Any, what: str) -> None:
    assert [mistake.what for mistake in filled(annotation, value).mistakes] == [what]
