"""Facts of data sets that cannot be are refused where they are written down."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api.source import Count, Files, Group, Layout, Source

LAYOUT = Layout(name="official", of="theirs", splits={"train": Files(gt=("a/*",)), "test": Files(gt=("b/*",))})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a split has gt, lq or both"),
        ({"lq": ("a/*",), "views": True}, "of the left and of the right view"),
        ({"gt": ("a/*",), "lq": ("b/*",), "views": True}, "of the left and of the right view"),
    ],
)
def test_files_that_make_no_split_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Files(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scene": "("}, "is no regular expression: missing"),
        ({"only": "("}, "is no regular expression"),
        ({"without": "["}, "is no regular expression"),
        ({"scene": "abc"}, "'abc' has no group"),
        ({"lq": ("*",), "pair": ("(a", "(a)")}, "is no regular expression"),
        ({"lq": ("*",), "pair": ("(a)", "a")}, "'a' has no group"),
        ({"lq": ("*",), "apart": 3}, "apart: is for pairs by order"),
        ({"gt": ("../*",)}, "leads out of the folder"),
        ({"lq": ("/data/*",)}, "leads out of the folder"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Files(**{"gt": ("*",)} | given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "has a file or names"),
        ({"file": "a.npy", "names": "a"}, "has a file or names"),
        ({"file": "../a.npy"}, "leads out of the folder"),
        ({"names": "("}, "is no regular expression"),
    ],
)
def test_groups_that_say_nothing_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Group(name="indoor", **given)


def test_a_source_has_layouts_and_tasks() -> None:
    given: dict[str, Any] = {"title": "T", "page": "p", "citation": "c", "size": "s", "protocol": "rgb_uint8"}
    given |= {"layouts": (LAYOUT,), "tasks": ("derain",), "counts": {"train": Count(1)}}
    other = Layout(name="half", of="theirs", splits={"val": Files(gt=("*",)), "test": Files(gt=("*",))})
    assert Source(**given | {"layouts": (LAYOUT, other)}).splits() == ("train", "test", "val")
    for name, said in (("layouts", "at least one layout"), ("tasks", "at least one task")):
        with pytest.raises(ValueError, match=said):
            Source(**given | {name: ()})
    with pytest.raises(ValueError, match="two layouts have one name"):
        Source(**given | {"layouts": (LAYOUT, LAYOUT)})
    with pytest.raises(ValueError, match="leads out"):
        Layout(name="x", of="y", splits=LAYOUT.splits, inside=("../x",))


@pytest.mark.parametrize("given", [{}, {"scenes": 3, "also": (4,)}])
def test_a_count_is_of_images_or_of_scenes(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of images or of scenes"):
        Count(**given)
    assert Count(scenes=3).images is None
