"""Priors: frozen extractors G that give one vector per image, and the controls made of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.api.traits import Traits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PriorTraits(Traits):
    """What a prior declares."""

    derived: bool = False
    """Whether it is a control, made of another prior's rows or of nothing but keys (`DerivedPrior`)."""


class Prior(Protocol):
    """A frozen extractor G: one vector per image. May be an nn.Module.

    Constructor: keyword-only options; an option annotated `CellRef` makes the harness train that cell first and give
    its network as the positional `network`.
    """

    traits: PriorTraits
    dim: int

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, RGB (clamped to [0, 1] inside where the network wants it), to B×D float32, L2-normalised.

        Runs on the images' device. Row b depends on image b alone.
        """


class DerivedPrior(Protocol):
    """A control: vectors made from another prior's rows, or from nothing but keys.

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

        Images of one scene are named alike, so that none passes for another image.
        """
