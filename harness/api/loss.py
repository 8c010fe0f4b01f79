"""Training losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.api.traits import FromOption, Traits

if TYPE_CHECKING:
    from torch import Tensor

Reads = Literal["pair", "unpaired", "degraded"]
"""What a loss reads besides the degraded images: their clean ones, clean images of other scenes, or nothing."""


@dataclass(frozen=True, kw_only=True)
class LossTraits(Traits):
    """What a loss declares."""

    takes: Literal["images", "inputs"] = "images"
    """What it is called with: (restored, truth), or everything (`LossInputs`)."""
    reads: Reads = "pair"
    """What it reads besides the degraded images. The loader leaves out what no loss reads."""
    reduction: Literal["mean", "sum"] | FromOption = "mean"
    """Whether it averages over images or sums; `FromOption` when an option lets the suite choose."""
    adversary: bool = False
    """Whether it has a network of its own that is trained beside the model (`Adversary`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.takes == "images" and self.reads != "pair":
            raise ValueError("a loss that takes images reads pairs; one that reads anything else takes inputs")
        if self.adversary and self.takes == "images":
            raise ValueError("an adversary takes inputs")

    def sums(self, options: Mapping[str, Any]) -> bool:
        """Whether the loss, with these options, sums over images."""
        reduction = self.reduction
        return (options[reduction.option] if isinstance(reduction, FromOption) else reduction) == "sum"


@dataclass(frozen=True)
class LossInputs:
    """Everything that a loss may read: one restoration of a batch, and what it was made from. Tensors are float32."""

    restored_BCHW: Tensor
    """Î or Ī."""
    lq_BCHW: Tensor
    gt_BCHW: Tensor | None
    """The truth; None where no loss of the recipe reads pairs."""
    clean_BCHW: Tensor | None
    """Clean images of other scenes; None where no loss reads them."""
    outputs: Mapping[str, Any]
    """What F's and R's `outputs` gave, by name."""
    step: int
    """The optimizer step, from 1."""
    refined: bool
    """Whether `restored_BCHW` is Ī. A term that concerns F alone is then zero: it was counted with Î."""


class Loss(Protocol):
    """A training loss that looks at images alone; an nn.Module. Constructor: keyword-only options."""

    traits: LossTraits

    def __call__(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar."""


class InputsLoss(Protocol):
    """A training loss that looks at more than an image and its truth; an nn.Module."""

    traits: LossTraits

    def __call__(self, inputs: LossInputs) -> Tensor:
        """A scalar."""


class Adversary(InputsLoss, Protocol):
    """A loss with a network of its own, which is trained beside the model: Adam at `lr` and `betas`.

    A call gives the model's loss, from which the adversary's own parameters get no gradient. `own_loss` is the loss
    that trains those parameters, on the same inputs without gradients. Its learning rate follows the recipe's schedule.
    """

    lr: float
    betas: tuple[float, float]

    def own_loss(self, inputs: LossInputs) -> Tensor:
        """The scalar that the adversary's own parameters minimise."""
