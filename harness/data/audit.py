"""The audit: no test image may be among the training images, exactly or nearly, as it is, mirrored or turned.

Leaks are common in this field (LOL-v1's training images contain LOL-v2-real test images, BSD500's contain CBSD68) and
invisible in a table. Two images count as the same when their pixels agree, or when their perceptual hashes (64 bits)
are near *and* their small gray versions correlate: the hash alone would confuse unrelated pictures of plain skies. All
eight orientations of a test image are compared. A crop of a training image is not found: its hash is of other fields.

The shards job compares the splits of one data set; the train and evaluate jobs compare a test set with the training
images of other data sets (harness.jobs.leaks).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.api.dataset import Dataset
from harness.api.reference import Frozen, PartRef
from harness.core.errors import DataError
from harness.data.prints import Prints, prints_once

HAMMING = 14
"""Bits of 64 that may differ; unrelated photographs differ in 32 ± 5."""
IDENTICAL = "identical pixels"
"""How two images are the same that do not differ."""
CORRELATION = 0.8
"""Least correlation of two 32×32 gray versions that count as the same picture."""

_TURNED = (
    "", "mirrored", "turned by 90°", "mirrored and turned by 90°",
    "turned by 180°", "upside down", "turned by 270°", "mirrored and turned by 270°",
)  # fmt: skip
"""Words of the orientations, as harness.data.orientation numbers them."""


class Same(NamedTuple):
    """Two images of one picture: their places in their splits, and how far they are the same."""

    one: int
    other: int
    how: str


class Nearest(Frozen):
    """The most similar pair of two splits by perceptual hash."""

    train: str
    test: str
    hamming: int


class AuditReport(Frozen):
    """What a passed audit compared."""

    dataset: PartRef
    split: str
    train_images: int
    test_images: int
    nearest: Nearest | None


def same_pictures(ones: Prints, others: Prints) -> Iterator[Same]:
    """The images of `others` that show a picture of `ones`, each with the first such picture."""
    exact_N, exact_M = _codes(ones.exact, others.exact)
    for other in range(len(others)):
        same = _first_same(ones, others, other, np.flatnonzero(exact_N == exact_M[other]), np.arange(len(ones)))
        if same is not None:
            yield same


def twins(prints: Prints) -> Iterator[Same]:
    """The images of one split that show a picture of an earlier one and are not shots of the same scene."""
    exact_N, _ = _codes(prints.exact, ())
    scene_N, _ = _codes(prints.scenes, ())
    for other in range(1, len(prints)):
        places = np.flatnonzero(scene_N[:other] != scene_N[other])
        same = _first_same(prints, prints, other, places[exact_N[places] == exact_N[other]], places)
        if same is not None:
            yield same


def _first_same(ones: Prints, others: Prints, other: int, exact: np.ndarray, places: np.ndarray) -> Same | None:
    """The first of `exact` (places with the same pixels), else the first of `places` that is nearly the same."""
    if exact.size:
        return Same(int(exact[0]), other, IDENTICAL)
    hamming_nK = _hamming(ones.bits_NK[places, 0], others.bits_NK[other])
    for row, orientation in np.argwhere(hamming_nK <= HAMMING):
        one = int(places[row])
        found = ones.correlation(one, others, other, int(orientation))
        if found >= CORRELATION:
            turned = f", {_TURNED[orientation]}" if orientation else ""
            bits = f"{hamming_nK[row, orientation]} of 64 hash bits differ"
            return Same(one, other, f"nearly the same picture{turned}: {bits}, correlation {found:.3f}")
    return None


def _codes(ones: Sequence[str], others: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as whole numbers, equal where the texts are equal."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(text, len(numbers)) for text in (*ones, *others)], np.int64)
    return codes[: len(ones)], codes[len(ones) :]


def audit(dataset: Dataset, split: str, ref: PartRef, data: Path) -> AuditReport:
    """Compares every image of `split` with every training image. A data set without a train split passes.

    Prints of its splits are kept below `data`. Raises DataError naming the first scene, or the first pair of images,
    that is in both.
    """
    test = prints_once(dataset, ref, split, data)
    if "train" not in dataset.splits():
        return AuditReport(dataset=ref, split=split, train_images=0, test_images=len(test), nearest=None)
    where = f"data set {ref.name}"
    shared = {scene for _, scene in dataset.keys("train")} & {scene for _, scene in dataset.keys(split)}
    if shared:
        what = f"scene {min(shared)!r} is in both train and {split}"
        raise DataError(what, where=where, hint="keep a scene in one split")
    train = prints_once(dataset, ref, "train", data)
    for same in same_pictures(train, test):
        raise DataError(
            f"train image {train.keys[same.one]!r} and {split} image {test.keys[same.other]!r} are {same.how}",
            where=where,
            hint="take one of them out: a network must not be tested on what it was trained on",
        )
    nearest = _nearest(train, test)
    return AuditReport(dataset=ref, split=split, train_images=len(train), test_images=len(test), nearest=nearest)


def _hamming(bits_N: np.ndarray, bits_K: np.ndarray) -> np.ndarray:
    """How many bits differ between the hashes of images and those of one image in every orientation, [N, K]."""
    return np.bitwise_count(bits_N[:, np.newaxis] ^ bits_K)


def _nearest(train: Prints, test: Prints) -> Nearest | None:
    if not len(train) or not len(test):
        return None
    distances = [_hamming(train.bits_NK[:, 0], bits_K[:1])[:, 0] for bits_K in test.bits_NK]
    other = min(range(len(test)), key=lambda place: int(distances[place].min()))
    one = int(distances[other].argmin())
    return Nearest(train=train.keys[one], test=test.keys[other], hamming=int(distances[other][one]))
