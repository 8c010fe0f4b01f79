"""Every protocol against the field's script, written again here from what it does, in plain numpy and ndimage.

None of this shares code with the harness: filters are scipy's, resizing and ECC are OpenCV's own calls in the order of
the scripts. Agreement is asked to 0.005 dB and 1e-4 of SSIM.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity
from skimage.util import img_as_ubyte

from harness.api.protocols import (
    LOL_GTMEAN,
    PROTOCOLS,
    REALBLUR_ALIGNED,
    RETINEXFORMER_LOL,
    RGB_UINT8,
    SID_RESIZED,
    SNR_LOL,
    Y_FLOAT,
    Y_MATLAB,
)
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.data.samples import Pair
from harness.evaluation.prepared import apply_protocol
from harness.evaluation.score import build_metrics, score
from harness.evaluation.sight import seen
from harness.parts.catalogue import REGISTRY

DB, SSIM = 0.005, 1e-4
KEYS = ("chelsea", "coffee", "flower")


def f32(values: npt.ArrayLike) -> np.ndarray:
    return np.asarray(values, np.float32)


@pytest.fixture(scope="module")
def photos() -> dict[str, np.ndarray]:
    return {image.key: image.pixels for image in REGISTRY.load("dataset", "photos")().images("test")}


@pytest.fixture(params=KEYS, scope="module")
def pair(request: pytest.FixtureRequest, photos: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(restored, truth), 120×136 float32: a photograph, and one that is darker, noisy and unclipped."""
    truth = f32(photos[request.param][:120, :136]) / np.float32(255)
    noise = np.random.default_rng(len(request.param)).normal(0, 0.06, truth.shape)
    return f32(0.9 * truth + 0.02 + noise), truth


def ours(restored: np.ndarray, truth: np.ndarray, protocol: EvaluationProtocol) -> tuple[float, float]:
    metrics = build_metrics({name: PartRef(name=name) for name in ("psnr", "ssim")}, protocol, REGISTRY)
    found = score(restored, truth, metrics, protocol)
    assert not found.left_out
    assert not found.broken
    return found.values["psnr"], found.values["ssim"]


def eight_bits(image: np.ndarray) -> np.ndarray:
    """What a test script saves: clamped, rounded to 8 bits."""
    return np.asarray(img_as_ubyte(np.clip(image, 0, 1)), np.float64)


def psnr(one: np.ndarray, other: np.ndarray, peak: float = 255.0) -> float:
    return 20 * math.log10(peak / math.sqrt(np.mean((one - other) ** 2)))


WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()


def smooth(image: np.ndarray, mode: str, axes: tuple[int, ...]) -> np.ndarray:
    for axis in axes:
        image = correlate1d(image, WINDOW, axis=axis, mode=mode)
    return image


def similarity(one: np.ndarray, other: np.ndarray, mode: str = "reflect", axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """The map of Wang et al., TIP 2004, values in [0, 255]."""
    a, b = smooth(one, mode, axes), smooth(other, mode, axes)
    aa, bb, ab = (smooth(x, mode, axes) for x in (one * one, other * other, one * other))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * a * b + c1) * (2 * (ab - a * b) + c2)) / ((a * a + b * b + c1) * (aa - a * a + bb - b * b + c2))


def ssim_2d(one: np.ndarray, other: np.ndarray) -> float:
    return float(similarity(one, other)[5:-5, 5:-5].mean())


def matlab_y(image: np.ndarray) -> np.ndarray:
    """rgb2ycbcr of a uint8 image: a matrix of doubles, then the rounding of uint8."""
    r, g, b = np.moveaxis(image, -1, 0)
    return np.floor(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255 + 0.5)


