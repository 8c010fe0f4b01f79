"""The audit of a test split: no test image may be among the training images, exactly or nearly.

Leaks are common in this field (LOL-v1's training images contain LOL-v2-real test images, BSD500's contain CBSD68) and
invisible in a table. Two images count as the same when their pixels agree, or when their difference hashes (64 bits)
are near *and* their small gray versions correlate: the hash alone would confuse unrelated pictures of plain skies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pydantic import ValidationError

from harness.api.dataset import Dataset, SourceImage
from harness.api.reference import Frozen, PartRef
from harness.core.errors import DataError
from harness.core.paths import write_json

VERSION = 1
HAMMING = 10
"""Bits of 64 that may differ; unrelated photographs differ in 32 ± 6."""
CORRELATION = 0.8
"""Least correlation of two 32×32 gray versions that count as the same picture."""


@dataclass(frozen=True)
class Print:
    """Fingerprints of an image: one of its exact pixels, two that survive scaling, recompression and brightening."""

    key: str
    exact: str
    bits: int
    small: np.ndarray


class Nearest(Frozen):
    """The most similar pair of two splits by difference hash."""

    train: str
    test: str
    hamming: int


class AuditReport(Frozen):
    """What a passed audit compared. Kept in the data folder, so that each audit is done once."""

    version: int = VERSION
    dataset: PartRef
    split: str
    train_images: int
    test_images: int
    nearest: Nearest | None


def fingerprint(image: SourceImage) -> Print:
    """Fingerprints of one image (H×W×3 uint8 RGB)."""
    gray = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)
    steps = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = int.from_bytes(np.packbits(np.diff(steps, axis=1) > 0).tobytes(), "big")
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean()
    exact = hashlib.sha256(repr(image.pixels.shape).encode() + np.ascontiguousarray(image.pixels).tobytes()).hexdigest()
    return Print(image.key, exact, bits, small / max(float(np.linalg.norm(small)), 1e-9))


def same_picture(one: Print, other: Print) -> str | None:
    """Why two images count as the same; None when they do not."""
    if one.exact == other.exact:
        return "identical pixels"
    hamming = (one.bits ^ other.bits).bit_count()
    correlation = float((one.small * other.small).sum())
    if hamming <= HAMMING and correlation >= CORRELATION:
        return f"nearly the same picture: {hamming} of 64 hash bits differ, correlation {correlation:.3f}"
    return None


def audit(dataset: Dataset, split: str, ref: PartRef) -> AuditReport:
    """Compares every image of `split` with every training image. A data set without a train split passes.

    Raises DataError naming the first scene, or the first pair of images, that is in both.
    """
    if "train" not in dataset.splits():
        return AuditReport(dataset=ref, split=split, train_images=0, test_images=len(dataset.keys(split)), nearest=None)
    where = f"data set {ref.name}"
    shared = {scene for _, scene in dataset.keys("train")} & {scene for _, scene in dataset.keys(split)}
    if shared:
        what = f"scene {min(shared)!r} is in both train and {split}"
        raise DataError(what, where=where, hint="keep a scene in one split")
    train, test = _fingerprints(dataset.images("train")), _fingerprints(dataset.images(split))
    nearest: Nearest | None = None
    for held_out in test:
        for seen in train:
            if reason := same_picture(seen, held_out):
                raise DataError(
                    f"train image {seen.key!r} and {split} image {held_out.key!r} are {reason}",
                    where=where,
                    hint="take one of them out: a network must not be tested on what it was trained on",
                )
            hamming = (seen.bits ^ held_out.bits).bit_count()
            if nearest is None or hamming < nearest.hamming:
                nearest = Nearest(train=seen.key, test=held_out.key, hamming=hamming)
    return AuditReport(dataset=ref, split=split, train_images=len(train), test_images=len(test), nearest=nearest)


def audit_once(dataset: Dataset, split: str, ref: PartRef, data: Path) -> AuditReport:
    """`audit`, or its report in `<data>/audits/` when the same data set has already passed."""
    path = data / "audits" / f"{ref.name}.{ref.digest}.{split}.json"
    try:
        report = AuditReport.model_validate_json(path.read_bytes())
        if report.version == VERSION and report.dataset == ref:
            return report
    except (FileNotFoundError, ValidationError):
        # Not audited yet, or by another version. The report only saves time: without it the audit is done again.
        pass
    report = audit(dataset, split, ref)
    write_json(path, report.model_dump(mode="json"))
    return report


def _fingerprints(images: Iterable[SourceImage]) -> list[Print]:
    return [fingerprint(image) for image in images]
