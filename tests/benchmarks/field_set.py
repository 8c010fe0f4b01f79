"""How fast a data set of the field is prepared: `python -m tests.benchmarks.field_set [--pairs 13700]`.

The input is generated in the layout of Rain13K: pairs of about 500×400 pixels, PNG and JPG mixed. Two workers, each a
process of its own with one thread, make the parts that the plan has, one joins them; finding, pairing and hashing the
files is counted as well. The bound is what the same two workers need to do nothing but decode every file and encode it
with the codec of the shards. Both take turns. Ratios are given of the time and of the workers' CPU seconds, which other
work on the machine changes less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np

from harness.api.asking import fingerprint_of, opened
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.shard_parts import parts_of
from harness.data import tiff
from harness.data.prepare import prepare_part, prepare_set
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.parts.shared.pictures.reading import read_picture

PAIRS, TURNS = 384, 3


def rain(folder: Path, pairs: int) -> list[Path]:
    """Pairs as Rain13K has them. Gives their files."""
    for side in ("input", "target"):
        (folder / "train" / "Rain13K" / side).mkdir(parents=True)
    (folder / "EXAMPLE.json").write_text("{}")  # it has fewer pairs than Rain13K, and is not it
    random = np.random.default_rng(0)
    photographs = cycle([np.asarray(image.pixels) for image in Photos().images("train")])
    files = []
    for number in range(1, pairs + 1):
        height, width = int(random.integers(360, 440)), int(random.integers(450, 550))
        clean = cv2.resize(next(photographs), (width, height), interpolation=cv2.INTER_CUBIC)
        clean = np.clip(clean + random.normal(0, 2, clean.shape), 0, 255).astype(np.uint8)
        drops = cv2.blur((random.random(clean.shape[:2]) > 0.99).astype(np.float32) * 255, (1, 15))[..., np.newaxis]
        rainy = np.clip(clean + drops * 3, 0, 255).astype(np.uint8)
        ending = "png" if number % 3 else "jpg"
        for side, picture in (("input", rainy), ("target", clean)):
            files.append(folder / "train" / "Rain13K" / side / f"{number}.{ending}")
            cv2.imwrite(str(files[-1]), picture)
    return files


def bound(files: Sequence[str]) -> None:
    """Decodes and encodes, and nothing else."""
    for file in files:
        tiff.encode(read_picture(file))


def parts(stored: PreparedSet, data: Path, chosen: Sequence[int], count: int) -> None:
    for part in chosen:
        prepare_part(stored, part, count, REGISTRY, data)


def worker(orders: Connection) -> None:
    """Does what it is told, and says how many CPU seconds that took, until it is told to stop."""
    cv2.setNumThreads(1)
    orders.send("ready")
    while (order := orders.recv()) is not None:
        action, arguments = order
        began = time.process_time()
        action(*arguments)
        orders.send(time.process_time() - began)


def shared(workers: Sequence[Connection], action: Callable[..., None], shares: Sequence[tuple[object, ...]]) -> float:
    """CPU seconds of all workers, each with a share of the work."""
    for each, share in zip(workers, shares, strict=True):
        each.send((action, share))
    return sum(each.recv() for each in workers)


def prepared(workers: Sequence[Connection], root: Path, data: Path) -> float:
    """Prepares the whole data set, as `bench data prepare` does. Gives CPU seconds."""
    began = time.process_time()
    dataset = opened(REGISTRY, "rain13k", {"root": str(root)})
    part = PartRef(name="rain13k", files={"root": str(root)}, digest=fingerprint_of(dataset))
    stored = PreparedSet(dataset=part, split="train")
    count = parts_of(len(dataset.keys("train")))
    cpu = time.process_time() - began
    every = range(1, count + 1)
    cpu += shared(workers, parts, [(stored, data, every[place::2], count) for place in range(2)])
    began = time.process_time()
    prepare_set(stored, REGISTRY, data)
    return cpu + time.process_time() - began


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--pairs", type=int, default=PAIRS, help="Rain13K has 13,712")
    given.add_argument("--turns", type=int, default=TURNS)
    options = given.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(root / "cache")  # of the workers, too
        files = [file.relative_to(root / "rain") for file in rain(root / "rain", options.pairs)]
        pipes = [spawn.Pipe() for _ in range(2)]
        processes = [spawn.Process(target=worker, args=(theirs,)) for _, theirs in pipes]
        for process in processes:
            process.start()
        workers = [ours for ours, _ in pipes]
        for each in workers:
            each.recv()
        found: dict[str, list[tuple[float, float]]] = {"bound": [], "prepared": []}
        for turn in range(options.turns + 1):  # the first one warms up
            folder = root / f"rain{turn}"
            (root / "rain" if turn == 0 else root / f"rain{turn - 1}").rename(folder)  # so that no digest is known
            began = time.perf_counter()
            cpu = shared(workers, bound, [([str(folder / file) for file in files[place::2]],) for place in range(2)])
            found["bound"] += [(time.perf_counter() - began, cpu)] if turn else []
            began = time.perf_counter()
            cpu = prepared(workers, folder, root / f"data{turn}")
            shutil.rmtree(root / f"data{turn}")
            found["prepared"] += [(time.perf_counter() - began, cpu)] if turn else []
        for each in workers:
            each.send(None)
        for process in processes:
            process.join()
    least, whole = (tuple(map(statistics.median, zip(*found[name], strict=True))) for name in ("bound", "prepared"))
    pace = 2 * options.pairs / whole[0]
    print(f"{options.pairs} pairs of about 500×400, two workers, load {os.getloadavg()[0]:.1f}: {pace:.1f} images/s")
    print(f"bound {2 * options.pairs / least[0]:.1f} images/s; {whole[0] / least[0]:.2f}× its time (goal 1.1×)")
    print(f"CPU seconds: {whole[1]:.1f} against {least[1]:.1f}, {whole[1] / least[1]:.2f}×")


if __name__ == "__main__":
    main()
