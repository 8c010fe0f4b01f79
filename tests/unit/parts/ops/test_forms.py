"""Which form of an operation runs, and what is told of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.parts.ops import forms
from harness.parts.ops.defined import dynamic_filter, gated_gelu


def test_a_cpu_takes_the_lean_form_from_a_size_on_and_no_other_device_does() -> None:
    small, large = torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 4, 4)
    assert [forms.lean("x", given, least=64) for given in (small, large, large.to("meta"))] == [False, True, False]


def test_a_form_that_is_asked_for_runs_whatever_the_size() -> None:
    x = torch.zeros(1, 1, 2, 2)
    with forms.using("lean"):
        assert forms.lean("x", x, least=5)
        with forms.using("plain"):
            assert not forms.lean("x", x)
        assert forms.lean("x", x, least=5)
    with pytest.raises(KeyError), forms.using("lean"):
        raise KeyError
    assert not forms.lean("x", x, least=5)


def test_one_request_may_be_entered_again() -> None:
    request = forms.using("lean")
    with request, forms.using("plain"), request:
        pass
    assert not forms.lean("x", torch.zeros(1, 1, 1, 1), least=2)


def test_channels_stay_last_where_they_are_and_no_definition_was_asked_for() -> None:
    last = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    for given, lies in ((last, True), (last.contiguous(), False), (last.to("meta"), False)):
        assert forms.lies_last(given) == forms.lean_as_laid("x", given) == lies
    with forms.using("plain"):
        assert not forms.lies_last(last)
        assert not forms.lean_as_laid("x", last)
    with forms.using("lean"):
        assert not forms.lies_last(last.contiguous())
        assert forms.lean_as_laid("x", last.contiguous())


def test_what_ran_is_noted() -> None:
    x, kernels = torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4, 4)
    with forms.noting() as outer:
        with forms.noting() as noted:
            dynamic_filter(x, kernels)
            forms.lean("both", x, least=33)
            forms.lean("both", x)
            forms.lean("small", x, least=33)
        assert noted == {"dynamic_filter": "lean", "both": "lean and plain", "small": "plain"}
        dynamic_filter(x, kernels)
        with forms.noting({"before": "plain"}) as noted:
            gated_gelu(x)
    gated_gelu(x)
    assert noted == {"before": "plain", "gated_gelu": "plain"}
    assert outer == {"dynamic_filter": "lean"}


def test_torch_compile_sees_definitions() -> None:
    seen = []

    @torch.compile(fullgraph=True, backend="eager", dynamic=False)
    def traced(x: Tensor) -> Tensor:
        seen.append(forms.lean("x", x) or forms.lies_last(x))
        return gated_gelu(x)

    x = torch.randn(2, 6, 4, 5).contiguous(memory_format=torch.channels_last)
    with forms.using("lean"), forms.noting() as noted:
        result = traced(x)
        assert noted == {}
        assert torch.allclose(result, gated_gelu(x))
    assert seen == [False]
    assert noted == {"gated_gelu": "lean"}
