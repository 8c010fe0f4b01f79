"""How long an audit of 10,000 training and 1,000 test images takes, said from some images of DIV2K's size.

`python -m tests.benchmarks.audit [IMAGES]`. The images are generated (noise on windows of the bundled photographs,
2040×1356), stored as a prepared set, and read again with their prints taken, on all processors. Comparing is timed at
full size, on prints of unrelated pictures.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from harness.api.asking import fingerprint_of, opened
from harness.api.declaration import declaration
from harness.api.library import InLibrary, Note, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.data.audit import same_pictures
from harness.data.prepare import prepare_set
from harness.data.prints import ORIENTATIONS, SIDE, Prints, take_prints
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.spec.options import fill

WIDTH, HEIGHT = 2040, 1356
TRAIN, TEST = 10_000, 1_000


def pictures(count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    photos = [image.pixels for image in Photos().images("train") if image.pixels is not None]
    for number in range(count):
        photo = photos[number % len(photos)]
        height = int(photo.shape[0] * random.uniform(0.35, 0.8))
        width = min(photo.shape[1], height * WIDTH // HEIGHT)
        top, left = random.integers(photo.shape[0] - height + 1), random.integers(photo.shape[1] - width + 1)
        window = np.ascontiguousarray(photo[top : top + height, left : left + width])
        large = cv2.resize(window, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        yield np.clip(large + random.integers(-3, 4, large.shape, dtype=np.int16), 0, 255).astype(np.uint8)


def stored(count: int, folder: Path) -> PartRef:
    """The pictures as a prepared set that a library has."""
    (folder / "pictures").mkdir()
    for number, pixels in enumerate(pictures(count)):
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    declared = declaration(REGISTRY, "dataset", "folder")
    filled = fill(declared.options, {"gt": str(folder / "pictures"), "holdout": 0}, "folder", declared.traits.rules)
    ref = PartRef(name="folder", version=declared.version, options=filled.values, files=filled.files)
    ref = ref.model_copy(update={"digest": fingerprint_of(opened(REGISTRY, "folder", ref.arguments))})
    prepare_set(PreparedSet(dataset=ref, split="train"), REGISTRY, folder / "data")
    write_note(Note(dataset=ref, splits={"train": count}), folder / "data")
    return ref


def unrelated(count: int, seed: int) -> Prints:
    random = np.random.default_rng(seed)
    names = tuple(f"{seed} {number}" for number in range(count))
    bits = random.integers(0, 2**64, (count, ORIENTATIONS), dtype=np.uint64)
    return Prints(names, names, names, bits, random.integers(0, 256, (count, SIDE, SIDE)).astype(np.uint8))


def main(count: int) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        ref = stored(count, folder)
        traits = declaration(REGISTRY, "dataset", "div2k").traits
        began, work = time.perf_counter(), time.process_time()
        take_prints(InLibrary("folder", traits, folder / "data"), ref, "train", folder / "kept")
        seconds, work = time.perf_counter() - began, time.process_time() - work
    each = seconds / count
    print(f"{count} images of {WIDTH}×{HEIGHT} read: {1 / each:.1f} images/s on {os.cpu_count()} processors", end="")
    print(f", {1000 * work / count:.0f} ms of processor time an image; {TRAIN:,} images: {each * TRAIN:.0f} s")
    train, test = unrelated(TRAIN, 1), unrelated(TEST, 2)
    began = time.perf_counter()
    found = len(list(same_pictures(train, test)))
    print(f"{TRAIN:,} × {TEST:,} × {ORIENTATIONS} compared: {time.perf_counter() - began:.2f} s, {found} found")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
