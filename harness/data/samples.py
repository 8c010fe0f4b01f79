"""Samples as a task sees them: stored pairs, or stored clean images whose noise is drawn.

A test image has one picture (harness.data.degrade), and so has a training image where cached prior features are made
of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np

from harness.api.degradation import Degradation, VaryingDegradation
from harness.api.sets import Samples
from harness.core.errors import DataError, HarnessError
from harness.core.guests import contained, fault
from harness.core.registry import Registry
from harness.data.degrade import degrade
from harness.data.index import Index
from harness.data.shards import ShardSet, open_set, to_float
from harness.parts.guard import check_degraded, check_repeated, made


@dataclass(frozen=True)
class Pair:
    """One sample, whole: two images H×W×C, uint8, uint16 or float32. C may differ between them."""

    key: str
    scene: str
    lq: np.ndarray
    gt: np.ndarray | None
    """None where there is no clean image."""
    group: str = ""
    """The group of its split that also has an average of its own; empty for most."""


@dataclass(frozen=True)
class OpenSamples:
    """Samples that can be read. Safe to read from several threads."""

    samples: Samples
    stored: ShardSet
    noise: Degradation | None = None

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def index(self) -> Index:
        """The index of the stored set: one row a sample."""
        return self.stored.index

    @property
    def manifest_sha256(self) -> str:
        """Digest of the stored set's manifest, which names that of the set it is made of."""
        return self.stored.manifest_sha256

    @property
    def where(self) -> str:
        """What messages call them."""
        return f"samples {self.samples.name}/{self.samples.split}"

    @cached_property
    def has_lq(self) -> np.ndarray:
        """Mask of the rows that have a degraded image, stored or drawn."""
        return np.asarray(self.index.has("lq" if self.noise is None else "gt"), dtype=bool)

    @cached_property
    def has_gt(self) -> np.ndarray:
        """Mask of the rows that have a clean image."""
        return np.asarray(self.index.has("gt"), dtype=bool)

    def pair(self, row: int) -> Pair:
        """A pair of whole images, as tests see them; without a clean one where there is none.

        Raises DataError where the degraded image is missing, or differs from the other in height or width; Damaged
        (noted) when the set is damaged.
        """
        found = self.index[row]
        if not self.has_gt[row]:
            return Pair(found.key, found.scene, self._picture(row), None, found.group)
        gt = self.stored.image(row, "gt")
        lq = self._picture(row) if self.noise is None else self._noisy(gt, found.key)
        if lq.shape[:2] != gt.shape[:2]:
            sizes = f"{lq.shape[0]}×{lq.shape[1]} and {gt.shape[0]}×{gt.shape[1]}"
            what = f"the degraded and the clean image differ in size: {sizes}"
            raise DataError(what, where=f"image {found.key!r} of {self.where}")
        return Pair(found.key, found.scene, lq, gt, found.group)

    def picture(self, row: int) -> np.ndarray:
        """The degraded image alone, whole, as tests and cached prior features see it: H×W×C.

        uint8 or uint16 where it is stored so, or where noise is quantised; else float32 with white at 1, unclipped.
        Raises as `pair` does.
        """
        return self._picture(row)

    def _picture(self, row: int) -> np.ndarray:
        if not self.has_lq[row]:
            what = "it has no degraded image, and the task has no degradation that would make one"
            raise DataError(what, where=f"image {self.index[row].key!r} of {self.where}")
        if self.noise is None:
            return self.stored.image(row, "lq")
        return self._noisy(self.stored.image(row, "gt"), self.index[row].key)

    def _noisy(self, gt: np.ndarray, key: str) -> np.ndarray:
        """The degraded image with the random numbers of test images."""
        samples = self.samples
        assert self.noise is not None
        assert samples.noise is not None
        return degrade(gt, key, self.noise, samples.noise, samples, samples.draw)

    def check_noise(self) -> None:
        """Raises HarnessError for a drawn degradation that gives the same image two results. In the main thread."""
        rows = np.flatnonzero(self.has_gt)
        if self.noise is not None and len(rows):
            gt, key = self.stored.image(int(rows[0]), "gt"), self.index[int(rows[0])].key
            check_repeated(self.noise, self._noisy(gt, key), self._noisy(gt, key))

    def drawn(self, gt: np.ndarray, random: np.random.Generator, key: str) -> tuple[np.ndarray, dict[str, float]]:
        """A clean crop with noise drawn for training, float32 H×W×C, and the values drawn of the varying options.

        A quantised one has the values of an 8-bit image. For threads: the settings of the process are not looked after.
        """
        noise = self.noise
        assert noise is not None
        clean = to_float(gt)
        settings: dict[str, float] = {}
        with contained(owner=noise):
            if noise.traits.varies:
                varying = cast(VaryingDegradation, noise)
                settings = _checked(noise, varying.settings(random))
                degraded = varying.with_settings(clean, random, settings)
            else:
                degraded = noise(clean, random)
        check_degraded(noise, degraded, clean, key)
        if noise.traits.quantised:
            degraded = np.rint(np.clip(degraded, 0.0, 1.0) * 255.0).astype(np.float32) / np.float32(255)
        return np.array(degraded, dtype=np.float32), settings


def open_samples(samples: Samples, registry: Registry, data: Path, *, verify: bool = True) -> OpenSamples:
    """Opens the samples below the data folder (`harness.data.shards.open_set`), and the noise that is drawn, if any.

    Raises as `open_set` does, and HarnessError for noise that tests cannot draw: in the way that `samples.draw` asks
    for, or with an option that is a range.
    """
    noise: Degradation | None = None
    if samples.noise is not None:
        name = samples.noise.name
        noise = made(registry, "degradation", name, **samples.noise.arguments)
        where = f"degradation {name}"
        if samples.draw not in noise.traits.draws:
            hint = "one of " + ", ".join(noise.traits.draws)
            raise HarnessError(f"its random numbers cannot be drawn as {samples.draw!r}", where=where, hint=hint)
        ranges = [option for option in noise.traits.varies if _is_range(samples.noise.options.get(option))]
        if ranges and samples.split != "train":
            what = f"{ranges[0]} is a range, and test images are the same for everybody"
            raise HarnessError(what, where=where, hint=f"test_options: one value of {ranges[0]} each")
    return OpenSamples(samples, open_set(samples.stored, data, verify=verify), noise)


def _checked(noise: Degradation, settings: Mapping[str, float]) -> dict[str, float]:
    """The drawn settings as floats, which are those that the traits name."""
    names = noise.traits.varies
    if not isinstance(settings, Mapping) or set(settings) != set(names):
        found = ", ".join(map(str, settings)) if isinstance(settings, Mapping) else type(settings).__name__
        raise fault(noise, f"draws the settings {found or 'none'}", f"settings gives a number for {', '.join(names)}")
    return {name: float(settings[name]) for name in names}


def _is_range(value: object) -> bool:
    return isinstance(value, list | tuple)
