"""How far metrics are from other implementations, and how long they take.

`python -m tests.benchmarks.metrics`. The differences are the largest over the test photographs with noise, blur, JPEG's
blocks and in the dark; the times are of one image of 1280×720 on one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from harness.api.protocols import DPDD, RGB_UINT8, RGB_UINT8_SSIM3D, Y_FLOAT, Y_MATLAB
from harness.parts.metrics.colour import luma
from harness.parts.metrics.mae import MAE
from harness.parts.metrics.psnr import PSNR
from harness.parts.metrics.ssim import SSIM
from tests.degraded_photos import DEGRADATIONS, degraded, photographs

Score = Callable[[np.ndarray, np.ndarray], float]
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def skimage_psnr(restored: np.ndarray, truth: np.ndarray) -> float:
    return float(peak_signal_noise_ratio(truth, restored, data_range=255))


def skimage_ssim(restored: np.ndarray, truth: np.ndarray, **options: object) -> float:
    return float(structural_similarity(restored, truth, data_range=255, channel_axis=2, **options))


def luma_psnr(restored: np.ndarray, truth: np.ndarray) -> float:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return 10 * math.log10(255**2 / np.mean(((restored - truth) @ weights) ** 2))


def pyiqa_score(name: str) -> Score:
    import pyiqa
    import torch

    metric = pyiqa.create_metric(name)

    def score(restored: np.ndarray, truth: np.ndarray) -> float:
        batch = [torch.from_numpy(image / 255).permute(2, 0, 1)[None] for image in (restored, truth)]
        return float(metric(*batch).item())

    return score


def comparisons() -> list[tuple[str, Score, str, Score]]:
    """(ours, how, theirs, how)."""
    return [
        ("psnr rgb_uint8", PSNR(RGB_UINT8), "scikit-image", skimage_psnr),
        ("psnr rgb_uint8", PSNR(RGB_UINT8), "pyiqa psnr", pyiqa_score("psnr")),
        ("psnr y_float", PSNR(Y_FLOAT), "formula (BasicSR)", luma_psnr),
        ("psnr y_matlab", PSNR(Y_MATLAB), "scikit-image on MATLAB's luma", lambda x, y: skimage_psnr(_y(x), _y(y))),
        ("ssim rgb_uint8", SSIM(RGB_UINT8), "scikit-image", lambda x, y: skimage_ssim(x, y, **GAUSSIAN)),
        ("ssim rgb_uint8", SSIM(RGB_UINT8), "pyiqa ssimc", pyiqa_score("ssimc")),
        ("ssim y_matlab", SSIM(Y_MATLAB), "scikit-image", lambda x, y: skimage_ssim(_y(x), _y(y), **GAUSSIAN)),
        ("ssim dpdd", SSIM(DPDD), "scikit-image", skimage_ssim),
        ("mae rgb_uint8", MAE(RGB_UINT8), "formula", lambda x, y: float(np.abs(x - y).mean() / 255)),
    ]


def _y(image: np.ndarray) -> np.ndarray:
    return luma(image, Y_MATLAB)


def milliseconds(score: Score, restored: np.ndarray, truth: np.ndarray) -> float:
    """The best of five, of the processor's time."""
    taken = []
    for _ in range(5):
        began = time.process_time()
        score(restored, truth)
        taken.append(time.process_time() - began)
    return 1000 * min(taken)


def main() -> None:
    cv2.setNumThreads(1)
    pairs = [(degraded(truth, how), truth) for truth in photographs().values() for how in DEGRADATIONS]
    print(f"largest difference over {len(pairs)} pairs")
    for name, ours, other, theirs in comparisons():
        differences = [abs(ours(*pair) - theirs(*pair)) for pair in pairs]
        print(f"  {name:16} {other:32} {max(differences):.1e}", flush=True)
    drawn = np.random.default_rng(0)
    truth = np.rint(cv2.GaussianBlur(drawn.uniform(0, 255, (720, 1280, 3)), (5, 5), 2))
    restored = np.rint(np.clip(truth + drawn.normal(0, 10, truth.shape), 0, 255))
    for protocol in (RGB_UINT8, RGB_UINT8_SSIM3D, Y_MATLAB, DPDD):
        times = [milliseconds(metric, restored, truth) for metric in (PSNR(protocol), SSIM(protocol))]
        told = f"PSNR {times[0]:.1f} ms, SSIM {times[1]:.1f} ms, both {1000 / sum(times):.1f} images/s"
        print(f"1280×720 under {protocol.name}: {told}", flush=True)


if __name__ == "__main__":
    main()
