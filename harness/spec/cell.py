"""A cell: one training identity, and the two-level identity of what is trained and what is evaluated on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from harness.api.parts import EvaluationProtocol
from harness.api.reference import IDENTITY, Augment, FeaturePolicy, Frozen, PartRef, Placement, Regime
from harness.api.sets import FeatureSet, PreparedSet
from harness.core.identity import digest


class LossTerm(Frozen):
    """One term of the training loss: weight × loss(restored, truth)."""

    part: PartRef
    weight: PositiveFloat = 1.0


class Stage(Frozen):
    """A part of the training. What it leaves out is the recipe's."""

    steps: PositiveInt
    """Optimizer steps of this stage."""
    patch: PositiveInt | None = None
    batch: PositiveInt | None = None
    micro_batch: PositiveInt | None = None
    lr: PositiveFloat | None = None
    betas: tuple[float, float] | None = None
    learns: tuple[str, ...] = ()
    """Modules that learn, as `backbone.decomposition` or `refiner`; all when empty."""
    losses: tuple[LossTerm, ...] | None = None
    restart: bool = False
    """Whether optimizer and learning rate begin anew, as for another training; else they go on."""


class Cycle(Frozen):
    """One fall of the learning rate from its peak: half a cosine over `steps` steps down (or up) to `lr_min`."""

    steps: PositiveInt
    lr_min: float = Field(ge=0)


class PresetRef(Frozen):
    """The preset that a recipe was made of (harness.spec.presets), and what the suite set above it."""

    name: str
    """`restormer/derain`."""
    version: PositiveInt
    changed: tuple[str, ...] = ()
    """Fields of the recipe."""


