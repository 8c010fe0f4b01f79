"""How often garbage is looked for, and where."""

from __future__ import annotations

import gc
from weakref import ref

import pytest

from harness.core.garbage import seldom_collected, spare_modules


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


def test_what_was_there_before_the_first_job_is_spared_and_nothing_later():
    before = gc.get_freeze_count()
    gc.unfreeze()
    try:
        older = Circle()
        spare_modules()
        found = ref(older)
        del older
        later = ref(Circle())
        spare_modules()
        gc.collect()
        assert later() is None
        assert found() is not None
        gc.unfreeze()
        gc.collect()
        assert found() is None
    finally:
        if before:
            gc.freeze()
