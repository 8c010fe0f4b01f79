from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from harness.core.errors import HarnessError
from harness.parts.backbones.nafnet import LocalMean, NAFNet
from harness.weights.catalogue import known

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


class Windows(nn.Module):
    """The authors' converter in plain numpy: means of whole windows, the nearest one where a window would not fit.

    Its window is a share of the map of a training patch, 1.5 patches in whole pixels over one patch.
    """

    def __init__(self, level: int, patch: int, levels: int) -> None:
        super().__init__()
        training = np.pad(np.zeros(patch), (0, -patch % 2**levels))[:: 2**level].size
        self.side = training * math.floor(patch * 1.5) // patch

    def forward(self, x: Tensor) -> Tensor:
        maps = x.double().numpy()
        height, width = maps.shape[-2:]
        if height <= self.side and width <= self.side:
            return torch.from_numpy(maps.mean((2, 3), keepdims=True)).float()
        tall, wide = min(self.side, height), min(self.side, width)
        means = np.empty_like(maps)
        for row in range(height):
            for column in range(width):
                top = self._first(row, height, tall)
                left = self._first(column, width, wide)
                means[:, :, row, column] = maps[:, :, top : top + tall, left : left + wide].mean((2, 3))
        return torch.from_numpy(means).float()

    @staticmethod
    def _first(place: int, length: int, window: int) -> int:
        """Where the window of a place begins: the windows are laid over the middle, and repeat at both ends."""
        windows = length - window + 1
        return min(max(place - (length - windows) // 2, 0), windows - 1)


@pytest.mark.parametrize("patch", [16, 18, 23])
@pytest.mark.parametrize("sides", [(48, 20), (21, 57), (64, 44), (19, 90)])
def test_local_converter_is_that_of_the_authors_on_images_of_any_shape(patch: int, sides: tuple[int, int]) -> None:
    torch.manual_seed(0)
    local, expected = NAFNet(**SMALL, tlc=patch).eval(), NAFNet(**SMALL).eval()
    for parameter in local.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    expected.load_state_dict(local.state_dict())
    levels = {"encoders.0": 0, "encoders.1": 1, "middle_blks": 2, "decoders.0": 1, "decoders.1": 0}
    for name, level in levels.items():
        expected.get_submodule(f"{name}.0").sca[0] = Windows(level, patch, 2)  # type: ignore[index,operator,union-attr]
    image = torch.rand(1, 3, *sides)
    with torch.no_grad():
        assert torch.allclose(local(image), expected(image), atol=2e-5)
        assert not torch.allclose(local(image), NAFNet(**SMALL).eval()(image), atol=1e-2)


def test_published_deblurring_networks_are_tested_with_the_local_converter() -> None:
    tested = {c.id: c.options.get("tlc") for c in known() if c.id.startswith("nafnet/")}
    assert tested == {
        "nafnet/GoPro-width32": 256,
        "nafnet/GoPro-width64": 256,
        "nafnet/REDS-width64": 256,
        "nafnet/SIDD-width32": None,
        "nafnet/SIDD-width64": None,
    }


def test_a_patch_has_a_side() -> None:
    with pytest.raises(HarnessError, match="not 0"):
        NAFNet(**SMALL, tlc=0)


def test_local_converter_changes_large_images_only() -> None:
    plain, local = NAFNet(**SMALL), NAFNet(**SMALL, tlc=16)
    for parameter in plain.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    local.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for side, same in ((16, True), (24, True), (40, False)):
            image = torch.rand(1, 3, side, side)
            assert torch.allclose(plain(image), local(image), atol=1e-6) is same
