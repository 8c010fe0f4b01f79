"""Prepared data: which images exist, where they lie, how a task sees them, and what their prior features are called.

A *prepared set* is what is stored: the images of one split, whole, each once. `Samples` are a prepared set as the
networks of one task see it: with noise that is drawn, for example, of which nothing is stored.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.api.degradation import Draw
from harness.api.reference import ORIENTATIONS, Augment, Frozen, Hashed, PartRef
from harness.core.identity import digest, text_digest
from harness.core.paths import below

SETS = "sets"
"""The folder of prepared sets in the data folder."""
ORIGIN = "origin.json"
"""The note in the folder of a set whose shards come from another store (harness.data.origin)."""


class PreparedSet(Hashed):
    """One split of a data set, stored whole, independent of what any training cuts from it.

    Without a `degradation` it holds what the data set brings: clean images, degraded ones, or both. With one, which is
    `fixed`, it holds the degraded images alone; the clean ones are those of `source`, under the same keys.
    """

    hashed_when_set = ("degradation",)

    dataset: PartRef
    split: str
    degradation: PartRef | None = None

    @cached_property
    def name(self) -> str:
        """Folder name, readable and unique: the data set, the degradation, and a digest of all that it depends on."""
        made = "" if self.degradation is None else f".{self.degradation.name}"
        return f"{self.dataset.name}{made}.{digest(self.identity(exclude={'split'}), 12)}"

    @property
    def source(self) -> PreparedSet | None:
        """The set whose clean images it is made of; None for one that is made of the data set itself."""
        return None if self.degradation is None else PreparedSet(dataset=self.dataset, split=self.split)

    def folder(self, data: Path) -> Path:
        """`<data>/sets/<name>/<split>`, holding manifest.json, index.parquet and 000000.tar, …"""
        return below(data, SETS, self.name, self.split)


class Samples(Hashed):
    """The images of a prepared set as a task sees them.

    `noise`: the degradation that acts at every draw; None where the degraded images are stored. `draw` says where its
    random numbers come from in test.
    """

    hashed_when_set = ("noise", "draw")

    stored: PreparedSet
    noise: PartRef | None = None
    draw: Draw = "named"

    @property
    def dataset(self) -> PartRef:
        return self.stored.dataset

    @property
    def split(self) -> str:
        return self.stored.split

    @cached_property
    def name(self) -> str:
        """The stored set's name, with the noise and a digest of how it is drawn."""
        if self.noise is None:
            return self.stored.name
        return f"{self.stored.name}+{self.noise.name}.{digest([self.noise.identity(), self.draw], 8)}"


def samples_of(dataset: PartRef, task: PartRef, split: str, draw: Draw = "named") -> Samples:
    """What a task sees of a split. `task`: as resolved for this data set, without a degradation where it brings its own
    degraded images."""
    source = task.derived_from
    if source is not None and source.drawn:
        return Samples(stored=PreparedSet(dataset=dataset, split=split), noise=source, draw=draw)
    return Samples(stored=PreparedSet(dataset=dataset, split=split, degradation=source))


class TestSet(Hashed):
    """A test split of a data set under one condition: the task with the options that its inputs are made with."""

    __test__ = False  # pytest takes every class of this name for tests
    hashed_when_set = ("split",)

    dataset: PartRef
    task: PartRef
    """As resolved for this data set."""
    split: str = "test"
    condition: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    """The options of the task under which this test set stands in columns of its own, as {"sigma": 25.0}."""

    def samples(self, draw: Draw = "named") -> Samples:
        """The test images, with the random numbers that a protocol asks for; always the same object."""
        found = self.drawn.get(draw)
        if found is None:
            found = self.drawn[draw] = samples_of(self.dataset, self.task, self.split, draw)
        return found

    @cached_property
    def drawn(self) -> dict[Draw, Samples]:
        """The samples that were asked for."""
        return {}


class Grid(Frozen):
    """Crops that are known beforehand: `height`×`width` pixels, one every `stride` pixels, the last ones at the
    edge."""

    height: int
    width: int
    stride: int


class FeatureSet(Hashed):
    """The vectors of one prior over one set of samples, in the order of its index.

    `reference` is the train split whose statistics derived priors use (the control `mean`); it is the set itself for
    train splits. One row a sample and orientation: of the whole image, but of every crop of the `grid` in the reference
    under the policy `crop`. Noise that is drawn is, here, that of test images: every sample has one fixed picture.
    """

    hashed_when_set = ("grid", "resize", "pad")

    prior: PartRef
    samples: Samples
    reference: Samples
    augment: Augment = "none"
    """Whose orientations have rows of their own; `none`: every sample has one row."""
    policy: Literal["image", "crop"] = "image"
    grid: Grid | None = None
    resize: tuple[int, int] | None = None
    """Under the policy `crop`: height and width to which images of the reference are resized before they are cut."""
    pad: Literal["none", "reflect"] = "none"
    """Under the policy `crop`: how images of the reference that are smaller than a crop are continued."""

    @property
    def cut(self) -> bool:
        """Whether its images are seen as training cuts them: those of the reference, as test images are whole."""
        return self.policy == "crop" and self.samples == self.reference

    @property
    def name(self) -> str:
        """What records call it: the samples and their split, with the grid where rows are of its crops."""
        name = f"{self.samples.name}/{self.samples.split}"
        if self.grid is None or not self.cut:
            return name
        return f"{name} in crops of {self.grid.height}x{self.grid.width} every {self.grid.stride}"

    @property
    def orientations(self) -> int:
        return len(ORIENTATIONS[self.augment])

    @property
    def digest(self) -> str:
        return text_digest(self.canonical, 12)

    def folder(self, data: Path) -> Path:
        """`<data>/features/<prior>.<digest>/<samples>/<split>`, holding manifest.json and 000000.safetensors, …"""
        prior, samples = f"{self.prior.name}.{self.digest}", self.samples
        return below(data, "features", prior, samples.name, samples.split)

    @property
    def parents(self) -> tuple[FeatureSet, ...]:
        """The sets whose rows a derived prior's rows are made from: of these samples, then of the reference.

        Empty for priors that encode images. One set when the samples are the reference.
        """
        if self.prior.derived_from is None:
            return ()
        own = self.model_copy(update={"prior": self.prior.derived_from})
        of_reference = () if self.samples == self.reference else (own.model_copy(update={"samples": self.reference}),)
        return tuple(each.shared for each in (own, *of_reference))

    @property
    def shared(self) -> FeatureSet:
        """The same rows, called alike for every training: vectors of whole images depend on none."""
        if self.prior.derived_from is not None or self.cut:
            return self
        free = {"reference": self.samples, "policy": "image", "grid": None, "resize": None, "pad": "none"}
        return self.model_copy(update=free)
