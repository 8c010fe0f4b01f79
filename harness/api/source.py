"""Where a data set of the field comes from, and how its files lie: facts that one converter reads.

A part declares them as a literal, `DatasetTraits(source=Source(…))`, and its class derives from
`harness.parts.shared.declared.Declared`, which finds, pairs, checks and reads the files. A *layout* is one way in which
the data set lies on disks: as its authors' archives unpack, or as a repository prepares it. All patterns are relative
to the folder that a user points at, with the wildcards of harness.parts.shared.pictures.listing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Reader = Literal["picture", "npy_bgr", "mat_blocks"]
"""How files become images: `picture`, harness.parts.shared.pictures.reading; `npy_bgr`, uint8 arrays H×W×3 whose
channels are blue, green, red; `mat_blocks`, one MATLAB file with the images of a split, N×M×H×W×3."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images of a split that also have an average of their own, as the indoor ones of DPDD."""

    name: str
    file: str = ""
    """A file, relative to the user's folder, that holds the places of its images in the order of names, as .npy or
    one number a line."""
    first: int = 1
    """The number of the first image in that file."""
    names: str = ""
    """Instead of a file: an expression that is found in the names of its images."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """Which files of a layout are one split, and what belongs together.

    A file's *name* is what the wildcards of its pattern matched, joined by `/`; where a side has several patterns, its
    path from the user's folder. A sample's key is the name, without its ending, of the degraded image where several may
    share a clean one, and else of the clean one.
    """

    gt: tuple[str, ...] = ()
    """Patterns of the clean images; none: there are no clean ones."""
    lq: tuple[str, ...] = ()
    """Patterns of the degraded images; none: tasks make them of the clean ones."""
    views: bool = False
    """`lq` are two patterns, of the left and of the right view, which become one image of six channels."""
    pair: Literal["stem", "name"] | tuple[str, str] = "stem"
    """What makes a pair: the name without its ending, or with it; or an expression for `lq` and one for `gt`, whose
    groups are equal."""
    scene: str = ""
    """An expression whose groups, found in a name, are the scene; empty: every clean image is one."""
    only: str = ""
    """An expression: only files in whose names it is found are of this split."""
    without: str = ""
    """An expression: files in whose names it is found are not of this split."""
    scenes: tuple[str, ...] = ()
    """Only these scenes are of this split."""
    not_scenes: tuple[str, ...] = ()
    """All scenes but these are of this split."""
    first_gt: bool = False
    """Where a scene has several clean files, the first by name is the one."""
    frames: int | None = None
    """The first so many degraded files of every folder, by name; None: all."""
    groups: tuple[Group, ...] = ()
    reader: Reader = "picture"
    bits: Literal[8] | None = None
    """8: images of 16 bits are read with their upper 8 bits, as cv2.imread does without flags; None: as they are."""

    def __post_init__(self) -> None:
        if not self.gt and not self.lq:
            raise ValueError("a split has gt, lq or both")
        if self.views and len(self.lq) != 2:
            raise ValueError("views: lq are two patterns, of the left and of the right view")
        pair = self.pair if isinstance(self.pair, tuple) else ()
        for text in (*pair, self.scene, self.only, self.without, *(group.names for group in self.groups)):
            re.compile(text)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which the data set lies on disks."""

    name: str
    """`official`, or what it is known by: `restormer`, `mmagic`, …"""
    of: str
    """Whose archive or preparation it is, in one phrase."""
    splits: dict[str, Files]
    inside: tuple[str, ...] = ()
    """Folders in the user's one from which the patterns may also start, as `Datasets` or `GOPRO_Large`: users point at
    the unpacked archive or at the folder around it."""
    examples: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """Of every split some samples with real names, each the paths of its files: the degraded ones (left, right) and
    the clean one. `bench data example` makes such trees, and the tests read them."""


@dataclass(frozen=True)
class Count:
    """How many samples a split has."""

    images: int
    sure: bool = True
    """Whether a repository or the authors' page says so; else another number is a warning only."""
    also: tuple[int, ...] = ()
    """Numbers of other known copies."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A known overlap: pictures of this data set's split that another data set has, too."""

    split: str
    other: str
    """The other data set's name."""
    other_split: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of a data set of the field."""

    title: str
    """As papers call it: `LOL-v1`."""
    page: str
    """Where its authors offer it."""
    citation: str
    size: str
    """What is to be downloaded, in one phrase: `500 pairs of 600×400`."""
    layouts: tuple[Layout, ...]
    counts: dict[str, Count]
    """Of each split; of the splits that are not here nothing is known."""
    tasks: tuple[str, ...]
    """The tasks that it is for. The first one's degradation makes the inputs of examples that need some."""
    protocol: str
    """The protocol by which the field scores it."""
    traps: tuple[str, ...] = ()
    """What goes wrong with it, a sentence each."""
    shared: tuple[Shared, ...] = ()
    average: str = ""
    """The unweighted mean over several data sets to which papers add it (harness.api.averages)."""
    resize: tuple[int, int] | None = None
    """Height and width to which the field's recipes resize its images for training."""

    def __post_init__(self) -> None:
        if not self.layouts:
            raise ValueError("a source has at least one layout")
        if not self.tasks:
            raise ValueError("a source names at least one task")

    def splits(self) -> tuple[str, ...]:
        """The splits that any layout has, in their order."""
        return tuple(dict.fromkeys(split for layout in self.layouts for split in layout.splits))
