"""Size and speed of stored images against a folder of PNG files: `python -m tests.benchmarks.storage`.

The images are photographs of scikit-learn and scikit-image: 400×600 pixels cut from them, and 720×1280 pixels put
together from four parts, one of which is enlarged a little. The degraded ones are blurred. The folder data set decodes
both whole images of a pair for every crop, as BasicSR does, which then scales the whole images to float32, too: that is
left out here. Both sides give the same crops, as they are stored, from files that are in the memory of the system.
Rounds of all sides alternate, and every number is the median of its rounds. Threads show their worth only where nothing
else needs the cores.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data as skimage_data
from sklearn.datasets import load_sample_images

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.data.shards import ShardSet
from tests.stored_set import store

PATCH, ROUNDS, SECONDS, IMAGES = 128, 5, 0.6, 8
Crop = Callable[[int, tuple[int, int, int, int]], tuple[np.ndarray, np.ndarray]]


def photographs(height: int, width: int) -> Iterator[np.ndarray]:
    """Photographs of at least this size, RGB, cut to it; those that are smaller are enlarged."""
    for photo in (*load_sample_images().images, skimage_data.coffee(), skimage_data.astronaut()):
        scale = max(1.0, height / photo.shape[0], width / photo.shape[1])
        if scale > 1:
            size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
            photo = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
        yield np.ascontiguousarray(photo[-height:, :width])


def pictures(height: int, width: int) -> list[np.ndarray]:
    """IMAGES pictures of this size."""
    if height <= 427:
        found = list(photographs(height, width))
    else:
        parts = list(photographs(height // 2, width // 2))
        orders = [np.random.default_rng(number).permutation(4) for number in range(IMAGES)]
        found = [np.vstack([np.hstack([parts[a], parts[b]]), np.hstack([parts[c], parts[d]])]) for a, b, c, d in orders]
    return [np.ascontiguousarray(image[:, ::-1] if turn else image) for turn in (0, 1) for image in found][:IMAGES]


def pillow_png(image: np.ndarray) -> int:
    """Bytes of the PNG file that Pillow writes."""
    target = io.BytesIO()
    Image.fromarray(image).save(target, "png")
    return target.tell()


def from_pngs(folder: Path) -> Crop:
    def crop(number: int, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        top, left, height, width = window
        pair = [
            cv2.imdecode(np.frombuffer((folder / f"{number}.{side}.png").read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
            for side in ("lq", "gt")
        ]
        lq, gt = (np.ascontiguousarray(image[top : top + height, left : left + width]) for image in pair)
        return lq, gt

    return crop


def from_shards(opened: ShardSet) -> Crop:
    def crop(number: int, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        return opened.image(number, "lq", window), opened.image(number, "gt", window)

    return crop


def rate(crop: Crop, size: tuple[int, int], threads: int = 1) -> float:
    """Pairs of crops per second."""
    counts = [0] * threads
    until = time.perf_counter() + SECONDS

    def work(thread: int) -> None:
        random = np.random.default_rng(thread)
        while time.perf_counter() < until:
            top, left = (int(random.integers(side - PATCH + 1)) for side in size)
            crop(int(random.integers(IMAGES)), (top, left, PATCH, PATCH))
            counts[thread] += 1

    began = time.perf_counter()
    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def compare(height: int, width: int, folder: Path) -> None:
    """Prints all numbers for images of one size."""
    clean = pictures(height, width)
    degraded = [cv2.GaussianBlur(image, (0, 0), 1.0) for image in clean]
    samples = [
        {"key": str(number), "scene": "", "gt": gt, "lq": lq}
        for number, (gt, lq) in enumerate(zip(clean, degraded, strict=True))
    ]
    opened = store(PreparedSet(dataset=PartRef(name=f"of{height}"), split="train"), samples, folder)
    for number, sample in enumerate(samples):
        for side in ("lq", "gt"):
            cv2.imwrite(str(folder / f"{number}.{side}.png"), cv2.cvtColor(np.asarray(sample[side]), cv2.COLOR_RGB2BGR))
    sizes = {
        "OpenCV": sum(path.stat().st_size for path in folder.glob("*.png")),
        "Pillow": sum(pillow_png(image) for image in (*clean, *degraded)),
    }
    stored, raw = opened.manifest.bytes, sum(image.nbytes for image in (*clean, *degraded))
    pngs, shards = from_pngs(folder), from_shards(opened)
    for one, other in zip(pngs(3, (50, 60, 70, 80)), shards(3, (50, 60, 70, 80)), strict=True):
        np.testing.assert_array_equal(one, other)
    size = height, width
    for crop in (pngs, shards):
        rate(crop, size)
    rounds = [(rate(pngs, size), rate(shards, size), rate(shards, size, threads=2)) for _ in range(ROUNDS)]
    plain, one, two = (statistics.median(numbers) for numbers in zip(*rounds, strict=True))
    print(f"{height}×{width}")
    print(f"  bytes of all pixels               {stored / raw:9.3f}")
    for name, png in sizes.items():
        print(f"  bytes of PNG files of {name:12s}{stored / png:9.3f}")
    print(f"  whole PNGs, decoded and cropped   {plain:9.0f} pairs/s")
    print(f"  windows of stored images          {one:9.0f} pairs/s")
    print(f"  ratio                             {statistics.median(b / a for a, b, _ in rounds):9.1f}")
    print(f"  two threads                       {two:9.0f} pairs/s")
    print(f"  ratio                             {statistics.median(c / b for _, b, c in rounds):9.2f}")


def main() -> None:
    cv2.setNumThreads(1)
    for height, width in ((720, 1280), (400, 600)):
        with tempfile.TemporaryDirectory() as root:
            compare(height, width, Path(root))


if __name__ == "__main__":
    main()
