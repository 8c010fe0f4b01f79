"""Options against annotations that are read and never run."""

from __future__ import annotations

from typing import Any

import pytest

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
