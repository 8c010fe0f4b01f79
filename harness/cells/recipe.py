"""How a cell is trained: the resolved recipe, its stages and its losses."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from harness.api.reference import Augment, Frozen, Hashed, PartRef
from harness.api.sets import Grid
from harness.cells.patches import MOST, Patch, Regions, Sides, sides_of

Count = Annotated[int, Field(gt=0, le=MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=MOST)]
"""A count that may be 0."""


class LossTerm(Hashed):
    """One term of the training loss: weight × loss(restored, truth)."""

    hashed_when_set = ("refined_weight",)

    part: PartRef
    weight: float = Field(1.0, ge=0)
    """Zero with a `refined_weight`: the term is of the final restoration alone."""
    refined_weight: float | None = Field(None, ge=0)
    """In place of `weight` on a refiner's restoration Ī; λ₁ multiplies it as well. Null: the same weight."""


class Stage(Hashed):
    """A part of the training. Fields that it leaves out are the recipe's."""

    hashed_when_set = ("milestones", "gamma")

    steps: Count
    """Optimizer steps of this stage."""
    patch: Patch | None = None
    batch: Count | None = None
    micro_batch: Count | None = None
    lr: PositiveFloat | None = None
    betas: tuple[float, float] | None = None
    """Of the optimizer that the stage starts: in a later stage than the first one only with `restart`."""
    trains: tuple[str, ...] = Field((), alias="learns")
    """Modules that train, as `backbone.decomposition` or `refiner`; all when empty."""
    losses: tuple[LossTerm, ...] | None = None
    restart: bool = False
    """Whether the optimizer and the learning rate start anew; otherwise they continue."""
    milestones: tuple[Count, ...] | None = None
    """Schedule `step`, in a stage that restarts: its own milestones, counted from its first step; [] for none."""
    gamma: PositiveFloat | None = None
    """The factor at its own milestones; the recipe's when left out."""

    def trains_in(self, root: Literal["backbone", "refiner"]) -> bool:
        """Whether the stage trains anything of the backbone, or of the refiner."""
        return not self.trains or any(module.partition(".")[0] == root for module in self.trains)


class Cycle(Frozen):
    """One fall of the learning rate from its peak: half a cosine over `steps` steps down (or up) to `lr_min`."""

    steps: Count
    lr_min: float = Field(ge=0)


Chance = Annotated[float, Field(gt=0, le=1)]
"""A probability that is not 0."""


class Mixup(Frozen):
    """Samples of a batch are mixed: λ·one + (1 - λ)·another, inputs and truths alike (arXiv 1710.09412).

    A bare number α stands for `{alpha: α}`, which mixes as Restormer's `Mixing_Augment` with `use_identity` does.
    """

    model_config = ConfigDict(strict=True)

    alpha: PositiveFloat
    """λ comes from Beta(α, α)."""
    chance: Chance = 0.5
    """Probability that a batch is mixed; 1 for every batch."""
    per: Literal["batch", "sample"] = "batch"
    """What has a λ of its own."""
    after: CountOrZero = 0
    """Steps before the first mixed batch, counted over the whole training."""
    groups: Count = 1
    """Equal groups of successive samples, each mixed as a batch of its own, as each GPU of the authors mixes its share.

    It holds however many processes there are; more processes than groups make a group each.
    """

    @model_serializer(mode="wrap")
    def _as_alpha(self, handler: SerializerFunctionWrapHandler) -> Any:
        """A bare α where nothing else is set, as older suites and results have it."""
        content = handler(self)
        return self.alpha if self == Mixup(alpha=self.alpha) else content


