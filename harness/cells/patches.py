"""What training cuts from images: the sides of patches, and the regions that they are cut from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from harness.api.reference import Frozen

MOST = 1_000_000_000
"""No count of steps, samples or pixels is larger; ten times the longest training of a published recipe is less."""

Side = Annotated[int, Field(gt=0, le=MOST)]
Sides = tuple[Side, Side]
"""Height and width, pixels."""


def _patch(value: Any) -> Any:
    """One message for whatever is no patch; each member of the union would have one of its own."""
    sides = value if isinstance(value, list | tuple) else [value]
    whole = value == "whole" if isinstance(value, str) else all(type(side) is int for side in sides)
    if not whole or (isinstance(value, list | tuple) and len(sides) != 2):
        what = "expected a side in pixels, [height, width], or whole"
        raise PydanticCustomError("patch_type", what, {"hint": "patch: 128, patch: [256, 384], or patch: whole"})
    if not isinstance(value, str) and not all(0 < side <= MOST for side in sides):
        bound = "more than 0" if min(sides) <= 0 else f"at most {MOST}"
        raise PydanticCustomError("patch_range", f"expected {bound}" if value is sides[0] else f"sides are {bound}")
    return sides[0] if not isinstance(value, str) and len(set(sides)) == 1 else value  # one square has one id


Patch = Annotated[Side | Sides | Literal["whole"], BeforeValidator(_patch)]
"""What training sees of an image: a square of that side, a height and a width, or all of it."""


def sides_of(patch: int | Sides | str | None) -> Sides | None:
    """Height and width of a patch, pixels; None for whole images."""
    if patch is None or isinstance(patch, str):
        return None
    return (patch, patch) if isinstance(patch, int) else patch


def shown_patch(patch: int | Sides | str | None) -> str:
    """A patch as a suite writes it."""
    return f"[{patch[0]}, {patch[1]}]" if isinstance(patch, tuple) else str(patch)


class Regions(Frozen):
    """Images count as several: squares of `side` pixels, one every `stride` pixels, the last ones at the far edges.

    Each is one sample of an epoch, and crops lie within it: the sub-images into which authors cut their training sets.
    """

    model_config = ConfigDict(strict=True)

    side: Side
    stride: Side
    above: Side | None = None
    """Images with a side of at most so many pixels are one region, whole; null: those that hold no square."""

    @property
    def whole_up_to(self) -> int:
        """The longest shortest side, pixels, of an image that is one region."""
        return self.side - 1 if self.above is None else max(self.above, self.side - 1)
