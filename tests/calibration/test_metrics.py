"""PSNR and SSIM against scikit-image and pyiqa on real photographs, from nearly clean to mostly noise.

Known differences, asserted here so that nobody finds them by surprise: pyiqa's luma is full range, its PSNR adds 1e-8
to the squared error, and its SSIM clips the contrast term at zero.
"""

from __future__ import annotations

import numpy as np
import pyiqa
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.nn.functional import conv3d, pad

from harness.api.protocols import DPDD, RGB_UINT8, RGB_UINT8_SSIM3D, SIDD, Y_MATLAB
from harness.evaluation.score import score
from harness.parts.catalogue import REGISTRY
from harness.parts.metrics.colour import luma
from harness.parts.metrics.psnr import PSNR
from harness.parts.metrics.ssim import C1, C2, SSIM

SIGMAS = (2, 25, 100)
CASES = [(key, sigma) for key in ("chelsea", "coffee", "flower") for sigma in SIGMAS]


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    images = {image.key: image.pixels for image in REGISTRY.load("dataset", "photos")().images("test")}
    assert len(images) == 3
    return images


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}", scope="module")
def pair(request, photos) -> tuple[np.ndarray, np.ndarray, int]:
    """(restored, truth, sigma): a 240×200 crop of a photograph with noise, 8-bit values as float64."""
    key, sigma = request.param
    truth = photos[key][:240, :200].astype(np.float64)
    noisy = truth + np.random.default_rng(sigma).normal(0, sigma, truth.shape)
    return np.rint(np.clip(noisy, 0, 255)), truth, sigma


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image / 255).permute(2, 0, 1)[None]


def skimage_ssim(one: np.ndarray, other: np.ndarray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return float(structural_similarity(one, other, channel_axis=2, **options))


def test_psnr_rgb(pair) -> None:
    restored, truth, _ = pair
    ours = PSNR(RGB_UINT8)(restored, truth)
    assert ours == pytest.approx(peak_signal_noise_ratio(truth, restored, data_range=255), abs=1e-9)
    assert ours == pytest.approx(pyiqa.create_metric("psnr")(tensor(restored), tensor(truth)).item(), abs=1e-3)


def test_psnr_y(pair) -> None:
    """On the luma plane itself the libraries agree; pyiqa's own luma is full range and reads 1.32 dB lower.

    Of nearly clean images less lower: rounding luma to 8 bits, as MATLAB does, is then part of the error.
    """
    restored, truth, sigma = pair
    ours = PSNR(Y_MATLAB)(restored, truth)
    planes = luma(restored, Y_MATLAB), luma(truth, Y_MATLAB)
    assert ours == pytest.approx(peak_signal_noise_ratio(planes[1], planes[0], data_range=255), abs=1e-9)
    full_range = pyiqa.create_metric("psnry")(tensor(restored), tensor(truth)).item()
    if sigma == 2:
        assert 0.6 < ours - full_range < 1.0
    else:
        assert ours - full_range == pytest.approx(20 * np.log10(255 / 219), abs=0.02)


def test_ssim_rgb(pair) -> None:
    restored, truth, sigma = pair
    ours = SSIM(RGB_UINT8)(restored, truth)
    assert ours == pytest.approx(skimage_ssim(restored, truth), abs=1e-9)
    clipped = pyiqa.create_metric("ssimc")(tensor(restored), tensor(truth)).item()
    if sigma == 2:
        assert ours == pytest.approx(clipped, abs=1e-5)
    assert -1e-5 <= clipped - ours <= 4e-3


def test_ssim_y(pair) -> None:
    restored, truth, sigma = pair
    ours = SSIM(Y_MATLAB)(restored, truth)
    planes = luma(restored, Y_MATLAB), luma(truth, Y_MATLAB)
    assert ours == pytest.approx(skimage_ssim(*planes), abs=1e-9)
    clipped = pyiqa.create_metric("ssim")(*(tensor(plane) for plane in planes)).item()
    assert -1e-5 <= clipped - ours <= (1e-5 if sigma == 2 else 6e-3)


def test_ssim_volumetric(pair) -> None:
    """Against the definition with SciPy's N-dimensional Gaussian: rows, columns and channels, borders repeated."""
    restored, truth, _ = pair

    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, mode="nearest", radius=5)

    x, y = blur(restored), blur(truth)
    covariance = blur(restored * truth) - x * y
    variances = blur(restored**2) - x**2 + blur(truth**2) - y**2
    expected = (2 * x * y + C1) * (2 * covariance + C2) / ((x**2 + y**2 + C1) * (variances + C2))
    ours = SSIM(RGB_UINT8_SSIM3D)(restored, truth)
    assert ours == pytest.approx(expected.mean(), abs=1e-9)
    assert abs(ours - SSIM(RGB_UINT8)(restored, truth)) > 1e-4


