"""How often garbage is looked for, and where."""

from __future__ import annotations

import gc
from weakref import ref

import pytest

from harness.core.garbage import collected_inside, seldom_collected


def test_the_usual_is_restored_after_errors_too():
    usual = gc.get_threshold()
    with pytest.raises(KeyError), seldom_collected():
        assert gc.get_threshold() > usual
        raise KeyError
    assert gc.get_threshold() == usual


def test_a_function_may_call_itself():
    usual = gc.get_threshold()

    @seldom_collected()
    def counted(depth: int) -> int:
        return gc.get_threshold()[0] if depth == 0 else counted(depth - 1)

    assert counted(3) > usual[0]
    assert gc.get_threshold() == usual


class Circle:
    def __init__(self) -> None:
        self.own = self


def test_a_search_inside_finds_what_was_made_inside_alone():
    older = ref(Circle())
    before = gc.get_freeze_count()
    gc.unfreeze()
    try:
        with collected_inside():
            inside = ref(Circle())
            with collected_inside():
                gc.collect()
            assert inside() is None
            assert older() is not None
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() == 0
        gc.collect()
        assert older() is None
    finally:
        if before:
            gc.freeze()
