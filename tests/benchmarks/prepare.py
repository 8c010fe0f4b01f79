"""How fast a set is prepared, and by two jobs against one: `python -m tests.benchmarks.prepare`.

Each worker is a process of its own, as a scheduler's, and runs jobs of parts as the plan has them: it decodes PNG files
of 400×600 pixels, encodes, writes and hashes. Starting a process is not counted. One and two workers take turns, so
that what else runs on the machine meets both alike; the ratio is that of the medians.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.shard_parts import SHARD_IMAGES, parts_of
from harness.data.prepare import prepare_part, prepare_set
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.folder import Folder
from harness.parts.datasets.photos import Photos

SHARDS, TURNS = 6, 3


def pictures(folder: Path) -> PartRef:
    """PNG files of 400×600 pixels: photographs, each with a grain of its own."""
    folder.mkdir()
    random = np.random.default_rng(0)
    photographs = cycle([image.pixels for image in Photos().images("train")])
    for number in range(SHARDS * SHARD_IMAGES):
        large = cv2.resize(np.asarray(next(photographs)), (600, 400), interpolation=cv2.INTER_CUBIC)
        grained = np.clip(large + random.normal(0, 2, large.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:04d}.png"), grained)
    return PartRef(name="folder", files={"gt": str(folder)}, digest=Folder(gt=str(folder)).fingerprint())


def worker(orders: Connection, stored: PreparedSet) -> None:
    """Runs jobs of parts until it is told to stop."""
    cv2.setNumThreads(1)
    orders.send("ready")
    while (order := orders.recv()) is not None:
        data, parts = order
        for part in parts:
            prepare_part(stored, part, parts_of(SHARDS * SHARD_IMAGES), REGISTRY, data)
        orders.send("done")


def seconds(workers: list[Connection], data: Path) -> float:
    """The time in which some workers make all the parts, shared equally."""
    parts = range(1, parts_of(SHARDS * SHARD_IMAGES) + 1)
    began = time.perf_counter()
    for place, each in enumerate(workers):
        each.send((data, parts[place :: len(workers)]))
    for each in workers:
        each.recv()
    return time.perf_counter() - began


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dataset = pictures(root / "pictures")
        stored = PreparedSet(dataset=dataset, split="train")
        images = len(Folder(gt=dataset.files["gt"]).keys("train"))
        pipes = [spawn.Pipe() for _ in range(2)]
        processes = [spawn.Process(target=worker, args=(theirs, stored)) for _, theirs in pipes]
        for process in processes:
            process.start()
        workers = [ours for ours, _ in pipes]
        for each in workers:
            each.recv()
        found: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(TURNS + 1):  # the first one warms up
            for number in (1, 2):
                taken = seconds(workers[:number], root / f"{turn}-{number}")
                found[number] += [taken] if turn else []
        began = time.perf_counter()
        prepare_set(stored, REGISTRY, root / "1-2")
        joined = time.perf_counter() - began
        for each in workers:
            each.send(None)
        for process in processes:
            process.join()
    one, two = (statistics.median(found[number]) for number in (1, 2))
    print(f"{images} images of 400×600: 1 worker {images / one:.1f} images/s, 2 workers {images / two:.1f} images/s")
    print(f"2 workers against 1: {one / two:.2f}× (goal 1.7×); joining the parts takes {joined:.2f} s")


if __name__ == "__main__":
    main()
