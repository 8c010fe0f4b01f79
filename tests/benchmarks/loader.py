"""How fast training pairs come from a prepared set: `python -m tests.benchmarks.loader`.

Against the usual folder of PNG files, of which every sample decodes two whole images and cuts a patch, as BasicSR's
PairedImageDataset does. Both sides give 128-pixel crops in batches of 16, oriented and transposed; the images are
photographs of this package's data set, enlarged, each pair a clean and a dark one. One core does the work; then two
threads. The numbers are medians of several turns, taken in turn, so that what else runs meets both sides alike.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from harness.api.sets import Samples
from harness.cells.recipe import Recipe
from harness.data.orientation import orient
from harness.data.samples import OpenSamples, open_samples
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.training.data import TrainLoader
from tests.stored_set import BASE, store

BATCH, PATCH, IMAGES, TURNS, SECONDS = 16, 128, 12, 5, 1.5
SIZES = ((720, 1280), (400, 600))


def photographs(height: int, width: int) -> list[dict[str, Any]]:
    """Pairs of one size: enlarged photographs with the fine grain of a camera, and dark versions of them."""
    random = np.random.default_rng(0)
    found = []
    for number, image in enumerate(islice(Photos().images("train"), IMAGES)):
        assert image.pixels is not None
        large = cv2.resize(image.pixels, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        grained = large + random.normal(0, 2, large.shape)
        gt, lq = (np.clip(np.rint(each), 0, 255).astype(np.uint8) for each in (grained, grained * 0.3))
        found.append({"key": str(number), "scene": str(number), "gt": gt, "lq": lq})
    return found


def whole_pngs(folder: Path) -> Iterator[np.ndarray]:
    """The usual folder data set: for every sample decode two whole images and cut a random patch of both."""
    random = np.random.default_rng(0)
    names = sorted(folder.glob("*.gt.png"))
    while True:
        pairs = []
        for _ in range(BATCH):
            gt_path = names[random.integers(len(names))]
            lq_path = gt_path.with_name(gt_path.name.replace(".gt.", ".lq."))
            images = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in (lq_path, gt_path)]
            top, left = (int(random.integers(side - PATCH + 1)) for side in images[0].shape[:2])
            orientation = int(random.integers(8))
            pairs.append([orient(image[top : top + PATCH, left : left + PATCH], orientation) for image in images])
        yield np.ascontiguousarray(np.array(pairs).transpose(1, 0, 4, 2, 3))


def write_pngs(pairs: list[dict[str, Any]], folder: Path) -> int:
    """Writes the pairs as PNG files; gives their size."""
    for pair in pairs:
        for side in ("lq", "gt"):
            cv2.imwrite(str(folder / f"{pair['key']}.{side}.png"), cv2.cvtColor(pair[side], cv2.COLOR_RGB2BGR))
    return sum(path.stat().st_size for path in folder.glob("*.png"))


def rate(batches: Iterator[object]) -> float:
    """Samples per second, after three batches of warming up."""
    for _ in islice(batches, 3):
        pass
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - began)


def through_loader(samples: OpenSamples, threads: int) -> float:
    with closing(iter(TrainLoader(samples, None, Recipe(batch=BATCH, patch=PATCH), seed=0, threads=threads))) as given:
        return rate(given)


def compare(height: int, width: int) -> None:
    pairs = photographs(height, width)
    with tempfile.TemporaryDirectory() as root:
        stored = store(BASE, pairs, Path(root))
        pngs = Path(root) / "pngs"
        pngs.mkdir()
        size = write_pngs(pairs, pngs)
        samples = open_samples(Samples(stored=BASE), REGISTRY, Path(root))
        rates: dict[str, list[float]] = {"pngs": [], "one": [], "two": []}
        for _ in range(TURNS):
            rates["pngs"].append(rate(whole_pngs(pngs)))
            rates["one"].append(through_loader(samples, 1))
            rates["two"].append(through_loader(samples, 2))
    plain, one, two = (statistics.median(found) for found in rates.values())
    print(f"pairs of {width}×{height}, patches of {PATCH}")
    print(f"  bytes, shards against PNG files   {stored.manifest.bytes / size:9.3f}")
    print(f"  whole PNGs, decoded and cropped   {plain:9.0f} samples/s")
    print(f"  loader, one thread                {one:9.0f} samples/s, {one / plain:.1f} times as many")
    print(f"  loader, two threads               {two:9.0f} samples/s, {two / one:.2f} times one thread")


def main() -> None:
    cv2.setNumThreads(1)
    for height, width in SIZES:
        compare(height, width)


if __name__ == "__main__":
    main()