def conv3d_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """MATLAB's ssim on H×W×3 floats in [0, 1]: a kernel 11×11×11 as one block, borders replicated, range 1."""
    axis = torch.arange(-5, 6, dtype=torch.float64)
    square = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    kernel = torch.exp(-square / (2 * 1.5**2))
    kernel = (kernel / kernel.sum())[None, None]

    def blur(volume: torch.Tensor) -> torch.Tensor:
        return conv3d(pad(volume, (5,) * 6, mode="replicate"), kernel)

    x, y = (torch.from_numpy(image)[None, None] for image in (one, other))
    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
    bottom = (mean_x**2 + mean_y**2 + 1e-4) * (variance_x + variance_y + 9e-4)
    return float((top / bottom).mean())


@pytest.fixture(scope="module")
def floats(pair) -> tuple[np.ndarray, np.ndarray]:
    """(restored, truth) in [0, 1], the restored image as a network gives it: not rounded, and outside of the range."""
    _, truth, sigma = pair
    noisy = truth + np.random.default_rng(sigma).normal(0, sigma, truth.shape)
    return (noisy / 255).astype(np.float32), (truth / 255).astype(np.float32)


def block(image: np.ndarray) -> np.ndarray:
    """The top left corner: the definition takes seconds for a whole photograph."""
    return image[:128, :128]


def test_sidd_is_matlabs_volume_on_floats(floats) -> None:
    restored, truth = map(block, floats)
    found = score(restored, truth, {"psnr": PSNR(SIDD), "ssim": SSIM(SIDD)}, SIDD).values
    clipped, truth = np.clip(restored, 0, 1).astype(np.float64), truth.astype(np.float64)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, clipped, data_range=1), abs=1e-9)
    assert found["ssim"] == pytest.approx(conv3d_ssim(clipped, truth), abs=1e-9)


def test_the_volume_on_8_bits_is_the_same_filter(pair) -> None:
    restored, truth = map(block, pair[:2])
    assert SSIM(RGB_UINT8_SSIM3D)(restored, truth) == pytest.approx(conv3d_ssim(restored / 255, truth / 255), abs=1e-9)


def test_dpdd_is_scikit_images_default_on_floats(floats) -> None:
    restored, truth = floats
    found = score(restored, truth, {"psnr": PSNR(DPDD), "ssim": SSIM(DPDD)}, DPDD).values
    clipped, truth = np.clip(restored, 0, 1).astype(np.float64), truth.astype(np.float64)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, clipped, data_range=1), abs=1e-9)
    assert found["ssim"] == pytest.approx(structural_similarity(clipped, truth, data_range=1, channel_axis=2), abs=1e-9)


def test_the_kinds_of_ssim_are_far_apart(photos) -> None:
    """A photograph behind a Gaussian blur of σ 2, in the order of docs/task.md."""
    truth = photos["chelsea"] / 255
    blurred = gaussian_filter(truth, (2, 2, 0), mode="mirror")
    metrics = {protocol: {"ssim": SSIM(protocol)} for protocol in (RGB_UINT8, RGB_UINT8_SSIM3D, DPDD)}
    found = [score(blurred, truth, metric, protocol).values["ssim"] for protocol, metric in metrics.items()]
    assert found == pytest.approx([0.784, 0.966, 0.799], abs=1e-3)