class Recipe(Frozen):
    """How a cell is trained: all that changes the result. What does not (checkpoint interval, threads) is in `Run`.

    The defaults are those of the smoke suite: small enough for a CPU.
    """

    steps: PositiveInt = 300
    """Optimizer steps."""
    batch: PositiveInt = 8
    """Images an optimizer step, over all processes and accumulation."""
    patch: PositiveInt = 64
    """Side of the square training tiles, pixels."""
    stride: PositiveInt | None = None
    """Step between tiles when the train split is cut; the patch itself when null."""
    augment: Augment = "dihedral"
    """Orientations of a tile that training draws from: none, flip (2), dihedral (8)."""
    mixup: PositiveFloat | None = None
    """α of the Beta distribution by which samples of every other batch are mixed; null: no mixing."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    lr_min: float = Field(1e-6, ge=0)
    """Learning rate at the last step of the cosine."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of sgd the first is its momentum."""
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["cosine", "constant", "step", "linear"] = "cosine"
    """How the rate falls from the peak: half a cosine (or several, `cycles`), not at all, in jumps, or straight."""
    warmup: int = Field(0, ge=0)
    """Steps of linear warm-up."""
    hold: int = Field(0, ge=0)
    """Steps at the peak, after the warm-up, before the rate falls."""
    cycles: tuple[Cycle, ...] = ()
    """Several cosines one after the other, in place of one down to `lr_min`; each begins at the peak."""
    milestones: tuple[PositiveInt, ...] = ()
    """Schedule `step`: steps after which the rate is multiplied by `gamma`."""
    gamma: PositiveFloat = 0.5
    clip_grad: PositiveFloat | None = None
    """Largest norm of the gradient; null: not clipped."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    micro_batch: PositiveInt | None = None
    """Images a forward pass, the rest by gradient accumulation; null: the whole batch at once."""
    refined_weight: PositiveFloat = 1.0
    """λ₁ of eq. 8 of the PTG-RM paper: total loss = L(initial) + λ₁·L(refined)."""
    losses: tuple[LossTerm, ...] = (LossTerm(part=PartRef(name="charbonnier", options={"eps": 1e-3})),)
    stages: tuple[Stage, ...] = ()
    """Parts of the training one after the other, `steps` in all; one whole when empty."""
    preset: PresetRef | None = None
    """Where the fields come from. Not in identity: the same fields train the same cell."""

    @model_serializer(mode="wrap")
    def _without_origin(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if info.context == IDENTITY:
            content.pop("preset", None)
        return content

    @property
    def images(self) -> int:
        """Training tiles seen over all steps. Neither accumulation nor the number of processes changes it."""
        return sum(part.steps * (part.batch or self.batch) for part in self.stages or (Stage(steps=self.steps),))

    @property
    def of_refiner(self) -> Recipe:
        """The recipe where only a refiner learns: stages without it are left out, their steps go to the last."""
        kept = [stage for stage in self.stages if not stage.learns or "refiner" in stage.learns]
        if len(kept) in (0, len(self.stages)):
            return self
        rest = self.steps - sum(stage.steps for stage in kept[:-1])
        return self.model_copy(update={"stages": (*kept[:-1], kept[-1].model_copy(update={"steps": rest}))})

    @property
    def parts(self) -> tuple[Stage, ...]:
        """The stages with everything filled in; one that spans the recipe when it names none."""
        whole = {name: getattr(self, name) for name in ("patch", "batch", "micro_batch", "lr", "betas", "losses")}
        stages = self.stages or (Stage(steps=self.steps),)
        return tuple(
            stage.model_copy(update={name: value for name, value in whole.items() if getattr(stage, name) is None})
            for stage in stages
        )


class Variant(Frozen):
    """How the backbone is treated: `base` (no refiner), or a refiner with a prior, a placement and a regime."""

    refiner: PartRef | None = None
    prior: PartRef | None = None
    placement: Placement = "image"
    regime: Regime = "joint"
    features: FeaturePolicy = "tile"
    """Which image the prior saw: the training tile, the whole source image, or the live batch."""
    losses: tuple[LossTerm, ...] = ()
    """What the refiner's training adds to the recipe's losses, on the final restoration."""


class Cell(Frozen):
    """One training identity. Test splits are not in it: adding a test set evaluates, it does not retrain.

    A cell without a backbone is the `input`: the degraded image itself, which every table shows.
    """

    task: PartRef
    train: PartRef
    backbone: PartRef | None
    variant: Variant = Variant()
    recipe: Recipe = Recipe()
    seed: int = 0
    base: Cell | None = None
    """The base cell whose checkpoint the regimes `from_base` and `frozen` start from."""
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
        """A copy, which has an id of its own: pydantic would copy the cached one along."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("id", None)
        return copied

    @property
    def ready_made(self) -> bool:
        """Whether the cell is a backbone with published weights as it is, which nothing trains."""
        return self.backbone is not None and self.backbone.weights is not None and self.variant.refiner is None

    @property
    def requires(self) -> tuple[Cell, ...]:
        """Cells whose checkpoints must exist before this one can start."""
        return tuple(cell for cell in (self.base, self.prior_source) if cell is not None)

    @property
    def loss_terms(self) -> tuple[LossTerm, ...]:
        """Every loss of the training: each stage's, and what the refiner adds."""
        return tuple(term for part in self.recipe.parts for term in part.losses or ()) + self.variant.losses

    @property
    def train_set(self) -> PreparedSet:
        """The tiles of the last stage, which are the reference of derived priors."""
        return self.train_sets[-1]

    @property
    def train_sets(self) -> tuple[PreparedSet, ...]:
        """The tiles of every stage."""
        stride = self.recipe.stride
        return tuple(
            PreparedSet(dataset=self.train, task=self.task, split="train", tile=part.patch, stride=stride or part.patch)
            for part in self.recipe.parts
        )

    def test_set(self, dataset: PartRef, split: str = "test") -> PreparedSet:
        return PreparedSet(dataset=dataset, task=self.task, split=split)

    def train_features(self, samples: PreparedSet | None = None) -> FeatureSet | None:
        """The cached prior rows of a train set (the last); None without a prior or with live features."""
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
    return digest({"cell": cell.id, "samples": samples.identity(), "protocol": asdict(protocol)}, 12)
