"""The suite file as pydantic models: its shape, not yet its meaning (names and options are checked in `expand`).

Validation is strict: text that looks like a number is a mistake, not a number. What a file sets is told apart from
defaults by `model_fields_set`, so that the suite's defaults, a block and an axis can be laid over each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    NonNegativeInt,
    PositiveFloat,
    PrivateAttr,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from harness.api.reference import FeaturePolicy, Placement, Regime
from harness.core.errors import Problem
from harness.core.yaml import Node, Path, Place
from harness.spec.cell import Recipe, Stage
from harness.spec.resolved import Run

AXES = ("task", "dataset", "backbone", "variant", "recipe")
"""What a block varies, in the order of its product; the last one changes fastest, and seeds faster still."""


class Spec(BaseModel):
    """Base of what a suite file holds: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PartMapping(Spec):
    """A part by name. Every further key is one of the part's options."""

    model_config = ConfigDict(extra="allow")

    name: str
    """As `bench list` shows it."""
    label: str | None = None
    """How tables call it; never part of a cell's identity."""

    @property
    def options(self) -> dict[str, Any]:
        """What the file gives besides the declared keys, not yet checked."""
        return self.model_extra or {}


class BackboneMapping(PartMapping):
    """A backbone by name, from scratch or with published weights."""

    weights: str | None = None
    """As `bench weights list` shows them. They bring the options that they were trained with, and are not trained."""


class LossMapping(PartMapping):
    """One term of the training loss, by name."""

    weight: PositiveFloat = 1.0
    """Factor of this term in the sum."""


@dataclass(frozen=True)
class _Kind:
    """Lets a bare name stand for a mapping, and tells the JSON Schema which names an editor may offer."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._mapping, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "x-kind": self.kind}, handler(schema)]}

    @staticmethod
    def _mapping(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict | PartMapping):
            return value
        raise PydanticCustomError("part_type", "expected a name, or a mapping with `name` and options")


Task: TypeAlias = Annotated[PartMapping, _Kind("task")]
Dataset: TypeAlias = Annotated[PartMapping, _Kind("dataset")]
Backbone: TypeAlias = Annotated[BackboneMapping, _Kind("backbone")]
Refiner: TypeAlias = Annotated[PartMapping, _Kind("refiner")]
Prior: TypeAlias = Annotated[PartMapping, _Kind("prior")]
Loss: TypeAlias = Annotated[LossMapping, _Kind("loss")]
Metric: TypeAlias = Annotated[str, Field(json_schema_extra={"x-kind": "metric"})]


class StageMapping(Stage):
    """A part of the training, with losses by name. What it leaves out is the recipe's."""

    model_config = ConfigDict(strict=True)

    losses: tuple[Loss, ...] | None = Field(None, min_length=1)  # type: ignore[assignment]


class RecipeMapping(Recipe):
    """How cells are trained. What is left out comes from the block, else from the suite's defaults, else from here."""

    model_config = ConfigDict(strict=True)

    losses: tuple[Loss, ...] = Field((), min_length=1)  # type: ignore[assignment]
    """Terms of the training loss, which are summed; when left out the network's own, else charbonnier."""
    stages: tuple[StageMapping, ...] = ()
    """Parts of the training one after the other, `steps` in all; one whole when left out."""
    preset: str | None = None  # type: ignore[assignment]
    """A whole recipe by name, which the other keys change: official, proxy, or as `bench list recipes` shows it."""
    label: str | None = None
    """How tables tell this recipe from another one."""


def _variant(value: Any) -> Any:
    if value == "base":
        return {}
    if isinstance(value, dict):
        return value
    raise PydanticCustomError("variant_type", "expected `base`, or a mapping with `refiner` and `prior`")


