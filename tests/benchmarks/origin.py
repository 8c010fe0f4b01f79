"""How fast training pairs come from a set on an S3 server: `python -m tests.benchmarks.origin`.

The server is moto's, on loopback. The first epoch fetches every shard as it is met; the second one is compared with the
same set on the local disk. Both give 128-pixel crops of 400×600 photographs in batches of 16, the epochs in turn.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from harness.api.sets import Samples
from harness.cells.recipe import Recipe
from harness.data.exchange import pull, push
from harness.data.samples import OpenSamples, open_samples
from harness.parts.catalogue import REGISTRY
from harness.training.data import TrainLoader
from tests.benchmarks.loader import BATCH, PATCH, photographs
from tests.s3_server import s3_server
from tests.stored_set import BASE, store

EPOCHS, TURNS, COPIES = 20, 5, 8


def seconds(samples: OpenSamples, epochs: int) -> float:
    """Wall time of some epochs."""
    began = time.perf_counter()
    steps = epochs * len(samples.index) // BATCH
    with closing(iter(TrainLoader(samples, None, Recipe(batch=BATCH, patch=PATCH), seed=0))) as batches:
        for _ in islice(batches, steps):
            pass
    return (time.perf_counter() - began) / epochs


def main() -> None:
    pairs = [
        pair | {"key": f"{copy}-{pair['key']}", "scene": f"{copy}-{pair['scene']}"}
        for copy in range(COPIES)
        for pair in photographs(400, 600)
    ]
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch, s3_server(patch) as server:
        local, far = Path(root) / "local", Path(root) / "far"
        folder = store(BASE, pairs, local, per_shard=16).folder
        push(folder, server.url)
        pull(server.url, far)
        here, there = (open_samples(Samples(stored=BASE), REGISTRY, data) for data in (local, far))
        first = seconds(there, 1)
        turns = [(seconds(here, EPOCHS), seconds(there, EPOCHS)) for _ in range(TURNS)]
    disk, s3 = (statistics.median(column) for column in zip(*turns, strict=True))
    print(f"{os.cpu_count()} cores, {len(pairs)} pairs")
    print(f"from the server, first epoch      {first:8.3f} s")
    print(f"from the server, later epochs     {s3:8.3f} s")
    print(f"from the local disk               {disk:8.3f} s")
    print(f"speed of later epochs / disk      {disk / s3:8.2f}")


if __name__ == "__main__":
    main()
