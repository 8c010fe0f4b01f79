"""The protocol is applied once, at one place, and as it says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from harness.api.metric import Metric, MetricTraits
from harness.api.protocols import RGB_FLOAT, RGB_UINT8, RGB_UINT8_SSIM3D
from harness.api.reference import PartRef
from harness.core.beat import beats
from harness.core.errors import DataError, MissingWeights, UnknownName
from harness.evaluation.prepared import apply_protocol
from harness.evaluation.score import Scores, build_metrics, score
from harness.parts.catalogue import REGISTRY


def built(*names: str) -> dict[str, Metric]:
    return build_metrics({name: PartRef(name=name) for name in names}, RGB_UINT8, REGISTRY)


def image(seed: int = 0, height: int = 20, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 0.4, (height, width, 3)).astype(np.float32)


class Told:
    """A metric that is a function."""

    def __init__(self, value: Any, **traits: Any) -> None:
        self.value, self.traits = value, MetricTraits(higher_is_better=True, **traits)

    def __call__(self, *given: np.ndarray) -> Any:
        return self.value(*given)


def test_uint8_clips_and_rounds() -> None:
    values = apply_protocol(np.array([[[-0.2, 0.5, 1.7]]], np.float32), RGB_UINT8)
    np.testing.assert_array_equal(values, [[[0, 128, 255]]])  # 127.5 to the even neighbour
    assert values.dtype == np.float64


def test_none_clips_only() -> None:
    np.testing.assert_array_equal(
        apply_protocol(np.array([[[-0.2, 0.25, 1.7]]], np.float32), RGB_FLOAT), [[[0, 63.75, 255]]]
    )


def test_border_is_cut() -> None:
    given = image()
    cut = apply_protocol(given, replace(RGB_UINT8, border=4))
    np.testing.assert_array_equal(cut, apply_protocol(given, RGB_UINT8)[4:-4, 4:-4])
    with pytest.raises(DataError, match="24×20"):
        apply_protocol(given, replace(RGB_UINT8, border=10))


def test_every_8_bit_value_survives_the_way_through_float() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, -1, 1).repeat(3, 2)
    np.testing.assert_array_equal(apply_protocol(values.astype(np.float32) / np.float32(255), RGB_UINT8), values)


def test_metrics_of_arrays_equal_metrics_of_saved_pngs(tmp_path) -> None:
    metrics = built("psnr", "ssim")
    restored, truth = image(1), np.clip(image(2), 0, 1)
    direct = score(restored, truth, metrics, RGB_UINT8)
    assert direct.left_out == {}
    loaded = []
    for number, array in enumerate((restored, truth)):
        path = str(tmp_path / f"{number}.png")
        cv2.imwrite(path, apply_protocol(array, RGB_UINT8).astype(np.uint8))
        loaded.append(cv2.imread(path, cv2.IMREAD_COLOR).astype(np.float32) / 255)
    assert score(loaded[0], loaded[1], metrics, RGB_UINT8) == direct
    assert list(direct.values) == ["psnr", "ssim"]


def test_clipping_helps_unclipped_noise() -> None:
    """The row `input` of denoising: noise beyond black and white is cut off before it is scored."""
    truth = np.zeros((16, 16, 3), np.float32)
    noisy = truth.copy()
    noisy[::2] = -0.5
    assert score(noisy, truth, built("psnr"), RGB_UINT8) == Scores({"psnr": math.inf}, {})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_no_score(value: float) -> None:
    bad = image()
    bad[3, 3, 0] = value
    with pytest.raises(DataError, match="not finite") as caught:
        score(bad, image(), built("psnr"), RGB_UINT8)
    assert caught.value.kind == "nan"


def test_a_metric_that_cannot_be_computed_costs_no_other_one() -> None:
    thin = image(0, 9, 40)
    found = score(thin, thin, built("psnr", "ssim"), RGB_UINT8)
    assert found.values == {"psnr": math.inf}
    assert found.left_out == {"ssim": "ssim: SSIM needs at least 11×11 pixels, the image has 40×9"}


def test_every_metric_is_a_sign_of_life() -> None:
    before = beats()
    score(image(), image(), built("psnr", "ssim"), RGB_UINT8)
    assert beats() - before == 2


def test_nan_is_no_value() -> None:
    metrics: dict[str, Any] = {"odd": Told(lambda restored, truth: math.nan), **built("psnr")}
    assert score(image(), image(), metrics, RGB_UINT8) == Scores(
        {"psnr": math.inf}, {"odd": "odd: its value is not a number"}
    )


def test_a_border_wider_than_the_image_is_the_reason_for_every_metric() -> None:
    found = score(image(), image(), built("psnr", "ssim"), replace(RGB_UINT8, border=10))
    assert found == Scores(
        {}, dict.fromkeys(["psnr", "ssim"], "protocol rgb_uint8 cuts 10 pixels per side, the image has 24×20")
    )


def test_gray_images_have_the_scores_of_their_one_channel() -> None:
    truth, restored = (np.random.default_rng(seed).random((24, 20, 1), np.float32) for seed in (1, 2))
    for protocol in (RGB_UINT8, RGB_UINT8_SSIM3D, replace(RGB_UINT8, colour="gray", ssim="y")):
        metrics = build_metrics({name: PartRef(name=name) for name in ("psnr", "ssim")}, protocol, REGISTRY)
        found = score(restored, truth, metrics, protocol).values
        one, other = (np.rint(each[..., 0].astype(float) * 255) for each in (restored, truth))
        assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(other, one, data_range=255), abs=1e-9)
        own = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        whole = structural_similarity(other, one, full=True, **own)[1]
        assert found["ssim"] == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-3)


def test_sizes_must_agree() -> None:
    with pytest.raises(DataError, match="ground truth"):
        score(image(0, 20, 24), image(0, 20, 23), built("psnr"), RGB_UINT8)


def test_unknown_and_blocked_metrics(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UnknownName, match="sim"):
        built("sim")
    with pytest.raises(MissingWeights):
        built("lpips")
