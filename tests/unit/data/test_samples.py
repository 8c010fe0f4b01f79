"""Samples as tests and cached features see them: one fixed picture an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.degradation import DegradationTraits
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet, Samples
from harness.core.errors import DataError, HarnessError
from harness.core.identity import seed
from harness.core.registry import Entry, Registry
from harness.data.samples import open_samples
from harness.parts.catalogue import BUILT_IN
from tests.stored_set import BASE, BLURRED, picture, store


class Coarse:
    """Noise that a camera rounds, and clips."""

    traits = DegradationTraits(quantised=True, acts="drawn", varies=("most",))

    def __init__(self, *, most: Any = 0.5) -> None:
        self.most = most

    def settings(self, random: np.random.Generator) -> dict[str, float]:
        return {"most": random.uniform(*self.most) if isinstance(self.most, tuple | list) else self.most}

    def with_settings(
        self, clean: np.ndarray, random: np.random.Generator, settings: Mapping[str, float]
    ) -> np.ndarray:
        return np.asarray(clean + random.uniform(-settings["most"], settings["most"], clean.shape), np.float32)

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return self.with_settings(clean, random, self.settings(random))


class Halves:
    """Gives what has another size."""

    traits = DegradationTraits(quantised=False, acts="drawn")

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean[::2]


REGISTRY = Registry(BUILT_IN).extended(
    [Entry("degradation", name.lower(), f"{Path(__file__).resolve()}:{name}") for name in ("Coarse", "Halves")]
)
NOISE = PartRef(name="gaussian_noise", options={"sigma": 25.0, "quantise": "none"}, drawn=True)
TEST = PreparedSet(dataset=PartRef(name="arrays"), split="test")


def images(number: int = 3, **options: Any) -> list[dict[str, Any]]:
    return [{"key": f"k{n}", "scene": f"s{n}", "gt": picture(n, 20 + n, 30, **options)} for n in range(number)]


@pytest.mark.parametrize(("dtype", "channels", "white"), [("uint8", 3, 255), ("uint16", 1, 65535)])
def test_noise_of_a_test_image_follows_from_its_names(dtype: str, channels: int, white: int, tmp_path: Path) -> None:
    store(TEST, images(dtype=dtype, channels=channels), tmp_path)
    opened = open_samples(Samples(stored=TEST, noise=NOISE), REGISTRY, tmp_path)
    for row in range(3):
        pair = opened.pair(row)
        stored = picture(row, 20 + row, 30, channels, dtype)
        random = np.random.default_rng(seed("degrade", "gaussian_noise", "gaussian_noise", "arrays", "test", f"k{row}"))
        noise = random.standard_normal(stored.shape, dtype=np.float32) * np.float32(25 / 255)
        assert (pair.key, pair.scene) == (f"k{row}", f"s{row}")
        np.testing.assert_array_equal(pair.gt, stored)
        np.testing.assert_array_equal(pair.lq, stored.astype(np.float32) / np.float32(white) + noise)
        np.testing.assert_array_equal(opened.picture(row), pair.lq)


def test_the_papers_draw_starts_from_zero_for_every_image(tmp_path: Path) -> None:
    store(TEST, images(), tmp_path)
    opened = open_samples(Samples(stored=TEST, noise=NOISE, draw="seed0"), REGISTRY, tmp_path)
    for row in range(3):
        np.random.seed(0)  # as the scripts do
        clean = np.float32(picture(row, 20 + row, 30)) / 255.0
        noisy = clean + np.random.normal(0, 25 / 255.0, clean.shape)
        np.testing.assert_array_equal(opened.pair(row).lq, noisy.astype(np.float32))


def test_two_strengths_share_their_pattern(tmp_path: Path) -> None:
    store(TEST, images(), tmp_path)
    patterns = []
    for sigma in (15.0, 50.0):
        noise = NOISE.model_copy(update={"options": {"sigma": sigma, "quantise": "none"}})
        pair = open_samples(Samples(stored=TEST, noise=noise), REGISTRY, tmp_path).pair(0)
        patterns.append((pair.lq - pair.gt / np.float32(255)) / sigma)
    np.testing.assert_allclose(patterns[0], patterns[1], atol=2e-8)


def test_quantised_noise_is_stored_as_a_camera_does_and_trained_on_as_floats(tmp_path: Path) -> None:
    store(BASE, images(), tmp_path)
    noise = PartRef(name="coarse", options={"most": [0.1, 0.9]}, drawn=True)
    opened = open_samples(Samples(stored=BASE, noise=noise), REGISTRY, tmp_path)
    random = np.random.default_rng(seed("degrade", "coarse", "coarse", "arrays", "train", "k0"))
    clean = picture(0, 20, 30).astype(np.float32) / np.float32(255)
    most = random.uniform(0.1, 0.9)
    expected = (clean + random.uniform(-most, most, clean.shape)).astype(np.float32).clip(0, 1)
    assert opened.picture(0).dtype == np.uint8
    np.testing.assert_array_equal(opened.picture(0), np.rint(expected * np.float32(255)).astype(np.uint8))

    degraded, settings = opened.drawn(picture(0, 20, 30), np.random.default_rng(7), "k0")
    assert settings == {"most": np.random.default_rng(7).uniform(0.1, 0.9)}
    assert degraded.dtype == np.float32
    levels = np.rint(degraded * 255)
    assert set(np.unique(levels)) <= set(range(256))
    np.testing.assert_array_equal(degraded, levels.astype(np.float32) / np.float32(255))


def test_pairs_that_a_data_set_brings_and_that_a_degradation_made(tmp_path: Path) -> None:
    brought = [{**each, "lq": picture(9, 20, 30, 6)} for each in images(1)]
    store(TEST, brought, tmp_path)
    pair = open_samples(Samples(stored=TEST), REGISTRY, tmp_path).pair(0)
    np.testing.assert_array_equal(pair.lq, picture(9, 20, 30, 6))
    base = store(BASE, images(), tmp_path)
    made = [{"key": each["key"], "scene": each["scene"], "lq": 255 - each["gt"]} for each in images()]
    store(BLURRED, made, tmp_path, source=base)
    opened = open_samples(Samples(stored=BLURRED), REGISTRY, tmp_path)
    np.testing.assert_array_equal(opened.pair(2).lq, 255 - picture(2, 22, 30))
    np.testing.assert_array_equal(opened.pair(2).gt, picture(2, 22, 30))
    assert opened.manifest_sha256 not in (base.manifest_sha256, "")


def test_images_without_a_partner_are_named(tmp_path: Path) -> None:
    store(BASE, [*images(1), {"key": "dark", "scene": "dark", "lq": picture(5, 20, 30)}], tmp_path)
    opened = open_samples(Samples(stored=BASE), REGISTRY, tmp_path)
    assert (opened.has_gt.tolist(), opened.has_lq.tolist()) == ([True, False], [False, True])
    with pytest.raises(DataError, match=r"image 'k0' of samples arrays.*no degraded image"):
        opened.picture(0)
    dark = opened.pair(1)
    assert dark.gt is None
    np.testing.assert_array_equal(dark.lq, picture(5, 20, 30))
    np.testing.assert_array_equal(opened.picture(1), picture(5, 20, 30))
    noisy = open_samples(Samples(stored=BASE, noise=NOISE), REGISTRY, tmp_path)
    assert noisy.has_lq.tolist() == [True, False], "noise needs a clean image"


def test_what_tests_cannot_draw_is_refused(tmp_path: Path) -> None:
    store(TEST, images(), tmp_path)
    store(BASE, images(), tmp_path)
    blind = PartRef(name="coarse", options={"most": [0.1, 0.9]}, drawn=True)
    with pytest.raises(HarnessError, match=r"most is a range.*the same for everybody"):
        open_samples(Samples(stored=TEST, noise=blind), REGISTRY, tmp_path)
    fixed = blind.model_copy(update={"options": {"most": 0.5}})
    with pytest.raises(HarnessError, match="cannot be drawn as 'seed0'"):
        open_samples(Samples(stored=TEST, noise=fixed, draw="seed0"), REGISTRY, tmp_path)
    with pytest.raises(HarnessError, match="gives 10×30×3 for image 'k0', which is 20×30×3"):
        open_samples(Samples(stored=BASE, noise=PartRef(name="halves", drawn=True)), REGISTRY, tmp_path).pair(0)


def test_settings_are_those_that_the_traits_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(BASE, images(), tmp_path)
    opened = open_samples(Samples(stored=BASE, noise=PartRef(name="coarse", drawn=True)), REGISTRY, tmp_path)
    assert opened.noise is not None
    monkeypatch.setattr(type(opened.noise), "settings", lambda self, random: {"least": 1.0})
    with pytest.raises(HarnessError, match="draws the settings least"):
        opened.drawn(picture(0, 20, 30), np.random.default_rng(0), "k0")
