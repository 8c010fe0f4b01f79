"""Where a data set of the field comes from, and how its files lie: facts that one converter reads.

A part declares them as a literal, `DatasetTraits(source=Source(…))`, and its class derives from
`harness.parts.shared.declared.base.Declared`, which finds, pairs, checks and reads the files. A *layout* is one way in
which the data set lies on disks: as its authors' archives unpack, or as a repository prepares it. All patterns are
relative to the folder that a user points at, with the wildcards of harness.parts.shared.pictures.listing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Reader = Literal["picture", "npy_bgr", "mat_blocks"]
"""How files become images: `picture`, harness.parts.shared.pictures.reading; `npy_bgr`, uint8 arrays H×W×3 whose
channels are blue, green, red; `mat_blocks`, one MATLAB file with the images of a split, N×M×H×W×3."""


def _check_patterns(*patterns: str) -> None:
    """Raises ValueError for patterns that lead out of the folder from which they start."""
    for pattern in patterns:
        if pattern.startswith("/") or ".." in pattern.split("/"):
            raise ValueError(f"{pattern!r} leads out of the folder from which it starts")


def _check_expressions(*expressions: str, grouped: bool = False) -> None:
    """Raises ValueError for texts that are no expressions, and, of those whose groups count, that have none."""
    for text in filter(None, expressions):
        try:
            groups = re.compile(text).groups
        except re.error as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error
        if grouped and not groups:
            raise ValueError(f"{text!r} has no group; put what counts in parentheses, as low(\\d+)")


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
    needed: bool = True
    """Whether a copy without that file is refused; else it has no such groups, which is remarked."""

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.names):
            raise ValueError(f"the group {self.name} has a file or names")
        _check_patterns(self.file)
        _check_expressions(self.names)


@dataclass(frozen=True, kw_only=True)
class Files:
    """Which files of a layout are one split, and what belongs together.

    A file's *name* is what the wildcards of its pattern matched, joined by `/`; where a side has several patterns, its
    path from the folder that they start from. A sample's key is the name, without its ending, of the degraded image
    (the left view) or, where tasks make those and where the order of names pairs, of the clean one. Files that end in
    no way that pictures do are left out, and listed as such. A side is there when any of its patterns finds a file;
    `views` need both.

    Expressions are looked for in names (re.search). `only`, `without`, `scenes` and `not_scenes` hold for both sides.
    Where `scene` is empty, its scene is a sample's own clean image.
    """

    gt: tuple[str, ...] = ()
    """Patterns of the clean images; none: there are no clean ones."""
    lq: tuple[str, ...] = ()
    """Patterns of the degraded images; none: tasks make them of the clean ones."""
    views: bool = False
    """`lq` are two patterns, of the left and of the right view, which become one image of six channels."""
    pair: Literal["stem", "name", "order"] | tuple[str, str] = "stem"
    """What makes a pair: the name without its ending, or with it; or an expression for `lq` and one for `gt`, whose
    groups are equal, where several `lq` may have one `gt`. `order` is for sets whose authors give the two sides names
    that have nothing in common: the first by name belongs to the first, taken only where both sides have as many files
    and one ending."""
    apart: int | None = None
    """With `order`: by how much the last numbers in the names of a pair differ at most, so that files which are missing
    on both sides are seen."""
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
    """Where several clean files belong together by `pair`, the first by name is the one."""
    spare_gt: bool = False
    """The clean images of several splits lie together: those to which no degraded one belongs are of another split."""
    frames: int | None = None
    """The first so many degraded files of every folder, by name, and their clean ones; None: all."""
    groups: tuple[Group, ...] = ()
    reader: Reader = "picture"
    bits: Literal[8] | None = None
    """8: images of 16 bits are read with their upper 8 bits, as cv2.imread does without flags; None: as they are."""
    gray: bool = False
    """Colour images are read as cv2.imread does with IMREAD_GRAYSCALE."""

    def __post_init__(self) -> None:
        if not self.gt and not self.lq:
            raise ValueError("a split has gt, lq or both")
        if self.views and len(self.lq) != 2:
            raise ValueError("views: lq are two patterns, of the left and of the right view")
        if self.apart is not None and self.pair != "order":
            raise ValueError("apart: is for pairs by order")
        _check_patterns(*self.gt, *self.lq)
        _check_expressions(*(self.pair if isinstance(self.pair, tuple) else ()), self.scene, grouped=True)
        _check_expressions(self.only, self.without)


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

    def __post_init__(self) -> None:
        _check_patterns(*self.inside)


@dataclass(frozen=True)
class Count:
    """How many samples, or scenes, a split has: what is None is not known."""

    images: int | None = None
    sure: bool = True
    """Whether a repository or the authors' page says so; else another number is a warning only."""
    also: tuple[int, ...] = ()
    """Numbers of samples of other known copies."""
    scenes: int | None = None
    """How many scenes they show, by the layouts' `scene`."""

    def __post_init__(self) -> None:
        if self.images is None and (self.scenes is None or self.also):
            raise ValueError("a count is of images or of scenes; also: is for images")


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
    folders: tuple[str, ...] = ()
    """Names of folders that only its own files have above them, where other sets lie in folders of the same names."""
    siblings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of other data sets, by name, the `folders`: what lies in one of them is the other set, though its files look like
    this one's."""

    def __post_init__(self) -> None:
        if not self.layouts:
            raise ValueError("a source has at least one layout")
        if not self.tasks:
            raise ValueError("a source names at least one task")
        names = [layout.name for layout in self.layouts]
        if len(set(names)) < len(names):
            raise ValueError(f"two layouts have one name: {', '.join(names)}")

    def splits(self) -> tuple[str, ...]:
        """The splits that any layout has, in their order."""
        return tuple(dict.fromkeys(split for layout in self.layouts for split in layout.splits))
