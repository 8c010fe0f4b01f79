from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d

from harness.core.errors import HarnessError
from harness.parts.backbones.nafnet import LocalMean, NAFNet

SMALL: dict[str, Any] = {"width": 4, "enc_blk_nums": (1, 1), "middle_blk_num": 1, "dec_blk_nums": (1, 1)}


def test_levels_must_pair() -> None:
    with pytest.raises(HarnessError, match="as many decoder as encoder levels"):
        NAFNet(width=4, enc_blk_nums=(1, 1), dec_blk_nums=(1,))


def test_taps_follow_the_levels() -> None:
    assert NAFNet(**SMALL).capabilities.taps == ("encoders.0", "encoders.1", "middle_blks")


def test_training_raises_no_deprecation_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        NAFNet(**SMALL)(torch.rand(1, 3, 8, 8)).sum().backward()


def test_local_mean_is_a_sliding_mean_with_replicated_borders() -> None:
    image = torch.rand(1, 2, 12, 15)
    means = LocalMean(5)(image)
    expected = uniform_filter1d(uniform_filter1d(image.numpy(), 5, axis=-2), 5, axis=-1)
    inside = (..., slice(2, -2), slice(2, -2))
    assert np.allclose(means.numpy()[inside], expected[inside], atol=1e-6)
    assert torch.equal(means[..., 0, :], means[..., 2, :])


def test_local_mean_within_its_window_is_the_global_mean() -> None:
    image = torch.rand(1, 2, 12, 15)
    assert torch.equal(LocalMean(15)(image), image.mean((-2, -1), keepdim=True))
    assert LocalMean(13)(image).shape == image.shape


def test_local_converter_changes_large_images_only() -> None:
    plain, local = NAFNet(**SMALL), NAFNet(**SMALL, tlc=16)
    for parameter in plain.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    local.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for side, same in ((16, True), (24, True), (40, False)):
            image = torch.rand(1, 3, side, side)
            assert torch.allclose(plain(image), local(image), atol=1e-6) is same
