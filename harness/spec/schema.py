"""The suite file as pydantic models: its shape, not yet its meaning (names and options are checked in `expand`).

Validation is strict: text that looks like a number is a mistake, not a number. What a file sets is told apart from
defaults by `model_fields_set`, so that the suite's defaults, a block and an axis can be laid over each other.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from harness.api.reference import FeaturePolicy, Placement, Regime
from harness.cells.suite import Run
from harness.core.errors import Problem, did_you_mean
from harness.core.yaml import Path, Place, YamlNode
from harness.recipes.mapping import BackboneMapping, Label, NamedPart, PartMapping, RecipeMapping, Strict

AXES = ("task", "dataset", "backbone", "variant", "recipe")
"""What a block varies, in the order of its product; the last one changes fastest, and seeds faster still."""


CONTINUED = "base_continued"
"""The variant that is the trained base, trained for as many steps again."""

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]

Task: TypeAlias = Annotated[PartMapping, NamedPart("task")]
Dataset: TypeAlias = Annotated[PartMapping, NamedPart("dataset")]
Backbone: TypeAlias = Annotated[BackboneMapping, NamedPart("backbone")]
Refiner: TypeAlias = Annotated[PartMapping, NamedPart("refiner")]
Prior: TypeAlias = Annotated[PartMapping, NamedPart("prior")]
Metric: TypeAlias = Annotated[PartMapping, NamedPart("metric")]


def _variant(value: Any) -> Any:
    if value == "base":
        return {}
    if value == CONTINUED:
        return {"regime": "from_base"}
    if isinstance(value, dict):
        return value
    near = did_you_mean(value, ("base", CONTINUED)) if isinstance(value, str) else ""
    hint = near if near.startswith("did you mean") else "a refiner stands in a mapping: {refiner: NAME, prior: NAME}"
    what = "expected `base`, `base_continued`, or a mapping with `refiner` and `prior`"
    raise PydanticCustomError("variant_type", what, {"hint": hint})


def _policy(value: Any) -> Any:
    if value == "tile":
        raise PydanticCustomError(
            "features_name", "tile is now called crop", {"hint": "features: crop, and crop: grid in the recipe"}
        )
    return value


class VariantMapping(Strict):
    """How the backbone is treated: without a refiner (`base`), or with a refiner that a prior guides."""

    refiner: Refiner | None = None
    prior: Prior | None = None
    placement: Placement = "image"
    """Where the refiner sits: on the image, or on the backbone's features. Default: the refiner's first placement."""
    regime: Regime = "joint"
    """joint: both train from scratch; from_base: both from the trained base cell; frozen: only the refiner trains.
    from_base without a refiner is base_continued."""
    features: Annotated[FeaturePolicy | None, BeforeValidator(_policy)] = None
    """What the prior sees in training: the whole degraded image; the very crop (exact, where the recipe has `crop:
    grid` and the degraded images are stored); or the live batch. Null: `crop` where that is possible, else `image`."""
    views: Literal[1, 8] = 1
    """With the policy `image`: 1, one vector an image; 8, one for every orientation that the recipe draws."""
    base_recipe: RecipeMapping | None = None
    """For from_base and frozen: where the base cell's recipe differs from this cell's."""
    continued: bool = True
    """For from_base and frozen: whether `base_continued` stands beside it, the base with as many further steps."""
    label: Label | None = None
    """How tables call it; never part of a cell's identity."""


Variant: TypeAlias = Annotated[
    VariantMapping, BeforeValidator(_variant, json_schema_input_type=Literal["base", "base_continued"] | VariantMapping)
]


class CellMapping(Strict):
    """A base cell that a part needs, e.g. the network behind the prior `restoration`."""

    task: Task
    backbone: Backbone
    dataset: Dataset | None = None
    """The consuming cell's when left out."""
    seed: Seed | None = None
    """The consuming cell's when left out."""
    recipe: RecipeMapping | None = None
    """Laid over the consuming cell's recipe."""


class Defaults(Strict):
    """One value for each of a block's fields, used where a block says nothing."""

    task: Task | None = None
    dataset: Dataset | None = None
    backbone: Backbone | None = None
    variant: Variant | None = None
    seeds: tuple[Seed, ...] | None = Field(None, min_length=1)
    """Repetitions of every cell; [0] when left out."""
    test: tuple[Dataset, ...] | None = Field(None, min_length=1)
    """Data sets whose test split is evaluated; the one trained on when left out."""
    test_options: tuple[dict[str, Any], ...] | None = Field(None, min_length=1)
    """Options of the task under which every test set is evaluated, each in columns of its own, as [{sigma: 15},
    {sigma: 25}]; {} stands for the task as it is. When left out: the task as it is."""
    recipe: RecipeMapping | None = None