class VariantMapping(Spec):
    """How the backbone is treated: without a refiner (`base`), or with a refiner that a prior guides."""

    refiner: Refiner | None = None
    prior: Prior | None = None
    placement: Placement = "image"
    """Where the refiner sits: on the image, or on the backbone's features. Its own first choice when left out."""
    regime: Regime = "joint"
    """joint: both from scratch; from_base: both from the trained base cell on; frozen: only the refiner learns."""
    features: FeaturePolicy = "tile"
    """What the prior sees: the training tile, the whole source image, or the live batch."""
    base_recipe: RecipeMapping | None = None
    """For from_base and frozen: where the base cell's recipe differs from this cell's."""
    label: str | None = None
    """How tables call it; never part of a cell's identity."""


Variant: TypeAlias = Annotated[VariantMapping, BeforeValidator(_variant, json_schema_input_type=str | VariantMapping)]


class CellMapping(Spec):
    """A base cell that a part needs, e.g. the network behind the prior `restoration`."""

    task: Task
    backbone: Backbone
    dataset: Dataset | None = None
    """The consuming cell's when left out."""
    seed: NonNegativeInt | None = None
    """The consuming cell's when left out."""
    recipe: RecipeMapping | None = None
    """Laid over the consuming cell's."""


class Defaults(Spec):
    """One value for each of a block's fields, used where a block says nothing."""

    task: Task | None = None
    dataset: Dataset | None = None
    backbone: Backbone | None = None
    variant: Variant | None = None
    seeds: tuple[NonNegativeInt, ...] | None = Field(None, min_length=1)
    """Repetitions of every cell; [0] when left out."""
    test: tuple[Dataset, ...] | None = Field(None, min_length=1)
    """Data sets whose test split is evaluated; the one trained on when left out."""
    recipe: RecipeMapping | None = None


class Axes(Spec):
    """Values by axis."""

    task: tuple[Task, ...] | None = Field(None, min_length=1)
    dataset: tuple[Dataset, ...] | None = Field(None, min_length=1)
    backbone: tuple[Backbone, ...] | None = Field(None, min_length=1)
    variant: tuple[Variant, ...] | None = Field(None, min_length=1)
    recipe: tuple[RecipeMapping, ...] | None = Field(None, min_length=1)


class Exclude(Spec):
    """Leaves out the combinations that match all the keys given.

    A pattern is a name or label, a mapping of which every key must match, or a list of such, of which one must match.
    """

    task: Any = None
    dataset: Any = None
    backbone: Any = None
    variant: Any = None
    recipe: Any = None
    seed: NonNegativeInt | tuple[NonNegativeInt, ...] | None = None


class Block(Defaults):
    """Cells that are declared together: the product of the matrix, the zipped axes and the seeds."""

    matrix: Axes | None = None
    """Axes that are multiplied."""
    zip: Axes | None = None
    """Axes of one length that go in lockstep, multiplied with the matrix."""
    exclude: tuple[Exclude, ...] = ()


class SuiteFile(Spec):
    """A suite: which cells to train and how to judge them."""

    suite: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Its name; results go to a folder of this name."""
    description: str = ""
    include: tuple[str, ...] = ()
    """Files whose mappings are filled in below this one's and whose blocks come before; relative to this file."""
    plugins: tuple[str, ...] = ()
    """Python files with parts of your own; relative to this file."""
    metrics: tuple[Metric, ...] = Field(("psnr", "ssim"), min_length=1)
    run: Run = Run()
    """How jobs run: nothing here changes results."""
    defaults: Defaults = Defaults()
    blocks: tuple[Block, ...] = Field(min_length=1)

    _tree: Node = PrivateAttr(default_factory=lambda: Node({}, Place("(suite)")))
    _problems: tuple[Problem, ...] = PrivateAttr(())
    _cut: tuple[Path, ...] = PrivateAttr(())

    @property
    def tree(self) -> Node:
        """The same content with its places, for messages. Its paths are those of the models."""
        return self._tree

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Mistakes already found. What they touch has been left out of the models; `expand` raises them."""
        return self._problems

    def is_whole(self, path: Path) -> bool:
        """Whether nothing at or below a path of the file was left out for a mistake."""
        return not any(cut[: len(path)] == path for cut in self._cut)
