"""Priors: frozen extractors G that give one vector or map per image, and the controls made from their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from harness.api.traits import Condition, Traits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

PriorDim: TypeAlias = int | tuple[int, int, int]
"""Numbers D of a prior's vectors; or D, rows and columns of its maps."""


@dataclass(frozen=True, kw_only=True)
class PriorTraits(Traits):
    """What a prior declares."""

    derived: bool = False
    """Whether it is a control, made from another prior's rows or from sample keys alone (`DerivedPrior`)."""
    maps: Condition | None = None
    """When it gives a map in place of a vector (`MapPrior`); never when None. A control made from another prior's rows
    gives what that prior gives."""
    any_channels: bool = False
    """Whether it takes degraded images as they are, whatever their channels. Others see RGB (harness.models.priors)."""


class Prior(Protocol):
    """A frozen extractor G: one vector per image. May be an nn.Module.

    Constructor: keyword-only options; an option annotated `CellRef` makes the harness train that cell first and give
    its network as the positional `network`.
    """

    traits: PriorTraits
    dim: int

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded RGB images to vectors, B×D float32, L2-normalised. Values may leave [0, 1]; clamp them here if
        needed. With the trait `any_channels`, images as they are.

        Runs on the images' device. Row b depends on image b alone.
        """


class MapPrior(Prior, Protocol):
    """A prior whose rows are maps, B×D×h×w flattened to B×`dim`; each row has length 1 as a whole.

    A map spans the whole image: its first row and column of positions is at the top left.
    """

    shape: tuple[int, int, int]
    """D, rows h and columns w; `dim` is their product."""


class DerivedPrior(Protocol):
    """A control: vectors made from another prior's rows, or from sample keys alone.

    Constructor: keyword-only options; an option `of` annotated `PriorRef` names the prior whose rows it gets.
    """

    traits: PriorTraits

    def derive(
        self,
        rows_ND: np.ndarray | None,
        train_rows_MD: np.ndarray | None,
        keys: Sequence[str],
        images: Sequence[str],
    ) -> np.ndarray:
        """Rows for N samples. `keys` names every sample (and orientation), `images` the source image of each.

        All images of one scene have the same name, so that a control never takes one for a different image.
        """