class Axes(Strict):
    """Values by axis."""

    task: tuple[Task, ...] | None = Field(None, min_length=1)
    dataset: tuple[Dataset, ...] | None = Field(None, min_length=1)
    backbone: tuple[Backbone, ...] | None = Field(None, min_length=1)
    variant: tuple[Variant, ...] | None = Field(None, min_length=1)
    recipe: tuple[RecipeMapping, ...] | None = Field(None, min_length=1)


class Exclude(Strict):
    """Leaves out the combinations that match all the keys given.

    A pattern is a name or label (bare, or with the marks of tables: `derain (synthetic)`), a mapping (every key must
    match), or a list of patterns (one must match). The variant `base_continued` is also the one that stands beside
    `from_base` and `frozen`.
    """

    task: Any = None
    dataset: Any = None
    backbone: Any = None
    variant: Any = None
    recipe: Any = None
    seed: Seed | tuple[Seed, ...] | None = None


class Published(Strict):
    """A number that a paper or a repository prints of a block's one network. It stands beside the measured one in a
    table of its own, and changes no result."""

    test: str | None = None
    """The data set, by name; none where `average` is given."""
    average: str | None = None
    """Instead of a data set: a mean over several, as `derain5`."""
    metric: str
    """As records call it: `psnr`, `lpips(net=vgg)`."""
    protocol: str
    """The name of the protocol by which it was taken."""
    value: float
    source: str = Field(min_length=1)
    """Where it is printed: a page, a table, a file."""
    group: str = ""
    """The group of the images that it is a mean over, as `indoor`; all of them when left out."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The options of the task with which the inputs were made, as {sigma: 25}."""

    @model_validator(mode="after")
    def _of_one_thing(self) -> Published:
        if (self.test is None) == (self.average is None):
            raise PydanticCustomError(
                "published_test",
                "expected `test` or `average`",
                {"hint": "name the data set, or the mean over several"},
            )
        return self


class Block(Defaults):
    """Cells that are declared together: the product of the matrix, the zipped axes and the seeds."""

    matrix: Axes | None = None
    """Axes that are multiplied."""
    zip: Axes | None = None
    """Axes of one length that go in lockstep, multiplied with the matrix."""
    exclude: tuple[Exclude, ...] = ()
    published: tuple[Published, ...] = ()
    """What papers and repositories print of the block's network, to be compared with what is measured here."""


class SuiteFile(Strict):
    """A suite: which cells to train, and by which metrics to score them."""

    suite: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Its name; results go to a folder of this name."""
    description: str = ""
    include: tuple[str, ...] = ()
    """Files whose mappings are filled in below this one's and whose blocks come before; relative to this file."""
    plugins: tuple[str, ...] = ()
    """Python files with parts of your own; relative to this file."""
    metrics: tuple[Metric, ...] = Field((PartMapping(name="psnr"), PartMapping(name="ssim")), min_length=1)
    """By name, or with options. A metric gives one number per image; reports average them."""
    protocols: tuple[str, ...] | None = Field(None, min_length=1)
    """How restored images are scored, by `name` or `name/vN`, each protocol in columns of its own. When left out: every
    task's own protocol."""
    allow_overlap: bool = False
    """Whether networks may be tested on pictures that they were trained on: such a test set is else refused. Every
    table then names it."""
    run: Run = Run()
    """How jobs run. Nothing here changes results but `cpus`, the number of threads: sums of floats depend on it."""
    defaults: Defaults = Defaults()
    blocks: tuple[Block, ...] = Field(min_length=1)

    _tree: YamlNode = PrivateAttr(default_factory=lambda: YamlNode({}, Place("(suite)")))
    _problems: tuple[Problem, ...] = PrivateAttr(())
    _cut: tuple[Path, ...] = PrivateAttr(())

    @property
    def tree(self) -> YamlNode:
        """The same content with its places, for messages. Its paths are those of the models."""
        return self._tree

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Mistakes already found. What they touch has been left out of the models; `expand` raises them."""
        return self._problems

    def problem(self, path: Path, what: str, hint: str = "") -> Problem:
        """A mistake at a path of the models, with its place in the file."""
        return self._tree.nearest(path).problem(what, hint)

    def is_whole(self, path: Path) -> bool:
        """Whether nothing at or below a path of the models was left out for a mistake."""
        own = self._tree.nearest(path).path
        return not any(cut[: len(own)] == own for cut in self._cut)
