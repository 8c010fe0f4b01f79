"""Fingerprints of pictures: what tells that two images show the same picture, and a store of them for whole splits.

A print has a digest of the exact pixels, perceptual hashes (64 bits, imagehash.phash: the signs of the lowest
frequencies of a cosine transform against their median) of the picture in its eight orientations, and the 32×32 gray
version that those are made of. They survive scaling, recompression, brightening, mirroring and quarter turns. They do
not survive cropping: a part of a picture is not found. Of a pair the clean image is looked at; the degraded one where
there is no clean one.

Shape letters: N images, K orientations (8, as harness.data.orientation numbers them).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from harness.api.dataset import Dataset, SourceImage
from harness.api.library import InLibrary, library
from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from harness.core.identity import digest
from harness.core.paths import atomic_file
from harness.data.images import images_of
from harness.data.orientation import orient

VERSION = 2
"""Raised when the same image would give another print."""
SIDE = 32
"""Side of the gray version, in pixels."""
ORIENTATIONS = 8

_SCHEMA = pa.schema(
    {
        **dict.fromkeys(("key", "scene", "exact"), pa.string()),
        "bits": pa.binary(8 * ORIENTATIONS),
        "gray": pa.binary(SIDE * SIDE),
    }
)


@dataclass(frozen=True)
class Prints:
    """The prints of N images, in the order of their split."""

    keys: tuple[str, ...]
    scenes: tuple[str, ...]
    exact: tuple[str, ...]
    """SHA-256 of shape and pixels."""
    bits_NK: np.ndarray
    """uint64: the perceptual hash of each orientation; the picture as it is comes first."""
    gray_Nss: np.ndarray
    """uint8 [N, SIDE, SIDE]."""

    def __len__(self) -> int:
        return len(self.keys)

    def correlation(self, place: int, other: Prints, other_place: int, orientation: int) -> float:
        """Of the gray version of one image with that of another one in an orientation; 0 for flat images."""
        turned = orient(other.gray_Nss[other_place][..., np.newaxis], orientation)[..., 0]
        return float((_normal(self.gray_Nss[place]) * _normal(turned)).sum())


def prints_of(images: Iterable[SourceImage]) -> Prints:
    """The prints of images that have been checked (harness.data.images)."""
    collector = Collector()
    for image in images:
        collector.add(image)
    return collector.prints()


class Collector:
    """Takes the prints of images that somebody else reads, one after the other."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []
        self._bits: list[np.ndarray] = []
        self._gray: list[np.ndarray] = []

    def add(self, image: SourceImage) -> None:
        """Takes the print of one image."""
        pixels = image.degraded if image.pixels is None else image.pixels
        assert pixels is not None, image.key
        pixels = np.ascontiguousarray(pixels)
        gray = cv2.resize(_gray(pixels), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        of = repr(pixels.shape) + ("" if pixels.dtype == np.uint8 else pixels.dtype.name)
        exact = hashlib.sha256(of.encode() + pixels.tobytes()).hexdigest()
        self._rows.append((image.key, image.scene, exact))
        self._bits.append(_hashes(gray))
        self._gray.append(gray)

    def prints(self) -> Prints:
        """Of all that was added."""
        keys, scenes, exact = (tuple(column) for column in zip(*self._rows, strict=True)) if self._rows else ((),) * 3
        bits = np.array(self._bits, np.uint64).reshape(-1, ORIENTATIONS)
        return Prints(keys, scenes, exact, bits, np.array(self._gray, np.uint8).reshape(-1, SIDE, SIDE))


def _gray(pixels: np.ndarray) -> np.ndarray:
    """A picture in gray, uint8 [H, W], from any number format; of six channels the first view."""
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257.0).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = np.rint(pixels.clip(0.0, 1.0) * 255.0).astype(np.uint8)
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY))


def _hashes(gray_ss: np.ndarray) -> np.ndarray:
    """uint64 [K]: the perceptual hash of a gray version in every orientation."""
    found = []
    for orientation in range(ORIENTATIONS):
        turned = np.ascontiguousarray(orient(gray_ss[..., np.newaxis], orientation)[..., 0])
        bits = imagehash.phash(Image.fromarray(turned), hash_size=8).hash
        found.append(int.from_bytes(np.packbits(bits).tobytes(), "big"))
    return np.array(found, np.uint64)


def _normal(gray_ss: np.ndarray) -> np.ndarray:
    """Without its mean, of length 1; nothing but zeros for a flat image."""
    values = gray_ss.astype(np.float64) - gray_ss.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-9))


