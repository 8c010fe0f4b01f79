"""Data sets: named train and test splits of clean images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.api.traits import FromOption, Traits

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class DatasetTraits(Traits):
    """What a data set declares."""

    licence: str = ""
    """Notice that goes into the manifest of everything prepared from it."""
    shortest_side: int | FromOption | None = None
    """The shortest side of any training image, pixels: a suite whose tiles are larger is refused before anything is
    prepared. `FromOption` where an option of the suite is that side. None: not known before the images are read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.shortest_side, int) and self.shortest_side < 1:
            raise ValueError(f"shortest_side is a whole number from 1 on, not {self.shortest_side}")

    def side_with(self, options: Mapping[str, Any]) -> int | None:
        """The shortest side with these options, which include the defaults; None where it is not known."""
        side = self.shortest_side
        return options[side.option] if isinstance(side, FromOption) else side


@dataclass(frozen=True)
class SourceImage:
    """One clean image of a data set: `key` is unique in the split, images of one `scene` must stay in one split."""

    key: str
    scene: str
    pixels: np.ndarray
    """H×W×3 uint8 RGB."""


class Dataset(Protocol):
    """Named train and test splits. Its module imports no torch, so that planning can ask for the fingerprint.

    Constructor: keyword-only options. Raises DataError, with a hint what to do, when files are missing or differ.
    """

    traits: DatasetTraits

    def splits(self) -> Sequence[str]: ...

    def fingerprint(self) -> str:
        """Digest of the content of all splits, cheap enough for planning; never depends on where files lie."""

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) of every image of a split, in a fixed order, without decoding any."""

    def images(self, split: str) -> Iterator[SourceImage]: ...
