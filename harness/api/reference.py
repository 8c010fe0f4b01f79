"""References to parts with all options filled in: the atoms that cells, sets of data and jobs are made of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Base of the small immutable values that travel in job files and records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PartRef(Frozen):
    """A part by name, with every option filled.

    `version` is the part's own (see core.signature). `digest` names the content behind it: a data set's images, a
    prior's weights, or the id of the cell that trains them. `of` is the part that this one is derived from (the
    controls `shuffled` and `mean` are made of another prior).
    """

    name: str
    version: str = "1"
    options: dict[str, Any] = Field(default_factory=dict)
    digest: str | None = None
    of: PartRef | None = None

    def content(self) -> dict[str, Any]:
        """What identity hashes: everything above, nothing else (labels and paths live elsewhere)."""
        return self.model_dump(mode="json", exclude_none=True)


PriorRef = Any
"""Annotation of an option that names another prior. The part gets its PartRef; the rows come through `derive`."""

CellRef = Any
"""Annotation of an option that names a cell to train first. The part gets its id, and its network as `network`."""

Placement = Literal["image", "features"]
Regime = Literal["joint", "from_base", "frozen"]
FeaturePolicy = Literal["tile", "image", "live"]
Augment = Literal["none", "flip", "dihedral"]

ORIENTATIONS: dict[Augment, int] = {"none": 1, "flip": 2, "dihedral": 8}
"""How many orientations of a tile training may see: as drawn; and mirrored left-right; all eight of the square."""
