"""How much faster raw tiles in shards are than decoding whole PNGs and cropping: `python -m tests.benchmarks.loader`.

Both sides give the same thing, 64-pixel training pairs of the photographs as float32 batches; one core does the work.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.data.orientation import orient
from harness.data.prepare import prepare_set
from harness.data.shards import ShardSet, to_float
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.training.data import TrainLoader

BATCH, PATCH, SECONDS = 8, 64, 4.0


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
        yield np.ascontiguousarray(to_float(np.array(pairs)).transpose(1, 0, 4, 2, 3))


def write_pngs(shards: ShardSet, folder: Path) -> None:
    for sample in shards.samples():
        for side, image in (("lq", sample.lq), ("gt", sample.gt)):
            cv2.imwrite(str(folder / f"{sample.key}.{side}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def rate(batches: Iterator[object]) -> float:
    """Samples per second, after three batches of warming up."""
    for _ in islice(batches, 3):
        pass
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - began)


def main() -> None:
    cv2.setNumThreads(1)
    dataset = PartRef(name="photos", digest=Photos().fingerprint())
    task = PartRef(name="low_light", derived_from=PartRef(name="low_light"))
    base = PreparedSet(dataset=dataset, task=task, split="train")
    with tempfile.TemporaryDirectory() as root:
        tiles = prepare_set(base.model_copy(update={"tile": PATCH, "stride": PATCH}), REGISTRY, Path(root))
        pngs = Path(root) / "pngs"
        pngs.mkdir()
        write_pngs(prepare_set(base, REGISTRY, Path(root)), pngs)
        plain = rate(whole_pngs(pngs))
        loader = rate(iter(TrainLoader(tiles, None, batch=BATCH, seed=0, augment="dihedral")))
    print(f"whole PNGs, decoded and cropped   {plain:9.0f} samples/s")
    print(f"tiles through the loader          {loader:9.0f} samples/s")
    print(f"ratio                             {loader / plain:9.1f}")


if __name__ == "__main__":
    main()
