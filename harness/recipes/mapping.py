"""Recipes, and the parts that they name, as a suite file or a preset file writes them: names not yet looked up.

Validation is strict: text that looks like a number is a mistake, not a number. What a file sets is told apart from
defaults by `model_fields_set`, so that mappings can be laid over each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from harness.cells.recipe import Recipe, Stage


class Strict(BaseModel):
    """Base of what a suite file holds: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError(
            "label_type",
            "expected a label of printable characters",
            {"hint": "remove line breaks and control characters"},
        )
    if text[:1] in _FORMULA:
        what = f"expected a label that begins with another character than {' '.join(_FORMULA)}"
        raise PydanticCustomError("label_start", what, {"hint": "spreadsheets take such a text for a formula"})
    return text


_FORMULA = "=+-@"
"""A text that begins with one of these is a formula to the programs that read CSV."""

Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
"""How tables call something; never part of a cell's identity."""


class PartMapping(Strict):
    """A part by name. Every further key is one of the part's options."""

    model_config = ConfigDict(extra="allow")

    name: str
    """As `bench list` shows it."""
    label: Label | None = None
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

    weight: float = Field(1.0, ge=0)
    """Factor of this term in the sum."""
    refined_weight: float | None = Field(None, ge=0)
    """In place of `weight` on the restoration that a refiner makes; zero on either side leaves the term out there."""


@dataclass(frozen=True)
class NamedPart:
    """Lets a bare name stand for a mapping, and tells harness.spec.json_schema which parts go here."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._mapping, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"x-kind": self.kind}

    @staticmethod
    def _mapping(value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict | PartMapping):
            return value
        raise PydanticCustomError("part_type", "expected a name, or a mapping with `name` and options")


Loss: TypeAlias = Annotated[LossMapping, NamedPart("loss")]


class StageMapping(Stage):
    """A part of the training, with losses by name. Fields that it leaves out are the recipe's."""

    model_config = ConfigDict(strict=True)

    losses: tuple[Loss, ...] | None = Field(None, min_length=1)  # type: ignore[assignment]


class RecipeMapping(Recipe):
    """How cells are trained. Fields left out come from the block, else from the suite's defaults, else from here."""

    model_config = ConfigDict(strict=True)

    losses: tuple[Loss, ...] = Field((), min_length=1)  # type: ignore[assignment]
    """Terms of the training loss, which are summed. When left out: the network's own losses, or else charbonnier."""
    stages: tuple[StageMapping, ...] = ()
    """Parts of the training, one after the other, which take `steps` together; a single one when left out."""
    preset: str | None = None  # type: ignore[assignment]
    """A whole recipe by name: official, proxy, or a name that `bench list recipes` shows. The other keys change it."""
    label: Label | None = None
    """How tables tell this recipe from another one."""
