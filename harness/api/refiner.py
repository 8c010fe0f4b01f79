"""Refiners: modules R that improve a backbone's restoration with extra knowledge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.api.reference import Placement
from harness.api.traits import FromOption, LossUse, StageUse, Traits, When, check_stages

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RefinerTraits(Traits):
    """What a refiner declares."""

    placements: tuple[Placement, ...] = ("image",)
    """Where it can sit; the first is where it sits when a suite says nothing."""
    edits: Literal["tap", "decoder"] = "tap"
    """What it edits with placement `features`: the backbone's deepest tap, or all its decoder features."""
    needs_prior: bool = True
    """Whether a prior's vectors guide it. One that brings its own knowledge needs none."""
    reads_truth: When | None = None
    """When it sees the clean images in training; never when None."""
    control: When | None = None
    """When it is a control, whose knowledge is of no use; never when None. Tables then always name its options."""
    passes: int | FromOption = 1
    """How often F restores an image with the edits of its decoder: the second time they know the first result
    (`DecoderEditor`). `FromOption` where an option lets the suite choose."""
    reads_maps: When | None = None
    """When it can use a prior that gives maps; never when None. Its `prior_dim` is then (D, rows, columns) for such a
    prior, and D for others."""
    outputs: bool = False
    """Whether it gives its losses more than its result (harness.api.backbone.WithOutputs)."""
    size_multiple: int = 1
    """Height and width of the images must be multiples of this."""
    channels: int | None = None
    """How many channels the images have that it takes on `image`, degraded and restored ones alike; None: any."""
    losses: tuple[LossUse, ...] = ()
    """Losses that are added to the recipe's, on the final restoration."""
    stages: tuple[StageUse, ...] = ()
    """Stages of its training. They divide the part of the training in which it trains."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stages(self.stages)
        for use in (*self.losses, *(use for stage in self.stages for use in stage.losses)):
            if use.refined_weight is not None:
                what = f"a refiner's loss {use.name} reads the final restoration alone"
                raise ValueError(f"{what}: give its weight, and no refined_weight")
        if not self.placements:
            raise ValueError("placements name at least one place, such as image")
        if self.size_multiple < 1:
            raise ValueError(f"size_multiple is a whole number from 1 on, not {self.size_multiple}")
        if self.passes != 1 and self.edits != "decoder":
            raise ValueError("more than one of `passes` is for a refiner that edits the decoder")
        if isinstance(self.passes, int) and self.passes < 1:
            raise ValueError(f"passes is a whole number from 1 on, not {self.passes}")


class Refiner(Protocol):
    """A module R that improves F; an nn.Module.

    Constructor: (prior_dim,) given by the harness when it needs a prior (D, or the shape of the prior's maps where
    `reads_maps` says so; rows of `prior_BD` are then flattened maps), then on `features` the channels of what it
    edits (of the deepest tap, or a tuple for all decoder features, coarse to fine), then keyword-only options.
    """

    traits: RefinerTraits

    def __call__(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor | None) -> Tensor:
        """Refined restoration Ī, same size, not clamped.

        In evaluation mode what an image becomes depends on no other image of the batch, and on no random number that is
        drawn then, but for the rounding of another batch size. The same holds for `edit` and `edits`.
        """


class TapEditor(Protocol):
    """A refiner that can sit on the deepest tap of the backbone."""

    def edit(self, features_BChw: Tensor, prior_BD: Tensor | None) -> Tensor:
        """The refined map, same shape."""


class DecoderEditor(Protocol):
    """A refiner that edits all decoder features of the backbone.

    With several `passes` F restores the same degraded images again and again, each time with the edits for the result
    before. Only the last result is trained and kept; no gradient reaches those before. Where the truth is given there
    is one pass. With one pass `edits` may leave out its last argument.
    """

    def edits(
        self,
        lq_BCHW: Tensor,
        prior_BD: Tensor | None,
        truth_BCHW: Tensor | None,
        restored_BCHW: Tensor | None = None,
    ) -> tuple[Sequence[Callable[[Tensor], Tensor]], dict[str, Any]]:
        """One function per decoder feature, from the map to the edited map; and what the losses read, by name.
        `restored_BCHW` is the result of the pass before, not clamped; None in the first pass.
        `truth_BCHW` is None except in training of a refiner that reads it.
        """
