"""The contract of losses catches those that give other numbers where several processes share a batch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.api.loss import LossTraits
from harness.parts.ops.whole_batch import drawn, mean_of_group
from harness.testing.loss import LossContract
from tests.unit.testing.made import broken
from tests.unit.testing.test_loss_contract import SHARES, Compares, Good


class Hardest(Good):
    """Looks at the worst image of the batch alone."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return (restored_BCHW - truth_BCHW).square().mean((1, 2, 3)).max()


class Worst(Hardest):
    """Looks at a quarter of all pixels."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        errors = (restored_BCHW - truth_BCHW).square().flatten()
        return errors.topk(len(errors) // 4).values.mean()


class Runs(Hardest):
    """Divides by a scale that follows the batches."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        error = (restored_BCHW - truth_BCHW).square().mean()
        value = error / self.get_buffer("scale").clone()
        with torch.no_grad():
            self.get_buffer("scale").lerp_(error, 0.5)
        return value


class Masks(Hardest):
    """Draws random numbers for the images that it has."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        error = (restored_BCHW - truth_BCHW).square()
        return (error * torch.rand_like(error)).mean()


class MasksTogether(Hardest):
    """Draws random numbers for the whole batch, and asks for the mean of it."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        error = (restored_BCHW - truth_BCHW).square()
        return (error * drawn(error, torch.rand_like)).mean() + mean_of_group(error).sqrt()


class Unsteady(Hardest):
    """Draws from Python's generator."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        return (restored_BCHW - truth_BCHW).square().mean() * (1 + random.random())


@pytest.mark.parametrize(
    ("part", "caught"),
    [
        (Hardest, {SHARES}),
        (Worst, {SHARES}),
        (Runs, {SHARES, "test_same_images_same_value", "test_reduction_is_as_declared"}),
        (Masks, {SHARES, "test_reduction_is_as_declared"}),
    ],
)
def test_losses_of_images_together_are_caught(part: Any, caught: set[str]) -> None:
    class Case(LossContract):
        def make(self) -> Any:
            return part()

    assert broken(Case()) == caught


def test_a_loss_of_a_whole_batch_says_so() -> None:
    """What it draws and takes means of is the whole batch's, whoever has its images."""

    class Case(LossContract):
        def make(self) -> Any:
            return MasksTogether()

    assert SHARES not in broken(Case())


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Hardest, r"reduction=mean, and 4 images give 0\.\d+, their 2 halves 0\.\d+ on average: it looks at images "),
        (Compares, "^own_loss: reduction=mean, and 4 images give .*recipe.micro_batch"),
        (Runs, "the buffer scale follows the images that its process has"),
        (Unsteady, r"it draws from Python's global generator.* try torch.rand"),
    ],
)
def test_what_looks_at_images_together_is_said(part: Any, said: str) -> None:
    class Case(LossContract):
        def make(self) -> Any:
            return part()

    with pytest.raises(AssertionError, match=said):
        Case().test_shares_of_a_batch_make_its_loss()
