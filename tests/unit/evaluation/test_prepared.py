"""What metrics read, where the clean image decides it: alignment and the mean of grey."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from harness.api.protocols import LOL_GTMEAN, REALBLUR_ALIGNED, RGB_UINT8
from harness.core.errors import DataError
from harness.evaluation.prepared import apply_protocol, prepare, with_mean_of


def picture(seed: int = 0, channels: int = 3) -> np.ndarray:
    """60×72 float32, smooth enough to be aligned."""
    noise = np.random.default_rng(seed).random((60, 72, channels), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3).reshape(noise.shape)
    return np.asarray((smooth - smooth.min()) / (smooth.max() - smooth.min()), np.float32)


def test_without_a_clean_image_there_is_only_the_restored_one() -> None:
    found = prepare(picture(), None, RGB_UINT8)
    assert (found.truth, found.mask_HW) == (None, None)
    np.testing.assert_array_equal(found.restored, apply_protocol(picture(), RGB_UINT8))
    for protocol in (LOL_GTMEAN, REALBLUR_ALIGNED):
        with pytest.raises(DataError, match=f"{protocol.name} compares with clean images, and it has none"):
            prepare(picture(), None, protocol)


def test_a_shifted_image_comes_to_lie_on_the_clean_one() -> None:
    """What the warp cannot know is masked and black in both; elsewhere the truth is what it was."""
    whole = picture()
    truth, moved = whole[:, 4:], whole[:, :-4]
    found = prepare(0.5 * moved, truth, REALBLUR_ALIGNED)
    assert found.truth is not None
    assert found.mask_HW is not None
    assert set(np.unique(found.mask_HW)) == {0.0, 1.0}
    outside = found.mask_HW == 0
    assert outside.mean() == pytest.approx(4 / 68, abs=0.02)
    assert outside[:, :3].sum() + outside[:, -4:].sum() > 0.9 * outside.sum()
    assert not found.restored[outside].any()
    assert not found.truth[outside].any()
    inside = np.abs(found.restored - found.truth)[~outside]
    apart = np.abs(apply_protocol(moved, RGB_UINT8) - apply_protocol(truth, RGB_UINT8))
    assert inside.mean() < apart.mean() / 4, "brightness and place are made nearly those of the truth"
    np.testing.assert_array_equal(found.truth[~outside], apply_protocol(truth, RGB_UINT8)[~outside])


@pytest.mark.parametrize("value", [0.5, 0.0])
def test_what_shows_nothing_cannot_be_aligned(value: float) -> None:
    with pytest.raises(DataError, match="cannot be aligned"):
        prepare(np.full_like(picture(), value), picture(), REALBLUR_ALIGNED)


def test_other_pictures_cannot_be_aligned() -> None:
    random = np.random.default_rng(0)
    one, other = (random.random((64, 80, 3), np.float32) for _ in range(2))
    with pytest.raises(DataError, match="cannot be aligned with the clean one"):
        prepare(one, other, REALBLUR_ALIGNED)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mean_of_grey_becomes_that_of_the_truth(channels: int) -> None:
    truth = picture(1, channels)
    made = with_mean_of(np.float32(0.25) * truth, truth)
    np.testing.assert_allclose(made, truth, atol=1e-6)
    unclipped = with_mean_of(np.where(truth > 0.5, 7, truth).astype(np.float32), truth)
    assert unclipped.max() <= 1, "it is clipped before its mean is taken"


def test_no_factor_makes_black_brighter() -> None:
    for black in (0 * picture(), -picture()):
        with pytest.raises(DataError, match="the restored image is black"):
            prepare(black, picture(), LOL_GTMEAN)


def test_the_border_is_cut_before_images_are_aligned() -> None:
    whole = picture()
    truth, moved = whole[:, 4:], whole[:, :-4]
    cut = prepare(moved, truth, replace(REALBLUR_ALIGNED, name="cut", border=5))
    alone = prepare(moved[5:-5, 5:-5], truth[5:-5, 5:-5], REALBLUR_ALIGNED)
    np.testing.assert_array_equal(cut.restored, alone.restored)
