"""Prepared data: which samples exist, where they lie, and what their prior features are called."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.api.degradation import Draw
from harness.api.reference import ORIENTATIONS, Augment, Frozen, Hashed, PartRef
from harness.core.identity import digest
from harness.core.paths import below


class PreparedSet(Hashed):
    """One split of a data set, degraded for one task and written as shards.

    `tile` is the side of the square train tiles in pixels and `stride` the step between them; whole images when None.
    `draw` says where the degradation's random numbers come from; it is not `named` for test sets of some protocols.
    """

    hashed_when_set = ("draw",)

    dataset: PartRef
    task: PartRef
    split: str
    tile: int | None = None
    stride: int | None = None
    draw: Draw = "named"

    @property
    def name(self) -> str:
        """Folder name, readable and unique: data set, task and the digest of all that the samples depend on."""
        return f"{self.dataset.name}.{self.task.name}.{digest(self.identity(), 12)}"

    def folder(self, data: Path) -> Path:
        """`<data>/<name>/<split>`, holding manifest.json and 000000.tar, …"""
        return below(data, self.name, self.split)


class FeatureSet(Frozen):
    """The vectors of one prior over one prepared set, one row per sample and orientation, in shard order.

    `reference` is the train split whose statistics derived priors use (the control `mean`); it is the set itself for
    train splits.
    """

    prior: PartRef
    samples: PreparedSet
    reference: PreparedSet
    augment: Augment = "none"
    policy: Literal["tile", "image"] = "tile"
    """What the prior saw: the sample as it is, or the whole degraded image that it was cut from, upright."""

    @property
    def orientations(self) -> int:
        return len(ORIENTATIONS[self.augment])

    @property
    def digest(self) -> str:
        return digest(self.identity(), 12)

    def folder(self, data: Path) -> Path:
        """`<data>/features/<prior>.<digest>/<set>/<split>`, holding manifest.json and 000000.safetensors, …"""
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
        return (own,) if self.samples == self.reference else (own, own.model_copy(update={"samples": self.reference}))
