"""How often garbage is looked for."""

from __future__ import annotations

import gc

import pytest

from harness.core.garbage import seldom_collected


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
