"""How a cell is trained: the resolved recipe, its stages and its losses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from harness.api.reference import Augment, Frozen, Hashed, PartRef


class LossTerm(Hashed):
    """One term of the training loss: weight × loss(restored, truth)."""

    part: PartRef
    weight: PositiveFloat = 1.0


class Stage(Hashed):
    """A part of the training. Fields that it leaves out are the recipe's."""

    steps: PositiveInt
    """Optimizer steps of this stage."""
    patch: PositiveInt | None = None
    batch: PositiveInt | None = None
    micro_batch: PositiveInt | None = None
    lr: PositiveFloat | None = None
    betas: tuple[float, float] | None = None
    trains: tuple[str, ...] = Field((), alias="learns")
    """Modules that train, as `backbone.decomposition` or `refiner`; all when empty."""
    losses: tuple[LossTerm, ...] | None = None
    restart: bool = False
    """Whether the optimizer and the learning rate start anew; otherwise they continue."""


class Cycle(Frozen):
    """One fall of the learning rate from its peak: half a cosine over `steps` steps down (or up) to `lr_min`."""

    steps: PositiveInt
    lr_min: float = Field(ge=0)


class PresetRef(Frozen):
    """The preset that a recipe was made of (harness.recipes.presets), and what the suite set above it."""

    name: str
    """`restormer/derain`."""
    version: PositiveInt
    changed: tuple[str, ...] = ()
    """Fields of the recipe."""


class Recipe(Hashed):
    """How a cell is trained: all that changes the result. Settings of the run itself (checkpoint interval, …) are in
    `Run`.

    The defaults are those of the smoke suite: small enough for a CPU.
    """

    unhashed = ("preset",)

    steps: PositiveInt = 300
    """Optimizer steps."""
    batch: PositiveInt = 8
    """Images per optimizer step, over all processes and accumulation."""
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
    """With sgd the first one is the momentum."""
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
        """Training tiles seen over all steps. Neither accumulation nor the number of processes changes it."""
        return sum(part.steps * (part.batch or self.batch) for part in self.stages or (Stage(steps=self.steps),))

    @property
    def for_refiner(self) -> Recipe:
        """The recipe for a refiner alone: stages that do not train it are left out, their steps go to the last."""
        kept = [stage for stage in self.stages if not stage.trains or "refiner" in stage.trains]
        if len(kept) in (0, len(self.stages)):
            return self
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