def _mixup(value: Any) -> Any:
    return {"alpha": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Grain(Frozen):
    """Gaussian noise is added to the input of some samples, which is then clipped to [0, 1]."""

    model_config = ConfigDict(strict=True)

    chance: Chance
    """Probability for each sample."""
    sigma: PositiveFloat
    """Standard deviation, of images in [0, 1]; the largest one, with `least`."""
    least: PositiveFloat | None = None
    """The standard deviation is uniform in [`least`, `sigma`]; always `sigma` when null."""
    truth: bool = False
    """Whether the truth gets the very same noise."""


class Scale(Frozen):
    """Some samples are made smaller, by averaging over areas, before their patch is cut at random.

    Crops are larger by 1 / `least`, so that a patch can be cut from the smallest of them.
    """

    model_config = ConfigDict(strict=True)

    chance: Chance
    """Probability for each sample; the others keep their size."""
    least: float = Field(gt=0, lt=1)
    """The factor is uniform in [`least`, 1]."""


class Darken(Frozen):
    """The network sees the input of some samples darker than it is; losses see it as it is."""

    model_config = ConfigDict(strict=True)

    chance: Chance
    """Probability for each sample."""
    least: float = Field(2.0, ge=1, le=100)
    """The smallest divisor. It is uniform in `least`, `least` + 0.01, …, `most`."""
    most: float = Field(4.0, ge=1, le=100)


class PresetRef(Frozen):
    """The preset that a recipe was made of (harness.recipes.presets), and what the suite set above it."""

    name: str
    """`restormer/derain`."""
    version: Count
    changed: tuple[str, ...] = ()
    """Fields of the recipe."""


class Recipe(Hashed):
    """How a cell is trained: all that changes the result. Settings of the run itself (checkpoint interval, …) are in
    `Run`.

    The defaults are those of the smoke suite: small enough for a CPU.
    """

    unhashed = ("preset",)
    hashed_when_set = ("grain", "grey", "scale", "darken", "ema", "rates", "crop", "regions", "resize", "pad")

    steps: Count = 300
    """Optimizer steps."""
    batch: Count = 8
    """Images per optimizer step, over all processes and accumulation."""
    patch: Patch = 64
    """What training sees of an image, pixels: a square's side, [height, width], or `whole`: all of it, one image or
    frames of one size a batch."""
    crop: Literal["random", "grid"] = "random"
    """Where a patch is cut: at random at every draw, or at the places of a grid, each of which is one sample."""
    stride: Count | None = None
    """Step between the crops of a grid, pixels; the patch's shorter side when null."""
    regions: Regions | None = None
    """Large images as several samples an epoch; null: an image is one."""
    resize: Sides | None = None
    """[height, width], pixels, to which images are resized (bilinear) before they are cut; null: as they are."""
    pad: Literal["none", "reflect"] = "none"
    """Images smaller than the patch: refused, or continued by reflection on the right and below."""
    augment: Augment = "dihedral"
    """Orientations that training draws from: none, flip (2, left-right), flips (4), dihedral (8)."""
    mixup: Annotated[Mixup, BeforeValidator(_mixup, json_schema_input_type=PositiveFloat | Mixup)] | None = None
    """How samples are mixed. A bare number is α: every other batch, by chance, has one λ of Beta(α, α); null: none."""
    grain: Grain | None = None
    """Noise on the input, or on input and truth alike."""
    grey: Chance | None = None
    """Probability that a sample, input and truth, is made grey."""
    scale: Scale | None = None
    """Samples at several sizes."""
    darken: Darken | None = None
    """Inputs of several brightnesses."""
    optimizer: Literal["adam", "adamw", "radam", "sgd"] = "adamw"
    """`radam` decays weights apart from the gradient, as adamw does."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    lr_min: float = Field(1e-6, ge=0)
    """Learning rate at the last step of the cosine."""
    betas: tuple[float, float] = (0.9, 0.99)
    """With sgd the first one is the momentum."""
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["cosine", "constant", "step", "linear"] = "cosine"
    """How the rate falls from the peak: half a cosine (or several, `cycles`), not at all, in jumps, or straight."""
    warmup: CountOrZero = 0
    """Steps of linear warm-up."""
    hold: CountOrZero = 0
    """Steps at the peak, after the warm-up, before the rate falls."""
    cycles: tuple[Cycle, ...] = ()
    """Several cosines one after the other, in place of one down to `lr_min`; each begins at the peak."""
    milestones: tuple[Count, ...] = ()
    """Schedule `step`: steps after which the rate is multiplied by `gamma`."""
    gamma: PositiveFloat = 0.5
    rates: dict[str, PositiveFloat] | None = None
    """Module, as `backbone.denoise_net` → factor of the learning rate of its parameters."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the exponential moving average of the weights, which is evaluated in their place; null: no average."""
    clip_grad: PositiveFloat | None = None
    """Largest norm of the gradient; null: not clipped."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    micro_batch: Count | None = None
    """Images per forward pass, the rest by gradient accumulation; null: the whole batch at once."""
    refined_weight: PositiveFloat = 1.0
    """λ₁ of eq. 8 of the PTG-RM paper: total loss = L(initial) + λ₁·L(refined)."""
    losses: tuple[LossTerm, ...] = (LossTerm(part=PartRef(name="charbonnier", options={"eps": 1e-3})),)
    stages: tuple[Stage, ...] = ()
    """Parts of the training, one after the other, which take `steps` together; a single one when empty."""
    preset: PresetRef | None = None
    """Where the fields come from. Not in identity: the same fields train the same cell."""

    @property
    def images(self) -> int:
        """Training samples seen over all steps. Neither accumulation nor the number of processes changes it."""
        return sum(part.steps * (part.batch or self.batch) for part in self.stages or (Stage(steps=self.steps),))

    @property
    def alters_inputs(self) -> tuple[str, ...]:
        """The fields by which the network sees other images than those that were prepared."""
        return tuple(name for name in ("mixup", "grain", "grey", "scale", "darken") if getattr(self, name) is not None)

    @property
    def crops(self) -> tuple[Sides | None, ...]:
        """Height and width of what is cut in every stage, pixels; None: whole images.

        With `scale` it is larger than the patch, which is cut from what has been made smaller.
        """
        return tuple(self._crop(stage.patch or self.patch) for stage in self.stages or (Stage(steps=self.steps),))

    def _crop(self, patch: Patch) -> Sides | None:
        sides = sides_of(patch)
        least = 1.0 if self.scale is None else self.scale.least
        larger = [math.ceil(side / least - 1e-9) for side in sides or ()]  # as floats have it, 42 / 0.7 exceeds 60
        return (larger[0], larger[1]) if larger else None

    def grid(self, stage: int) -> Grid | None:
        """The crops of a stage where they are known beforehand; None with random ones, or whole images."""
        crop = self.crops[stage]
        if self.crop != "grid" or crop is None:
            return None
        return Grid(height=crop[0], width=crop[1], stride=self.stride or min(crop))

    @property
    def for_backbone(self) -> Recipe:
        """The recipe for a backbone alone: stages that train the refiner alone are left out."""
        return self._without_other_stages("backbone")

    @property
    def for_refiner(self) -> Recipe:
        """The recipe for a refiner on a frozen backbone: stages that do not train it are left out."""
        return self._without_other_stages("refiner")

    def _without_other_stages(self, root: Literal["backbone", "refiner"]) -> Recipe:
        """The recipe without the stages in which nothing of the root trains; their steps go to the last that is left.

        When none is left there are no stages: all steps are alike, with the recipe's own fields. A recipe whose losses
        are all in its stages has those of its last one.
        """
        kept = [stage for stage in self.stages if stage.trains_in(root)]
        if len(kept) == len(self.stages):
            return self
        if not kept:
            return self.model_copy(update={"stages": (), "losses": self.losses or self.stages[-1].losses})
        rest = self.steps - sum(stage.steps for stage in kept[:-1])
        return self.model_copy(update={"stages": (*kept[:-1], kept[-1].model_copy(update={"steps": rest}))})

    @property
    def parts(self) -> tuple[Stage, ...]:
        """The stages with all fields filled in; a single one when the recipe names none."""
        whole = {name: getattr(self, name) for name in ("patch", "batch", "micro_batch", "lr", "betas", "losses")}
        stages = self.stages or (Stage(steps=self.steps),)
        return tuple(
            stage.model_copy(update={name: value for name, value in whole.items() if getattr(stage, name) is None})
            for stage in stages
        )
