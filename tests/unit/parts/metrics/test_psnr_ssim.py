"""PSNR and SSIM against numbers that can be worked out by hand. Real photographs: tests/calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.api.protocols import RGB_FLOAT, RGB_UINT8, RGB_UINT8_SSIM3D, Y_FLOAT, Y_MATLAB
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.parts.metrics import ssim
from harness.parts.metrics.colour import luma, planes
from harness.parts.metrics.mae import MAE
from harness.parts.metrics.psnr import PSNR
from harness.parts.metrics.ssim import C1, C2, ROWS, SSIM

GRAY = EvaluationProtocol("gray_uint8", 1, colour="gray", ssim="y")


def flat(value: float, height: int = 16, width: int = 20) -> np.ndarray:
    return np.full((height, width, 3), float(value))


def noise(seed: int = 0, height: int = 24, width: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float64)


def test_psnr_of_a_constant_error() -> None:
    assert PSNR(RGB_UINT8)(flat(100), flat(105)) == pytest.approx(20 * math.log10(255 / 5), abs=1e-12)


def test_psnr_of_identical_images_is_infinite() -> None:
    image = noise()
    assert PSNR(RGB_UINT8)(image, image.copy()) == math.inf


def test_psnr_weighs_all_channels_alike() -> None:
    other = flat(100.0)
    other[..., 1] += 3
    assert PSNR(RGB_UINT8)(other, flat(100)) == pytest.approx(10 * math.log10(255**2 / 3), abs=1e-12)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    # MATLAB: rgb2ycbcr(uint8(cat(3, r, g, b))), first channel
    [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81), ((0, 255, 0), 145), ((0, 0, 255), 41)],
)
def test_luma_is_matlabs(rgb: tuple[int, int, int], expected: int) -> None:
    image = np.array(rgb, float)[None, None]
    assert luma(image, Y_MATLAB).item() == expected
    unrounded = EvaluationProtocol("y_float", 1, colour="y", rounding="none", ssim="y")
    assert abs(luma(image, unrounded).item() - expected) < 0.5


def test_limited_range_reads_higher_than_full_range() -> None:
    one, other = noise(1), np.clip(noise(1) + np.random.default_rng(2).normal(0, 40, (24, 20, 3)), 0, 255)
    assert PSNR(Y_MATLAB)(one, other) - PSNR(GRAY)(one, other) == pytest.approx(20 * math.log10(255 / 219), abs=0.02)


def test_gray_images_keep_their_values_under_the_colour_gray() -> None:
    image = np.repeat(noise()[..., :1], 3, axis=2)
    np.testing.assert_array_equal(planes(image, GRAY), image[..., :1])


def test_rgb_images_go_through_unchanged() -> None:
    image = noise()
    assert planes(image, RGB_UINT8) is image


@pytest.mark.parametrize("protocol", [RGB_UINT8, RGB_UINT8_SSIM3D, Y_MATLAB, RGB_FLOAT])
def test_ssim_of_identical_images_is_one(protocol: EvaluationProtocol) -> None:
    assert SSIM(protocol)(noise(), noise()) == pytest.approx(1.0, abs=1e-12)


def test_ssim_of_flat_images_is_its_luminance_term() -> None:
    expected = (2 * 100 * 120 + C1) / (100**2 + 120**2 + C1)
    for protocol in (RGB_UINT8, RGB_UINT8_SSIM3D):
        assert SSIM(protocol)(flat(100), flat(120)) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_one_window_by_definition() -> None:
    """An 11×11 image has one window inside: the formula with weighted moments, no filter involved."""
    one, other = noise(3, 11, 11)[..., 0], noise(4, 11, 11)[..., 0]
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = np.outer(taps, taps) / taps.sum() ** 2
    mean = [(weights * image).sum() for image in (one, other)]
    variance = [(weights * (image - m) ** 2).sum() for image, m in zip((one, other), mean, strict=True)]
    covariance = (weights * (one - mean[0]) * (other - mean[1])).sum()
    expected = (2 * mean[0] * mean[1] + C1) * (2 * covariance + C2)
    expected /= (mean[0] ** 2 + mean[1] ** 2 + C1) * (variance[0] + variance[1] + C2)
    stack = [np.repeat(image[..., None], 3, axis=2) for image in (one, other)]
    assert SSIM(RGB_UINT8)(*stack) == pytest.approx(expected, abs=1e-10)


def test_ssim_may_be_negative() -> None:
    image = noise(5)
    assert SSIM(RGB_UINT8)(255 - image, image) < -0.5


def test_ssim_refuses_images_below_its_window() -> None:
    with pytest.raises(DataError, match="11×11 pixels, the image has 30×10"):
        SSIM(RGB_UINT8)(noise(0, 10, 30), noise(1, 10, 30))


@pytest.mark.parametrize("height", [11, 12, ROWS + 4, ROWS + 15, 2 * ROWS + 21])
@pytest.mark.parametrize("family", ["rgb2d", "rgb3d", "y", "uniform7"])
def test_strips_are_the_whole_map(family: str, height: int) -> None:
    """Cutting an image in strips of rows changes nothing of SSIM: the map of the whole image at once is the truth."""
    protocol = EvaluationProtocol("any", 1, rounding="none", ssim=family)  # type: ignore[arg-type]
    one, other = noise(6, height, 27), noise(7, height, 27)
    seen = [luma(image, protocol) if family == "y" else image for image in (one, other)]
    blur, cut, unbiased = {
        "rgb2d": (ssim._gaussian, 5, 1.0),
        "y": (ssim._gaussian, 5, 1.0),
        "rgb3d": (ssim._volume, 0, 1.0),
        "uniform7": (ssim._uniform, 3, 49 / 48),
    }[family]
    whole = ssim.similarity_map(seen[0], seen[1], blur, unbiased)[cut : height - cut, cut : 27 - cut]
    assert SSIM(protocol)(one, other) == pytest.approx(whole.mean(), abs=1e-12)


def test_what_a_mask_leaves_out_counts_nowhere() -> None:
    """SSIM's windows still see it, and so both images are equal there."""
    one, other, mask = noise(8, 40, 30), noise(9, 40, 30), np.ones((40, 30))
    mask[:20] = 0
    masked = one * mask[..., None], other * mask[..., None], mask
    assert PSNR(RGB_UINT8)(*masked) == pytest.approx(PSNR(RGB_UINT8)(one[20:], other[20:]), abs=1e-9)
    everything = np.ones((40, 30))
    for metric in (PSNR(RGB_UINT8), SSIM(RGB_UINT8), SSIM(RGB_UINT8_SSIM3D), MAE(RGB_UINT8)):
        assert metric(one, other, everything) == pytest.approx(metric(one, other), abs=1e-12)
        with pytest.raises(DataError, match="no pixel of the image counts"):
            metric(one, other, np.zeros((40, 30)))


def test_luma_stays_unrounded_where_the_protocol_says_so() -> None:
    image = np.array([[[10.0, 200.0, 30.0]]])
    assert luma(image, Y_FLOAT).item() == pytest.approx(16 + (10 * 65.481 + 200 * 128.553 + 30 * 24.966) / 255)
    assert luma(image, Y_FLOAT).item() != luma(image, Y_MATLAB).item()
