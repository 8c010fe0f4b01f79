"""Data sets: named train and test splits of clean images, of pairs, or of unpaired halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.api.source import Source
from harness.api.traits import Condition, FromOption, Traits

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class DatasetTraits(Traits):
    """What a data set declares."""

    licence: str = ""
    """Notice that goes into the manifest of everything prepared from it."""
    shortest_side: int | FromOption | None = None
    """The shortest side of any training image, pixels: a suite whose crops are larger is refused before anything is
    prepared. `FromOption` where an option of the suite is that side. None: not known before the images are read."""
    pairs: bool | Condition = False
    """Whether it brings degraded images of its own, which then stand in place of those that a task would make of clean
    ones; or the condition on its options under which it does."""
    random_access: bool = False
    """Whether it gives chosen images alone (RandomAccess), so that several jobs may prepare a part of a split each."""
    skips: bool = False
    """Whether it says which files it leaves out, and why (Skipping)."""
    source: Source | None = None
    """Of a data set of the field: where it comes from and how its files lie. It is prepared once, by `bench data
    prepare`, for all suites (harness.api.library)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.shortest_side, int) and self.shortest_side < 1:
            raise ValueError(f"shortest_side is a whole number from 1 on, not {self.shortest_side}")

    def side_with(self, options: Mapping[str, Any]) -> int | None:
        """The shortest side with these options, which include the defaults; None where it is not known."""
        side = self.shortest_side
        return options[side.option] if isinstance(side, FromOption) else side

    def pairs_with(self, options: Mapping[str, Any]) -> bool:
        """Whether it brings degraded images with these options, which include the defaults and those of files."""
        return self.pairs if isinstance(self.pairs, bool) else self.pairs.holds(options)


@dataclass(frozen=True)
class SourceImage:
    """One image of a data set: `key` is unique in the split, images of one `scene` must stay in one split.

    Pixels are H×W×C, uint8, uint16 or float32 with white at 1: C is 3 for RGB, 1 for gray; degraded images may have 6,
    the left and the right view of a dual-pixel camera. Both images of a pair have one height and width.
    """

    key: str
    scene: str
    pixels: np.ndarray | None
    """The clean image; None in a data set with `pairs` where a degraded one has none, as unpaired halves have it."""
    degraded: np.ndarray | None = None
    """The degraded image, of data sets with `pairs`; None where a clean one has none."""
    truth: str | None = None
    """A name for the clean image where several degraded ones share it, which is then stored once; None: the key."""
    group: str = ""
    """A group of the split that also has an average of its own, as `indoor`; empty: none."""


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


class RandomAccess(Dataset, Protocol):
    """A data set that declares `random_access`."""

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        """The images of these keys alone, in their order, as `images` gives them. Raises DataError for unknown keys."""


class Skipping(Dataset, Protocol):
    """A data set that declares `skips`."""

    def skipped(self, split: str) -> Sequence[tuple[str, str]]:
        """(file, why) of what a split leaves out, in a fixed order; the name of a file without the place of its folder.
        It goes into the manifest."""
