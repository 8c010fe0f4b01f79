"""A pass of a frozen backbone that several models share leaves no trace in any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.parts.ops import forms
from harness.parts.ops.whole_batch import Pass, passing
from harness.training import one_pass as module
from harness.training.one_pass import COMPARED, OnePass

Found = tuple[Tensor, dict[str, Any]]


class Plain(nn.Module):
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        self.calls += 1
        return lq_BCHW * 2


class Drawing(Plain):
    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return super().forward(lq_BCHW) + torch.rand_like(lq_BCHW)


class Formed(Plain):
    """Has an operation of two forms."""

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        doubled_BCHW = super().forward(lq_BCHW)
        return doubled_BCHW if forms.lean("doubling", lq_BCHW) else doubled_BCHW.clone()


class Counting(Plain):
    def forward(self, lq_BCHW: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(lq_BCHW) * self.seen


class Cut(Plain):
    """Gives a part of a larger image, as networks do that pad."""

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return nn.functional.pad(super().forward(lq_BCHW), (0, 3, 0, 5))[..., :-5, :-3].permute(0, 1, 3, 2)


def images() -> Tensor:
    return torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(1))


def step(one_pass: OnePass, model: str, backbone: nn.Module, lq_BCHW: Tensor, number: int = 7) -> Found:
    """A model's pass, as a training step begins it."""
    one_pass.model = model
    torch.manual_seed(number)

    def work(given_BCHW: Tensor) -> Found:
        restored_BCHW = backbone(given_BCHW)
        return restored_BCHW, {"restorations": [restored_BCHW, restored_BCHW + 1], "word": "as it is"}

    with torch.no_grad():
        found: Found = one_pass(backbone, work, lq_BCHW)
    return found


def alone(make: Callable[[], nn.Module], lq_BCHW: Tensor) -> tuple[Found, Tensor]:
    """What a model gets that shares nothing, and the number that is drawn next."""
    found = step(OnePass(), "alone", make(), lq_BCHW)
    return found, torch.rand(1)


@pytest.mark.parametrize("make", [Plain, Drawing, Cut])
def test_all_get_what_they_would_have_computed(make: Callable[[], Plain]) -> None:
    one_pass, backbones, lq_BCHW = OnePass(), [make() for _ in range(3)], images()
    (expected_BCHW, expected), next_number = alone(make, lq_BCHW)
    for number, backbone in enumerate(backbones):
        restored_BCHW, outputs = step(one_pass, str(number), backbone, lq_BCHW.clone())
        assert torch.equal(restored_BCHW, expected_BCHW)
        assert restored_BCHW.stride() == expected_BCHW.stride()
        assert torch.equal(outputs["restorations"][1], expected["restorations"][1])
        assert outputs["word"] == "as it is"
        assert torch.equal(torch.rand(1), next_number)
        restored_BCHW.data.zero_()
    assert [each.calls for each in backbones] == [1, 0, 0]
    assert (one_pass.computed, one_pass.taken_over) == (1, 2)


def test_a_backbone_that_changes_with_every_pass_is_each_models_own() -> None:
    one_pass, backbones, lq_BCHW = OnePass(), [Counting() for _ in range(3)], images()
    for _ in range(3):
        results = [step(one_pass, str(place), each, lq_BCHW)[0] for place, each in enumerate(backbones)]
        assert all(torch.equal(each, results[0]) for each in results)
        one_pass.forget()
    assert [float(each.seen) for each in backbones] == [3, 3, 3]
    assert not one_pass.shares


@pytest.mark.parametrize(
    ("lq_BCHW", "number", "stream"),
    [(images() + 1, 7, "a"), (images(), 8, "a"), (images(), 7, "b"), (images().double(), 7, "a")],
    ids=["pixels", "part of the batch", "stream", "type"],
)
def test_other_images_are_computed(lq_BCHW: Tensor, number: int, stream: str) -> None:
    one_pass, first, second = OnePass(stream="a"), Plain(), Plain()
    step(one_pass, "first", first, images())
    one_pass.stream = stream
    restored_BCHW, _ = step(one_pass, "second", second, lq_BCHW, number)
    assert second.calls == 1
    assert torch.equal(restored_BCHW, lq_BCHW * 2)


def test_a_model_that_passes_the_same_images_again_computes_again() -> None:
    """As when a compiler is tried out on them before the step."""
    one_pass, first, second = OnePass(), Plain(), Plain()
    for _ in range(3):
        step(one_pass, "first", first, images())
    step(one_pass, "second", second, images())
    assert (first.calls, second.calls) == (3, 0)


def test_all_are_told_in_what_form_it_ran() -> None:
    one_pass = OnePass()
    for model in ("first", "second"):
        with forms.noting() as ran:
            step(one_pass, model, Formed(), images())
        assert ran == {"doubling": "lean"}
    assert one_pass.taken_over == 1


def test_nothing_is_kept_for_the_next_step() -> None:
    one_pass, first, second = OnePass(), Plain(), Plain()
    step(one_pass, "first", first, images())
    one_pass.forget()
    step(one_pass, "second", second, images())
    assert second.calls == 1


def test_halves_of_a_group_are_told_apart_where_images_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: both halves of a group that was too large for the memory have one seed."""
    monkeypatch.setattr(module, "ALWAYS_COMPARED", frozenset())
    one_pass = OnePass(taken_over=COMPARED)
    halves = {first: images() + first for first in (0, 2)}
    for model in ("first", "second", "third"):
        backbone = Plain()
        for first, lq_BCHW in halves.items():
            with passing(Pass(first, 2, range(4), share=4)):
                restored_BCHW, _ = step(one_pass, model, backbone, lq_BCHW)
            assert torch.equal(restored_BCHW, lq_BCHW * 2)
        assert backbone.calls == (2 if model == "first" else 0)
