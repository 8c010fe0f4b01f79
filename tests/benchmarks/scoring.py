"""Images a second that one core scores at 1280×720, and what further protocols cost.

`python -m tests.benchmarks.scoring [ROUNDS]`. Random images; PSNR and SSIM; one thread. Every round times everything in
turn, and the medians are told: `scoring` is the time of all metrics of some protocols, and its ratio to `rgb_uint8`;
`with restoration` the same ratio with the time of a network of 290,000 parameters (NAFNet, width 16) added to both,
which an evaluation restores each image with once.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from harness.api.protocols import PROTOCOLS
from harness.api.reference import PartRef
from harness.evaluation.infer import restore
from harness.evaluation.score import Shared, build_metrics, score_shared
from harness.models.assemble import RestorationModel
from harness.parts.backbones.nafnet import NAFNet
from harness.parts.catalogue import REGISTRY

HEIGHT, WIDTH = 720, 1280
GROUPS = (
    ("rgb_uint8",),
    ("rgb_uint8", "rgb_uint8_scenes"),
    ("rgb_uint8", "y_matlab"),
    ("rgb_uint8", "retinexformer_lol"),
    ("rgb_uint8", "retinexformer_lol", "lol_gtmean"),
    ("rgb_uint8_ssim3d",),
    ("sidd",),
    ("dpdd",),
    ("y_matlab",),
)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def scoring(names: Sequence[str], restored: np.ndarray, truth: np.ndarray) -> Callable[[], object]:
    """All metrics of some protocols on one image."""
    asked = {name: PartRef(name=name) for name in ("psnr", "ssim")}
    metrics = {name: build_metrics(asked, PROTOCOLS[name], REGISTRY) for name in names}

    def work() -> None:
        shared = Shared(restored, truth)
        for name in names:
            found = score_shared(shared, metrics[name], PROTOCOLS[name])
            assert len(found.values) == len(asked)

    return work


def main(rounds: int = 5) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    truth = random.random((HEIGHT, WIDTH, 3), np.float32)
    lq = np.asarray(truth + random.normal(0, 0.05, truth.shape), np.float32)
    model = RestorationModel(NAFNet(width=16, enc_blk_nums=(1, 1, 1), middle_blk_num=1, dec_blk_nums=(1, 1, 1))).eval()
    network = min(seconds(lambda: restore(model, lq, None, torch.device("cpu"))) for _ in range(2))
    works = {names: scoring(names, lq, truth) for names in GROUPS}
    taken = {names: [seconds(work) for _ in range(1)] for names, work in works.items()}  # warm
    taken = {names: [] for names in works}
    for _ in range(rounds):
        for names, work in works.items():
            taken[names].append(seconds(work))
    one = statistics.median(taken[GROUPS[0]])
    print(f"restoration {network:.2f} s an image")
    for names, each in taken.items():
        median = statistics.median(each)
        whole = (median + network) / (one + network)
        print(
            f"{' + '.join(names)}: {1000 * median:.0f} ms, {1 / median:.1f} images/s; "
            f"scoring {median / one:.2f} of one, with restoration {whole:.2f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
