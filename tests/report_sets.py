"""Small data sets with something wrong in them, for tests of evaluations and audits; brought in by this file's path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.reference import PartRef
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import BUILT_IN

Rows = tuple[tuple[Any, ...], ...]


def picture(seed: int, height: int = 48, width: int = 40) -> np.ndarray:
    """A smooth random RGB picture with a little grain."""
    random = np.random.default_rng(seed)
    coarse = random.random((7, 9, 3)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + random.normal(
        0, 0.03, (height, width, 3)
    )
    return np.asarray(np.rint(np.clip(fine, 0, 1) * 255), np.uint8)


class Made:
    """A data set of pictures made of seeds."""

    traits: ClassVar[DatasetTraits]
    train: ClassVar[Rows] = (("a", 1), ("b", 2))
    test: ClassVar[Rows] = (("t", 3), ("u", 4))

    def splits(self) -> Sequence[str]:
        return tuple(split for split in ("train", "test") if self._rows(split))

    def fingerprint(self) -> str:
        return f"{type(self).__name__}-1"

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        return [(row[0], row[0]) for row in self._rows(split)]

    def images(self, split: str) -> Iterator[SourceImage]:
        for key, *rest in self._rows(split):
            yield SourceImage(key, key, self.pixels(key, *rest))

    def pixels(self, key: str, *rest: int) -> Any:
        return picture(*rest)

    def _rows(self, split: str) -> Rows:
        return self.train if split == "train" else self.test


class Plain(Made):
    """Nothing special."""

    traits = DatasetTraits(licence="made by the tests")

    def __init__(self) -> None:
        """Without options."""


class Elsewhere(Made):
    """Only a test split; a picture of `plain`'s training is in it, mirrored, smaller and darker."""

    traits = DatasetTraits(licence="made by the tests")
    train = ()
    test = (("same", 1), ("fresh", 98))

    def pixels(self, key: str, *rest: int) -> Any:
        image = picture(*rest)
        if key != "same":
            return image
        mirrored = np.ascontiguousarray(image[:, ::-1])
        return (cv2.resize(mirrored, (36, 43), interpolation=cv2.INTER_AREA) * 0.8).astype(np.uint8)

    def __init__(self) -> None:
        """Without options."""


class Twins(Made):
    """One test picture under two names."""

    traits = DatasetTraits(licence="made by the tests")
    train = ()
    test = (("926_10", 50), ("926_10(1)", 50), ("927_1", 51))

    def __init__(self) -> None:
        """Without options."""


class Sliver(Made):
    """A test picture of 8 rows."""

    traits = DatasetTraits(licence="made by the tests")
    train = ()
    test = (("big", 13), ("sliver", 14, 8, 30))

    def __init__(self) -> None:
        """Without options."""


class Gray(Made):
    """A test picture without a colour axis."""

    traits = DatasetTraits(licence="made by the tests")
    train = ()
    test = (("colour", 15), ("gray", 16))

    def pixels(self, key: str, *rest: int) -> Any:
        image = picture(*rest)
        return image[:, :, 0] if key == "gray" else image

    def __init__(self) -> None:
        """Without options."""


class LongKeys(Made):
    """Keys that give long file names, and two that differ in capitals alone."""

    traits = DatasetTraits(licence="made by the tests")
    train = ()
    test = (
        ("低光照增强真实场景测试集室外夜间街道第一百二十三号样本图像", 19),
        ("低光照增强真实场景测试集室外夜间街道第一百二十三号样本图相", 20),
        ("k" * 300, 21),
        ("IMG_1", 22),
        ("img_1", 23),
    )

    def __init__(self) -> None:
        """Without options."""


class Paired(Made):
    """Pairs: the degraded image is half as bright. A subclass says what of them is there."""

    def images(self, split: str) -> Iterator[SourceImage]:
        for key, *rest in self._rows(split):
            clean = self.pixels(key, *rest)
            yield SourceImage(key, key, *self.pair(key, clean))

    def pair(self, key: str, clean: Any) -> tuple[Any, Any]:
        return clean, clean // 2


class Halves(Paired):
    """Of some pictures one half is not there."""

    traits = DatasetTraits(licence="made by the tests", pairs=True)
    train = (("a", 1),)
    test: ClassVar[Rows] = (("both", 61), ("clean", 62), ("dark", 63), ("dark too", 64))

    def pair(self, key: str, clean: Any) -> tuple[Any, Any]:
        return (None if key.startswith("dark") else clean), (None if key == "clean" else clean // 2)

    def __init__(self) -> None:
        """Without options."""


class Apart(Halves):
    """No picture has both halves."""

    traits = DatasetTraits(licence="made by the tests", pairs=True)
    test = (("clean", 62), ("dark", 63))

    def __init__(self) -> None:
        """Without options."""


class Views(Paired):
    """Dual pixels in 16 bits: the right view is the left one, mirrored."""

    traits = DatasetTraits(licence="made by the tests", pairs=True)
    train = (("a", 1),)
    test = (("v", 71), ("w", 72))

    def pair(self, key: str, clean: Any) -> tuple[Any, Any]:
        deep = clean.astype(np.uint16) * 257
        left = deep // 2
        return deep, np.ascontiguousarray(np.concatenate([left, left[:, ::-1]], axis=2))

    def __init__(self) -> None:
        """Without options."""


class GrayPairs(Paired):
    """One channel, floats."""

    traits = DatasetTraits(licence="made by the tests", pairs=True)
    train = (("a", 1),)
    test = (("g", 81), ("h", 82))

    def pair(self, key: str, clean: Any) -> tuple[Any, Any]:
        gray = np.ascontiguousarray(clean[..., 1:2]).astype(np.float32) / np.float32(255)
        return gray, gray * np.float32(0.5)

    def __init__(self) -> None:
        """Without options."""


NAMES = {
    "plain": Plain, "elsewhere": Elsewhere, "twins": Twins, "sliver": Sliver, "gray": Gray, "long_keys": LongKeys,
    "halves": Halves, "apart": Apart, "views": Views, "gray_pairs": GrayPairs,
}  # fmt: skip


def report_registry() -> Registry:
    """The built-in parts and these data sets."""
    here = str(Path(__file__).resolve())
    entries = [Entry("dataset", name, f"{here}:{made.__name__}") for name, made in NAMES.items()]
    return Registry(BUILT_IN).extended(entries)


def dataset(name: str) -> PartRef:
    """The reference of one of them."""
    return PartRef(name=name, digest=NAMES[name]().fingerprint())