def joined_prints(several: Sequence[Prints]) -> Prints:
    """The prints of several groups of images, one after the other."""
    keys = tuple(key for prints in several for key in prints.keys)
    scenes = tuple(scene for prints in several for scene in prints.scenes)
    exact = tuple(sha256 for prints in several for sha256 in prints.exact)
    bits = [np.zeros((0, ORIENTATIONS), np.uint64), *(prints.bits_NK for prints in several)]
    gray = [np.zeros((0, SIDE, SIDE), np.uint8), *(prints.gray_Nss for prints in several)]
    return Prints(keys, scenes, exact, np.concatenate(bits), np.concatenate(gray))


def known_prints(ref: PartRef, split: str, data: Path) -> Prints | None:
    """The prints of a split that are kept in `<data>/prints/`; None when there are none, or they are damaged."""
    path = prints_file(ref, split, data)
    return None if path is None else read_prints(path, ref, split)


def kept_prints(ref: PartRef, split: str, data: Path) -> Prints | None:
    """The prints of a split that are kept in the data folder, else in the library; None as `known_prints`."""
    known = known_prints(ref, split, data)
    return known_prints(ref, split, library()) if known is None and data != library() else known


def read_prints(path: Path, ref: PartRef, split: str) -> Prints | None:
    """The prints in a file; None when there is none, it is damaged, or it is of another split."""
    try:
        table = pq.read_table(path, partitioning=None)
        told = json.loads((table.schema.metadata or {}).get(b"prints", b"{}"))
        if table.schema.remove_metadata() != _SCHEMA or told != _seal(table, ref, split):
            return None
    except (OSError, ValueError, RecursionError, pa.ArrowException):
        return None
    bits = np.frombuffer(b"".join(table["bits"].to_pylist()), "<u8").reshape(-1, ORIENTATIONS)
    gray = np.frombuffer(b"".join(table["gray"].to_pylist()), np.uint8).reshape(-1, SIDE, SIDE)
    keys, scenes, exact = (tuple(table[name].to_pylist()) for name in ("key", "scene", "exact"))
    return Prints(keys, scenes, exact, bits, gray)


def keep_prints(prints: Prints, ref: PartRef, split: str, data: Path) -> None:
    """Keeps the prints of a split in the data folder, where it can be written.

    A full disk costs the time of reading the images again, not the audit. Nothing is kept of a data set without a
    fingerprint: nobody could say later whether its images are still the same.
    """
    path = prints_file(ref, split, data)
    if path is not None:
        with suppress(HarnessError), atomic_file(path) as temporary:
            write_prints(prints, ref, split, temporary)


def write_prints(prints: Prints, ref: PartRef, split: str, path: Path) -> None:
    """Writes the prints of images of a split into a file."""
    bits = [row.astype("<u8").tobytes() for row in prints.bits_NK]
    gray = [row.tobytes() for row in prints.gray_Nss]
    columns = [list(prints.keys), list(prints.scenes), list(prints.exact), bits, gray]
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
    table = table.replace_schema_metadata({b"prints": json.dumps(_seal(table, ref, split)).encode()})
    pq.write_table(table, path, compression="zstd")


def prints_once(dataset: Dataset, ref: PartRef, split: str, data: Path) -> Prints:
    """The kept prints of a split, else those that are taken now. Raises DataError as `take_prints`."""
    known = kept_prints(ref, split, data)
    return take_prints(dataset, ref, split, data) if known is None else known


def take_prints(
    dataset: Dataset, ref: PartRef, split: str, data: Path, seen: Callable[[], None] = lambda: None
) -> Prints:
    """Reads the images of a split, and keeps their prints where that is possible. `seen` is called after every image.

    Images that the library has are read on all processors at once. Raises DataError when they cannot be read (see
    `images_of`).
    """

    def part(keys: Sequence[str] | None) -> Prints:
        collector = Collector()
        for image in images_of(dataset, split, ref.name, keys):
            collector.add(image)
            seen()
        return collector.prints()

    if isinstance(dataset, InLibrary):
        keys, workers = [key for key, _ in dataset.keys(split)], os.cpu_count() or 1
        size = max(1, -(-len(keys) // workers))
        with ThreadPoolExecutor(workers) as pool:
            parts = [keys[first : first + size] for first in range(0, len(keys), size)]
            prints = joined_prints(list(pool.map(part, parts)))
    else:
        prints = part(None)
    keep_prints(prints, ref, split, data)
    return prints


def prints_file(ref: PartRef, split: str, data: Path) -> Path | None:
    """Where the prints of a split are kept; None for a data set without a fingerprint.

    The name is a digest: a data set's name and fingerprint may be longer than a file's name."""
    return None if ref.digest is None else data / "prints" / f"{digest([ref.identity(), split], 24)}.parquet"


def _seal(table: pa.Table, ref: PartRef, split: str) -> dict[str, object]:
    """What is written beside the prints: whose they are, and the digest of their content."""
    content = hashlib.sha256()
    for column in table.columns:
        for value in column.to_pylist():
            content.update(repr(value).encode())
    return {"version": VERSION, "set": ref.name, "split": split, "sha256": content.hexdigest()}
