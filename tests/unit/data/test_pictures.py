"""Which pictures have prior vectors, what they are called, and how they fall into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, Grid, Samples
from harness.data.pictures import Pictures
from harness.data.samples import OpenSamples, open_samples
from harness.parts.catalogue import REGISTRY
from tests.stored_set import BASE, picture, store

NOISE = PartRef(name="gaussian_noise", options={"sigma": 25.0}, drawn=True)


def pictures(data: Path, noise: PartRef | None = None, **changes: Any) -> tuple[Pictures, OpenSamples]:
    samples = Samples(stored=BASE, noise=noise)
    features = FeatureSet(prior=PartRef(name="nss"), samples=samples, reference=samples, **changes)
    opened = open_samples(samples, REGISTRY, data)
    return Pictures(features, opened), opened


def halves(data: Path) -> None:
    """Four degraded images and three clean ones, apart."""
    images = [{"key": f"k{n}", "scene": f"s{n}", "lq" if n % 2 == 0 else "gt": picture(n, 40, 50)} for n in range(7)]
    store(BASE, images, data)


def test_samples_without_a_degraded_image_have_no_picture(tmp_path: Path) -> None:
    halves(tmp_path)
    found, _ = pictures(tmp_path)
    assert found.samples.tolist() == [0, 2, 4, 6]
    assert (found.keys, found.scenes) == (["k0", "k2", "k4", "k6"], ["s0", "s2", "s4", "s6"])
    for number, seen in zip((0, 2, 4, 6), found, strict=True):
        np.testing.assert_array_equal(seen, picture(number, 40, 50).astype(np.float32) / np.float32(255))
    assert [each.tolist() for each in found.pieces(5)] == [[0, 2], [4], [6]]  # of shards of three samples


def test_crops_are_counted_over_the_images_that_have_them(tmp_path: Path) -> None:
    halves(tmp_path)
    found, _ = pictures(tmp_path, policy="crop", grid=Grid(height=32, width=32, stride=32), augment="flip")
    assert found.samples.tolist() == list(range(16))  # two down, two across, of four images
    assert found.keys[:5] == ["k0-y00000-x00000", "k0-y00000-x00018", "k0-y00008-x00000", "k0-y00008-x00018",
                              "k2-y00000-x00000"]  # fmt: skip
    seen = list(found)
    crop = picture(0, 40, 50)[8:40, 18:50].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(seen[6], crop)
    np.testing.assert_array_equal(seen[7], crop[:, ::-1])
    assert [len(each) for each in found.pieces(5)] == [8, 4, 4]


def test_a_piece_holds_no_more_than_its_budget_and_one_sample_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves(tmp_path)
    monkeypatch.setattr("harness.data.pictures.PIECE_BYTES", 4 * 5 * 2 * 3)  # three samples of 5 numbers, turned twice
    found, _ = pictures(tmp_path, policy="crop", grid=Grid(height=32, width=32, stride=32), augment="flip")
    assert [len(each) for each in found.pieces(5)] == [3, 3, 2, 3, 1, 3, 1]
    assert {len(each) for each in found.pieces(50)} == {1}


def test_several_noisy_images_of_one_clean_one_have_one_fixed_picture_each(tmp_path: Path) -> None:
    images = [
        {"key": f"k{n}", "scene": f"s{n // 2}", "truth": f"t{n // 2}", "gt": picture(n // 2, 24, 32)} for n in range(6)
    ]
    store(BASE, images, tmp_path)
    found, opened = pictures(tmp_path, noise=NOISE)
    seen = list(found)
    assert [each.tolist() for each in found.pieces(5)] == [[0, 1, 2], [3, 4, 5]]
    assert all(np.array_equal(one, other) for one, other in zip(seen, found, strict=True))
    assert not np.array_equal(seen[0], seen[1])
    for row, one in enumerate(seen):
        np.testing.assert_array_equal(one, opened.picture(row))


def test_test_images_are_whole_whatever_training_cuts(tmp_path: Path) -> None:
    halves(tmp_path)
    samples = Samples(stored=BASE)
    train = samples.model_copy(update={"stored": BASE.model_copy(update={"split": "other"})})
    grid = Grid(height=32, width=32, stride=32)
    features = FeatureSet(
        prior=PartRef(name="mean", derived_from=PartRef(name="nss")),
        samples=samples,
        reference=train,
        policy="crop",
        grid=grid,
        resize=(64, 64),
    )
    found = Pictures(features, open_samples(samples, REGISTRY, tmp_path))
    assert [seen.shape for seen in found] == [(40, 50, 3)] * 4
