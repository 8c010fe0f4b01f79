"""Forms of operations whose gradients are the same every time on a GPU: near torch's own, and chosen on demand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from harness.parts.ops import steady
from tests.absent_gpu import GPU, absent_gpu
from tests.refused import TOLD, documented, refused_of


@pytest.fixture(params=[(8, 11), (5, 3), (1, 1), (7, 7), (30, 2)])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


def both(monkeypatch: pytest.MonkeyPatch, call: Callable[[Tensor], Tensor], x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What torch's own form and ours give, and the gradient."""
    found = []
    for wanted in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(steady, "wanted", lambda _x, wanted=wanted: wanted)
            leaf = x.clone().requires_grad_(True)
            result = call(leaf)
            weights = torch.rand(result.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
            found.append((result.detach(), torch.autograd.grad((result * weights).sum(), leaf)[0]))
    return found


def test_resized_is_near(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own, ours = both(monkeypatch, lambda x: steady.resized(x, size), x)
    assert own[0].shape == (2, 3, *size)
    for one, other in zip(own, ours, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", [1, (2, 0, 1, 3), (0, 0, 0, 0)])
def test_mirrored_borders_are_the_same(monkeypatch: pytest.MonkeyPatch, padding: int | tuple[int, ...]) -> None:
    x = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pad = steady.ReflectionPad2d(padding)  # type: ignore[arg-type]
    own, ours = both(monkeypatch, pad, x)
    assert torch.equal(own[0], ours[0])
    torch.testing.assert_close(own[1], ours[1], rtol=0, atol=1e-12)


def test_they_run_where_torch_refuses_its_own() -> None:
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    assert refused_of(lambda: steady.resized(x, (5, 5)).sum() + steady.ReflectionPad2d(1)(x).sum()) == set()

    def own() -> Tensor:
        return F.pad(F.interpolate(x, size=(5, 5), mode="bilinear", antialias=True), (1, 1, 1, 1), "reflect").sum()

    found = refused_of(own)
    assert found == {"_upsample_bilinear2d_aa_backward", "reflection_pad2d_backward"}


def test_they_are_for_gpus_in_deterministic_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch.zeros(1)
    with absent_gpu():
        there = torch.empty(1, device=GPU)
    for on in (False, True):
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda on=on: on)
        assert (steady.wanted(here), steady.wanted(there)) == (False, on)


def test_torch_refuses_what_it_did() -> None:
    """Another torch may refuse more, or less: then the operations beside the names have to be looked up."""
    assert documented() == set(TOLD)


class _Seen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_torch_has_other_ways_for_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """F.interpolate and F.pad of a GPU's tensors, in the modes that tests.refused therefore leaves out."""
    for on, expected in ((False, {"upsample_bilinear2d", "replication_pad2d"}), (True, set())):
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda on=on: on)
        with absent_gpu(), _Seen() as seen:
            x = torch.empty(1, 1, 8, 8, device=GPU, requires_grad=True)
            F.interpolate(x, scale_factor=2, mode="bilinear")
            F.pad(x, (1, 1, 1, 1), mode="replicate")
        assert seen.names & {"upsample_bilinear2d", "replication_pad2d"} == expected
