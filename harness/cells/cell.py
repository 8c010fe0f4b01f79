"""A cell is one training. It has an id, and so has each evaluation of its checkpoint."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveInt

from harness.api.reference import FeaturePolicy, Hashed, PartRef, Placement, Regime
from harness.api.sets import FeatureSet, Samples, TestSet, samples_of
from harness.api.task import EvaluationProtocol
from harness.cells.recipe import LossTerm, Recipe, Stage
from harness.core.identity import canonical_json, joined_json, text_digest

RULES = 3
"""The present rules by which this harness trains. 1: every cell drew weights of its own. 2: cells of one seed share the
start of what they have in common, and the random numbers of every step. 3: crops, orientations and noise are drawn at
every step, from whole images.
"""
WHOLE_IMAGES = 3
"""The first rules of which results are this release's. What earlier ones planned is of an earlier release."""


def _policy(value: Any) -> Any:
    """Earlier releases called the policy `crop` by another name in what they stored."""
    return "crop" if value == "tile" else value


class Variant(Hashed):
    """How the backbone is treated: `base` (no refiner), or a refiner with a prior, a placement and a regime.

    Without a refiner, the regime `from_base` is `base_continued`: the trained base, trained for as many steps again.
    """

    hashed_when_set = ("stages", "views")

    refiner: PartRef | None = None
    prior: PartRef | None = None
    placement: Placement = "image"
    regime: Regime = "joint"
    features: Annotated[FeaturePolicy, BeforeValidator(_policy)] = "image"
    """Which image the prior sees in training: the whole one, the crop itself, or the live batch."""
    views: Literal[1, 8] = 1
    """Under the policy `image`: 1, the upright image alone; 8, every orientation that the recipe draws has a vector."""
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
            rules = {"rules": self.rules} if self.rules >= 3 else {}  # earlier releases left them out
            return {"kind": "input", "task": self.task.identity(), **rules}
        content = self.identity(exclude={"base", "prior_source"})
        content["kind"] = "cell"
        content["base"] = self.base.id if self.base else None
        if self.is_earlier and self.variant.features == "crop":
            content["variant"]["features"] = "tile"  # as `_policy` says
        return content

    @property
    def is_earlier(self) -> bool:
        """Whether an earlier release planned it, which cut and degraded its images beforehand."""
        return self.rules < WHOLE_IMAGES

    @cached_property
    def id(self) -> str:
        """12 hex digits; the same for the same resolved content on every machine."""
        return text_digest(self.canonical_content(), 12)

    def canonical_content(self, *without: str) -> str:
        """The canonical JSON of `content` but for some fields, put together of that of its parts, which thousands of
        cells share."""
        if self.backbone is None or self.is_earlier:
            return canonical_json({name: value for name, value in self.content().items() if name not in without})
        texts = {"kind": '"cell"', "base": f'"{self.base.id}"' if self.base else "null"}
        for name in _OWN.difference(without):
            value = getattr(self, name)
            texts[name] = value.canonical if isinstance(value, Hashed) else canonical_json(value)
        return joined_json(texts)

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
    def train_samples(self) -> Samples:
        """The training images, which all stages cut their patches from."""
        return samples_of(self.train, self.task, "train")

    def test_set(self, dataset: PartRef) -> TestSet:
        """A test split as the cell's own task sees it, of a data set that brings what the training set brings."""
        return TestSet(dataset=dataset, task=self.task)

    def train_features(self, stage: int) -> FeatureSet | None:
        """The cached prior rows of the training images in a stage; None without a prior or with live features."""
        prior, policy = self.variant.prior, self.variant.features
        if prior is None or policy == "live":
            return None
        turned = policy == "crop" or self.variant.views == 8
        return FeatureSet(
            prior=prior,
            samples=self.train_samples,
            reference=self.train_samples,
            augment=self.recipe.augment if turned else "none",
            policy=policy,
            **(self._cut(stage) if policy == "crop" else {}),
        )

    def test_features(self, samples: Samples) -> FeatureSet | None:
        """The cached prior rows of whole test images; None without a prior."""
        if self.variant.prior is None:
            return None
        # Test images are whole under every policy, but the mean of the train rows is not the same.
        crops = self.variant.features == "crop"
        return FeatureSet(
            prior=self.variant.prior,
            samples=samples,
            reference=self.train_samples,
            policy="crop" if crops else "image",
            **(self._cut(len(self.recipe.crops) - 1) if crops else {}),
        ).shared

    def _cut(self, stage: int) -> dict[str, Any]:
        """What a feature set of crops says of how they are cut."""
        recipe = self.recipe
        return {"grid": recipe.grid(stage), "resize": recipe.resize, "pad": recipe.pad}


_OWN = frozenset(Cell.model_fields) - {"base", "prior_source"}
"""The fields that a cell's identity holds as they are; of the cells that it rests on it holds the ids."""


def evaluation_id(cell: Cell, samples: Samples, protocol: EvaluationProtocol) -> str:
    """Identity of one cell's checkpoint on one test split under one protocol, 12 hex digits."""
    texts = {"cell": f'"{cell.id}"', "samples": samples.canonical, "protocol": canonical_protocol(protocol)}
    return text_digest(joined_json(texts), 12)


@cache
def canonical_protocol(protocol: EvaluationProtocol) -> str:
    """The canonical JSON of a protocol's identity."""
    return canonical_json(protocol.identity())
