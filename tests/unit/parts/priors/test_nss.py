"""Natural-scene statistics: pyiqa's numbers, one row per image, finite whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyiqa.archs.brisque_arch import natural_scene_statistics, scale_features
from pyiqa.matlab_utils import imresize
from pyiqa.utils.color_util import to_y_channel
from skimage import data

from harness.core.errors import DataError, HarnessError
from harness.parts.priors.nss import NaturalSceneStatistics


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255


def test_equals_the_features_that_pyiqa_scores_brisque_with(photo: torch.Tensor) -> None:
    luma = to_y_channel(photo, 255.0)
    half = imresize(luma, scale=0.5, antialiasing=True)
    numbers = scale_features(torch.cat([natural_scene_statistics(luma), natural_scene_statistics(half)], dim=1))
    row = NaturalSceneStatistics().encode(photo)
    assert row.shape == (1, 36)
    assert row.dtype == torch.float32
    assert torch.equal(row, numbers / numbers.norm())


@pytest.mark.parametrize(("scales", "dim"), [(1, 18), (3, 54)])
def test_scales_set_the_width_and_keep_the_larger_scales(photo: torch.Tensor, scales: int, dim: int) -> None:
    prior = NaturalSceneStatistics(scales=scales)
    row, two = prior.encode(photo), NaturalSceneStatistics().encode(photo)
    assert prior.dim == dim
    assert row.shape == (1, dim)
    common = min(dim, 36)
    torch.testing.assert_close(row[:, :common] / row[:, :1], two[:, :common] / two[:, :1])


def test_rows_depend_on_their_own_image_alone(photo: torch.Tensor) -> None:
    patch, flat = photo[..., 100:148, 100:148], torch.full((1, 3, 48, 48), 0.5)
    other, black = photo[..., 300:348, 20:68], torch.zeros(1, 3, 48, 48)
    prior = NaturalSceneStatistics()
    together = prior.encode(torch.cat([patch, flat, other, black]))
    assert torch.equal(together[:1], prior.encode(patch))
    assert torch.equal(together[2:3], prior.encode(other))
    assert not torch.allclose(together[0], together[2], atol=0.01)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_flat_image_has_no_statistics(level: float) -> None:
    assert torch.equal(NaturalSceneStatistics().encode(torch.full((1, 3, 64, 64), level)), torch.zeros(1, 36))


def test_what_one_image_does_not_determine_is_zero_and_the_rest_is_kept() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[..., 0, 0] = 1.0
    row = NaturalSceneStatistics().encode(image)
    assert torch.isfinite(row).all()
    assert row.norm().item() == pytest.approx(1.0, abs=1e-6)


def test_noise_changes_the_statistics_more_than_brightness(photo: torch.Tensor) -> None:
    prior, noise = NaturalSceneStatistics(), np.random.default_rng(0).normal(0, 25 / 255, photo.shape)
    clean = prior.encode(photo)
    noisy = prior.encode(photo + torch.from_numpy(noise).float())
    dimmer = prior.encode(photo * 0.9)
    assert (clean - noisy).norm() > 5 * (clean - dimmer).norm()


def test_too_small_an_image_and_no_scale_are_refused() -> None:
    with pytest.raises(DataError, match="14 pixels or more"):
        NaturalSceneStatistics().encode(torch.rand(1, 3, 64, 13))
    with pytest.raises(HarnessError, match="at least one scale"):
        NaturalSceneStatistics(scales=0)
