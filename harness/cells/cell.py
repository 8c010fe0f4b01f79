"""A cell is one training. It has an id, and so has each evaluation of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import PositiveInt

from harness.api.degradation import Draw
from harness.api.reference import Augment, FeaturePolicy, Hashed, PartRef, Placement, Regime
from harness.api.sets import FeatureSet, PreparedSet
from harness.api.task import EvaluationProtocol
from harness.cells.recipe import LossTerm, Recipe, Stage
from harness.core.identity import digest

RULES = 2
"""The present rules by which this harness trains. 1: every cell drew weights of its own. 2: cells of one seed share the
start of what they have in common, and the random numbers of every step.
"""


class Variant(Hashed):
    """How the backbone is treated: `base` (no refiner), or a refiner with a prior, a placement and a regime.

    Without a refiner, the regime `from_base` is `base_continued`: the trained base, trained for as many steps again.
    """

    hashed_when_set = ("stages",)

    refiner: PartRef | None = None
    prior: PartRef | None = None
    placement: Placement = "image"
    regime: Regime = "joint"
    features: FeaturePolicy = "tile"
    """Which image the prior saw: the training tile, the whole source image, or the live batch."""
    losses: tuple[LossTerm, ...] = ()
    """What the refiner's training adds to the recipe's losses, on the final restoration."""
    stages: tuple[Stage, ...] = ()
    """The refiner's own stages, which divide the last stage of the recipe. One without losses uses that stage's."""


class Cell(Hashed):
    """One training identity. Test splits are not in it: adding a test set evaluates, it does not retrain.

    A cell without a backbone is the `input`: the degraded image itself, which every table shows.
    """

    hashed_when_set = ("rules",)

    task: PartRef
    train: PartRef
    backbone: PartRef | None
    variant: Variant = Variant()
    recipe: Recipe = Recipe()
    seed: int = 0
    base: Cell | None = None
    """The base cell whose checkpoint the regimes `from_base` and `frozen` start from."""
    rules: PositiveInt = 1
    """The rules of training (`RULES`) that the cell was planned under. Earlier releases did not write them down."""
    prior_source: Cell | None = None
    """The cell that trains the network behind the prior (prior `restoration`)."""

    def content(self) -> dict[str, Any]:
        """The resolved content that identity hashes. Required cells stand in it by id."""
        if self.backbone is None:
            return {"kind": "input", "task": self.task.identity()}
        content = self.identity(exclude={"base", "prior_source"})
        content["kind"] = "cell"
        content["base"] = self.base.id if self.base else None
        return content

    @cached_property
    def id(self) -> str:
        """12 hex digits; the same for the same resolved content on every machine."""
        return digest(self.content(), 12)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Cell:
        """A copy whose id is computed anew; pydantic would copy the cached id."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("id", None)
        return copied

    @property
    def is_base(self) -> bool:
        """Whether the cell is its backbone alone, neither refined nor continued."""
        return self.backbone is not None and self.variant.refiner is None and self.base is None

    @property
    def ready_made(self) -> bool:
        """Whether the cell is a backbone with published weights that is not trained further."""
        return self.is_base and self.backbone is not None and self.backbone.weights is not None

    @property
    def requires(self) -> tuple[Cell, ...]:
        """Cells whose checkpoints must exist before this one can start."""
        return tuple(cell for cell in (self.base, self.prior_source) if cell is not None)

    @property
    def loss_terms(self) -> tuple[LossTerm, ...]:
        """Every loss of the training: each stage's, and what the refiner adds."""
        return (
            tuple(term for stage in (*self.recipe.parts, *self.variant.stages) for term in stage.losses or ())
            + self.variant.losses
        )

    @property
    def train_set(self) -> PreparedSet:
        """The tiles of the last stage, which are the reference of derived priors."""
        return self.train_sets[-1]

    @property
    def train_sets(self) -> tuple[PreparedSet, ...]:
        """The tiles of every stage."""
        stride = self.recipe.stride
        return tuple(
            PreparedSet(dataset=self.train, task=self.task, split="train", tile=tile, stride=stride or tile)
            for tile in self.recipe.stored_tiles
        )

    def test_set(self, dataset: PartRef, split: str = "test", draw: Draw = "named") -> PreparedSet:
        """Whole images, with the random numbers that a protocol asks for (`draw`)."""
        return PreparedSet(dataset=dataset, task=self.task, split=split, draw=draw)

    def train_features(self, samples: PreparedSet | None = None) -> FeatureSet | None:
        """The cached prior rows of a train set (else the last stage's); None without a prior or with live features."""
        samples = samples or self.train_set
        if self.variant.prior is None or self.variant.features == "live":
            return None
        augment: Augment = self.recipe.augment if self.variant.features == "tile" else "none"
        return FeatureSet(
            prior=self.variant.prior,
            samples=samples,
            reference=samples,
            augment=augment,
            policy=self.variant.features,
        )

    def test_features(self, samples: PreparedSet) -> FeatureSet | None:
        """The cached prior rows of whole test images; None without a prior."""
        if self.variant.prior is None:
            return None
        # Test images are whole under either policy, but the mean of the train rows is not the same.
        policy: Literal["tile", "image"] = "image" if self.variant.features == "image" else "tile"
        return FeatureSet(prior=self.variant.prior, samples=samples, reference=self.train_set, policy=policy)


def evaluation_id(cell: Cell, samples: PreparedSet, protocol: EvaluationProtocol) -> str:
    """Identity of one cell's checkpoint on one test split under one protocol, 12 hex digits."""
    return digest({"cell": cell.id, "samples": samples.identity(), "protocol": protocol.identity()}, 12)