def uint8_rgb(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    one, other = eight_bits(restored), eight_bits(truth)
    return psnr(one, other), ssim_2d(one, other)


def uint8_volume(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """MATLAB's ssim on H×W×3: a window over all three axes, borders repeated, every pixel counted."""
    one, other = eight_bits(restored), eight_bits(truth)
    return psnr(one, other), float(similarity(one, other, "nearest", (0, 1, 2)).mean())


def float_rgb(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    one, other = (np.clip(each.astype(np.float64), 0, 1) * 255 for each in (restored, truth))
    return psnr(one, other), ssim_2d(one, other)


def float_volume(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    one, other = (np.clip(each.astype(np.float64), 0, 1) * 255 for each in (restored, truth))
    return psnr(one, other), float(similarity(one, other, "nearest", (0, 1, 2)).mean())


def float_uniform(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    one, other = (np.clip(each.astype(np.float64), 0, 1) for each in (restored, truth))
    return psnr(one, other, 1.0), float(structural_similarity(other, one, data_range=1.0, channel_axis=2))


def matlab_luma(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    one, other = matlab_y(eight_bits(restored)), matlab_y(eight_bits(truth))
    return psnr(one, other), ssim_2d(one, other)


def basicsr_luma(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """BasicSR: 8-bit images as float32 in [0, 1], Y without rounding, times 255."""
    weights = np.array([65.481, 128.553, 24.966])
    one, other = (
        ((f32(eight_bits(each)) / np.float32(255)) @ weights + 16).astype(np.float32).astype(np.float64)
        for each in (restored, truth)
    )
    return psnr(one, other), ssim_2d(one, other)


def first_channel(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    one, other = eight_bits(restored)[..., 0], eight_bits(truth)[..., 0]
    return psnr(one, other), ssim_2d(one, other)


def retinexformer(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    clipped = np.clip(restored, 0, 1)
    error = np.mean((truth - clipped) ** 2)
    return 10 * math.log10(1 / error), ssim_2d(eight_bits(clipped), eight_bits(truth))


def grey_matched(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    clipped = np.clip(restored, 0, 1)
    means = [float(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).mean(dtype=np.float64)) for each in (clipped, truth)]
    return uint8_rgb(np.clip(clipped * (means[1] / means[0]), 0, 1), truth)


FIELD = {
    "rgb_uint8": uint8_rgb,
    "rgb_uint8_scenes": uint8_rgb,
    "sid_resized": uint8_rgb,
    "sid_resized_scenes": uint8_rgb,
    "snr_lol": uint8_rgb,
    "noise_seed0": uint8_rgb,
    "rgb_uint8_ssim3d": uint8_volume,
    "rgb_float": float_rgb,
    "sidd": float_volume,
    "dpdd": float_uniform,
    "y_matlab": matlab_luma,
    "y_float": basicsr_luma,
    "retinexformer_lol": retinexformer,
    "lol_gtmean": grey_matched,
}
"""What each script does once it has the restored image. Resizing, noise, alignment and gray have tests of their own."""


@pytest.mark.parametrize("name", FIELD)
def test_as_the_fields_script(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    found, expected = ours(*pair, PROTOCOLS[name]), FIELD[name](*pair)
    assert found[0] == pytest.approx(expected[0], abs=DB)
    assert found[1] == pytest.approx(expected[1], abs=SSIM)


@pytest.mark.parametrize("name", ["gray_uint8", "noise_seed0_gray"])
def test_gray_as_the_fields_script(pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    restored, truth = (image[..., :1] for image in pair)
    found, expected = ours(restored, truth, PROTOCOLS[name]), first_channel(*pair)
    assert found[0] == pytest.approx(expected[0], abs=DB)
    assert found[1] == pytest.approx(expected[1], abs=SSIM)


def test_every_protocol_has_a_script_here() -> None:
    assert {*FIELD, "gray_uint8", "noise_seed0_gray", "realblur_aligned"} == set(PROTOCOLS)


def test_matlabs_luma_of_known_colours() -> None:
    """rgb2ycbcr's documented range is 16 to 235; black, white, and the primaries by its formula."""
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.float64)
    np.testing.assert_array_equal(matlab_y(colours), [16, 235, 81, 145, 41])


def realblur(restored: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The script's steps on saved 8-bit images: scale, ECC, warp, mask."""
    z, x = (f32(eight_bits(each)) / np.float32(255) for each in (restored, truth))
    zs = (np.sum(x * z) / np.sum(z * z)) * z
    gray = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (x, zs)]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    _, warp = cv2.findTransformECC(
        gray[0], gray[1], np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, inputMask=None, gaussFiltSize=5
    )
    size = (x.shape[1], x.shape[0])
    cubic, near = cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP, cv2.INTER_NEAREST + cv2.WARP_INVERSE_MAP
    zr = cv2.warpPerspective(zs, warp, size, flags=cubic, borderMode=cv2.BORDER_REFLECT)
    cr = cv2.warpPerspective(np.ones_like(zs), warp, size, flags=near, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    zr, xr = zr * cr, x * cr
    error = np.sum((xr - zr) ** 2, dtype=np.float64) / np.sum(cr)
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    found = structural_similarity(xr, zr, channel_axis=2, **options)[1] * cr
    inner, mask = found[5:-5, 5:-5], cr[5:-5, 5:-5]
    return 10 * math.log10(1 / error), float(np.mean(inner.sum(axis=(0, 1)) / mask.sum(axis=(0, 1))))


def test_realblur_as_its_script(photos: dict[str, np.ndarray]) -> None:
    """On an image that is shifted by a few pixels, darker, and noisy: unaligned it would score far lower."""
    photo = f32(photos["coffee"]) / np.float32(255)
    truth, moved = photo[40:200, 40:240], photo[43:203, 38:238]
    noise = np.random.default_rng(0).normal(0, 0.01, truth.shape)
    restored = f32(0.8 * moved + noise)
    found, expected = ours(restored, truth, REALBLUR_ALIGNED), realblur(restored, truth)
    assert found[0] == pytest.approx(expected[0], abs=DB)
    assert found[1] == pytest.approx(expected[1], abs=SSIM)
    assert found[0] > ours(restored, truth, RGB_UINT8)[0] + 5


def test_a_border_is_cut_before_anything_is_compared(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A protocol with a border equals the script on the inner images: windows of SSIM end there, too."""
    restored, truth = pair
    found = ours(restored, truth, replace(RGB_UINT8, name="cut", border=4))
    expected = uint8_rgb(restored[4:-4, 4:-4], truth[4:-4, 4:-4])
    assert found == (pytest.approx(expected[0], abs=DB), pytest.approx(expected[1], abs=SSIM))


def test_saved_pngs_and_tensors_differ_by_what_rounding_does(
    pair: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Under `rgb_uint8` scoring the array equals scoring the file; under `rgb_float` it does not."""
    restored, truth = pair
    path = str(tmp_path / "saved.png")
    cv2.imwrite(path, cv2.cvtColor(eight_bits(restored).astype(np.uint8), cv2.COLOR_RGB2BGR))
    saved = f32(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)) / np.float32(255)
    assert ours(saved, truth, RGB_UINT8) == ours(restored, truth, RGB_UINT8)
    assert ours(saved, truth, PROTOCOLS["rgb_float"]) != ours(restored, truth, PROTOCOLS["rgb_float"])


def test_limited_range_reads_higher_by_the_ratio_of_ranges(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """20·log10(255/219) = 1.32 dB above the full range, and rounding Y moves it by little."""
    restored, truth = pair
    one, other = (eight_bits(each) @ [0.299, 0.587, 0.114] for each in pair)
    full = psnr(one, other)
    assert ours(restored, truth, Y_FLOAT)[0] - full == pytest.approx(20 * math.log10(255 / 219), abs=0.01)
    assert ours(restored, truth, Y_MATLAB)[0] != ours(restored, truth, Y_FLOAT)[0]


def test_gt_mean_is_worth_decibels_in_the_dark(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """What makes its columns incomparable: a restoration that is right but for its brightness."""
    restored, truth = f32(0.7 * pair[1]), pair[1]
    assert ours(restored, truth, LOL_GTMEAN)[0] > ours(restored, truth, RGB_UINT8)[0] + 2


def test_float_psnr_and_8_bit_ssim_stand_in_one_protocol(pair: tuple[np.ndarray, np.ndarray]) -> None:
    restored, truth = pair
    found, floats, rounded = (
        ours(restored, truth, protocol) for protocol in (RETINEXFORMER_LOL, PROTOCOLS["rgb_float"], RGB_UINT8)
    )
    assert found == (floats[0], rounded[1])
    assert (floats[0] != rounded[0], floats[1] != rounded[1]) == (True, True)


def test_images_are_resized_as_8_bit_images(photos: dict[str, np.ndarray]) -> None:
    """The low-light loaders resize what np.load gives, 8-bit arrays, and divide by 255 afterwards."""
    lq, gt = photos["chelsea"][:90, :70], photos["coffee"][:90, :70]
    found = seen(Pair("a", "s", lq, gt), SID_RESIZED.read)
    for image, stored in zip(found, (lq, gt), strict=True):
        assert image is not None
        read = cv2.resize(stored, (960, 512)).astype(np.float32) / 255.0
        np.testing.assert_array_equal(image, read)
    assert SNR_LOL.read is None


def test_the_fast_way_to_8_bits_is_the_plain_one() -> None:
    """At, and one step of float32 around, every value where rounding changes; far outside of [0, 1]; zeros' signs."""
    halves = f32((np.arange(-3, 260) + 0.5) / 255)
    given = np.concatenate([
        halves, np.nextafter(halves, np.float32(-9)), np.nextafter(halves, np.float32(9)),
        f32([-1e30, -1, -0.0, 0, 1, 1 + 2**-23, 1e30]),
        np.random.default_rng(0).normal(0.5, 1, 3 * 2000).astype(np.float32),
    ])  # fmt: skip
    image = given[: len(given) // 3 * 3].reshape(1, -1, 3)
    plain = np.clip(image.astype(np.float64), 0.0, 1.0) * 255.0
    np.testing.assert_array_equal(apply_protocol(image, RGB_UINT8), np.rint(plain))
    np.testing.assert_array_equal(apply_protocol(image, PROTOCOLS["rgb_float"]), plain)
