"""The contract of losses catches those that break their promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.api.loss import LossInputs, LossTraits
from harness.api.traits import FromOption
from harness.testing.loss import LossContract
from tests.unit.testing.made import broken

SHARES = "test_shares_of_a_batch_make_its_loss"


class Good(nn.Module):
    """Keeps all promises."""

    traits = LossTraits(reduction=FromOption("reduction"))

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        error = (restored_BCHW - truth_BCHW).square()
        return error.mean() if self.reduction == "mean" else error.sum()


class Sums(Good):
    """Adds up and says that it averages."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__(reduction="sum")


class PerImage(Good):
    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return (restored_BCHW - truth_BCHW).square().mean((1, 2, 3))


class Double(Good):
    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return super().forward(restored_BCHW.double(), truth_BCHW.double())


class Detached(Good):
    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return super().forward(restored_BCHW.detach(), truth_BCHW)


class Root(Good):
    """Its gradient at the truth is not a number."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return super().forward(restored_BCHW, truth_BCHW).sqrt()


class Upside(Good):
    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return -super().forward(restored_BCHW, truth_BCHW)


class InPlace(Good):
    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return restored_BCHW.sub(truth_BCHW.mul_(0.5)).square().mean()


class Trains(Good):
    """Has a network that nothing trains."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return self.scale * super().forward(restored_BCHW, truth_BCHW)


class Draws(Good):
    """Draws from a generator of its own."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()
        self.own = torch.Generator().manual_seed(0)

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return super().forward(restored_BCHW, truth_BCHW) * (1 + torch.rand((), generator=self.own))


class Peeks(nn.Module):
    """Reads the truth, and says that it does not."""

    traits = LossTraits(takes="inputs", reads="degraded")

    def forward(self, inputs: LossInputs) -> Tensor:
        assert inputs.gt_BCHW is not None, "no truth"
        return (inputs.restored_BCHW - inputs.gt_BCHW).square().mean()


class Asks(Peeks):
    """Makes the loader give a truth that it does not read."""

    traits = LossTraits(takes="inputs", reads="pair")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, inputs: LossInputs) -> Tensor:
        return (inputs.restored_BCHW - inputs.lq_BCHW).square().mean()


class Adversary(nn.Module):
    """Keeps all promises."""

    traits = LossTraits(takes="inputs", adversary=True)

    def __init__(self, *, lr: float = 1e-4) -> None:
        super().__init__()
        self.lr, self.betas = lr, (0.5, 0.9)
        self.judge = nn.Conv2d(3, 1, 3)

    def forward(self, inputs: LossInputs) -> Tensor:
        weight, bias = self.judge.weight.detach(), self.judge.bias
        assert bias is not None
        return (nn.functional.conv2d(inputs.restored_BCHW, weight, bias.detach()) - 1).square().mean()

    def own_loss(self, inputs: LossInputs) -> Tensor:
        assert inputs.gt_BCHW is not None
        return self.judge(inputs.restored_BCHW).square().mean() + (self.judge(inputs.gt_BCHW) - 1).square().mean()


class Compares(Adversary):
    """Its own loss takes the root over a batch."""

    traits = LossTraits(takes="inputs", adversary=True)

    def __init__(self) -> None:
        super().__init__()

    def own_loss(self, inputs: LossInputs) -> Tensor:
        return super().own_loss(inputs).sqrt()


class Leaks(Adversary):
    """The model's loss trains the adversary, too."""

    traits = LossTraits(takes="inputs", adversary=True)

    def __init__(self) -> None:
        super().__init__()

    def forward(self, inputs: LossInputs) -> Tensor:
        return (self.judge(inputs.restored_BCHW) - 1).square().mean()


class Forgets(Adversary):
    """Has a second network that its own loss does not train."""

    traits = LossTraits(takes="inputs", adversary=True)

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(3, 1, 1)


@pytest.mark.parametrize(
    ("part", "caught"),
    [
        (Good, set()),
        (Sums, {"test_reduction_is_as_declared", SHARES}),
        (
            PerImage,
            {
                "test_gives_a_scalar",
                "test_reads_what_it_declares",
                "test_gradient_reaches_the_restoration",
                "test_gradient_is_finite_at_the_truth",
                "test_is_smallest_at_the_truth",
                "test_reduction_is_as_declared",
                SHARES,
                "test_same_images_same_value",
            },
        ),
        (Double, {"test_gives_a_scalar"}),
        (Detached, {"test_gradient_reaches_the_restoration", "test_gradient_is_finite_at_the_truth"}),
        (Root, {"test_gradient_is_finite_at_the_truth", SHARES}),
        (Compares, {SHARES}),
        (Upside, {"test_is_smallest_at_the_truth"}),
        (
            InPlace,
            {"test_leaves_its_inputs_alone", "test_is_smallest_at_the_truth", "test_reduction_is_as_declared", SHARES},
        ),
        (Trains, {"test_trains_nothing_unless_it_is_an_adversary"}),
        (Adversary, set()),
        (Leaks, {"test_models_loss_does_not_train_the_adversary"}),
        (Forgets, {"test_own_loss_trains_the_adversary"}),
        (Asks, {"test_reads_what_it_declares"}),
    ],
)
def test_loss_contract(part: Any, caught: set[str]) -> None:
    class Case(LossContract):
        def make(self) -> Any:
            return part()

    assert broken(Case()) == caught


def test_randomness_of_its_own_is_caught() -> None:
    class Case(LossContract):
        def make(self) -> Any:
            return Draws()

    assert "test_same_images_same_value" in broken(Case())


def test_reading_more_than_declared_is_said() -> None:
    class Case(LossContract):
        def make(self) -> Any:
            return Peeks()

    with pytest.raises(AssertionError, match="reads='degraded', and it fails where there is nothing else"):
        Case().test_reads_what_it_declares()


def test_the_reduction_may_come_from_an_option() -> None:
    class Case(LossContract):
        options = {"reduction": "sum"}  # noqa: RUF012

        def make(self) -> Any:
            return Good(**self.options)

    assert not broken(Case())
    Case.options = {}
    Case.make = lambda self: Good(reduction="sum")  # type: ignore[method-assign]
    assert broken(Case()) == {"test_reduction_is_as_declared", SHARES}
