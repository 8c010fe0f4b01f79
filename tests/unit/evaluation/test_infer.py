"""Whole-image restoration: padding only when needed, odd and tiny sizes, tiles.

The networks here are real modules with a known answer, so that every pixel can be checked.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.refiner import RefinerTraits
from harness.core.beat import beats
from harness.core.errors import HarnessError
from harness.evaluation.infer import restore, tile_starts
from harness.models.assemble import RestorationModel
from harness.parts.backbones.snr_net import SNRNet
from harness.parts.shared.blocks import reflect_pad, snr_map

CPU = torch.device("cpu")


class Recorder(nn.Module):
    """Doubles the image; remembers the sizes that it saw and insists on its multiple."""

    traits = BackboneTraits()

    def __init__(self, **capabilities: int) -> None:
        super().__init__()
        self.capabilities = Capabilities(**capabilities)  # type: ignore[arg-type]
        self.sizes: list[tuple[int, int]] = []

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        self.sizes.append((lq_BCHW.shape[2], lq_BCHW.shape[3]))
        assert not torch.is_grad_enabled()
        assert all(side % self.capabilities.size_multiple == 0 for side in self.sizes[-1])
        return lq_BCHW * 2


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).random((height, width, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("size", "multiple", "seen"),
    [
        ((16, 24), 8, (16, 24)),  # exact multiples are never padded
        ((17, 24), 8, (24, 24)),
        ((17, 31), 8, (24, 32)),
        ((5, 7), 1, (5, 7)),
        ((3, 2), 16, (16, 16)),  # smaller than its padding
        ((1, 1), 8, (8, 8)),
    ],
)
def test_padding_only_when_needed_and_cut_back(size, multiple, seen) -> None:
    network = Recorder(size_multiple=multiple)
    lq = image(*size)
    restored = restore(RestorationModel(network).eval(), lq, None, CPU)
    assert network.sizes == [seen]
    np.testing.assert_array_equal(restored, lq * 2)


def test_smallest_size_is_kept() -> None:
    network = Recorder(size_multiple=4, min_size=30)
    restore(RestorationModel(network).eval(), image(8, 64), None, CPU)
    assert network.sizes == [(32, 64)]


@pytest.mark.parametrize(("side", "goal"), [(16, 16), (17, 24), (1, 8), (8, 8)])
def test_the_next_allowed_side(side: int, goal: int) -> None:
    assert Capabilities(size_multiple=8).fitting(side) == goal


@pytest.mark.parametrize(("old", "new"), [(5, 9), (5, 40), (2, 7), (1, 4), (6, 6)])
def test_reflection_is_numpys(old: int, new: int) -> None:
    given = image(old, 3)
    ours = reflect_pad(torch.from_numpy(given).permute(2, 0, 1)[None], new, 3)[0].permute(1, 2, 0).numpy()
    below = ((0, new - old), (0, 0), (0, 0))
    theirs = np.pad(given, below, mode="reflect") if old > 1 else np.pad(given, below, mode="edge")
    np.testing.assert_array_equal(ours, theirs)


class Blur(nn.Module):
    """A 5×5 mean: its answer at a tile's border differs from the whole image's."""

    traits = BackboneTraits()

    def __init__(self, tile: int | None) -> None:
        super().__init__()
        self.capabilities = Capabilities(tile=tile, size_multiple=4)
        self.sizes: list[tuple[int, int]] = []

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        self.sizes.append((lq_BCHW.shape[2], lq_BCHW.shape[3]))
        return nn.functional.avg_pool2d(nn.functional.pad(lq_BCHW, (2, 2, 2, 2), mode="replicate"), 5, stride=1)


def test_tiles_cover_everything_and_agree_where_they_should() -> None:
    lq = image(70, 101)
    pointwise = Recorder(tile=32, size_multiple=4)
    restored = restore(RestorationModel(pointwise).eval(), lq, None, CPU)
    np.testing.assert_allclose(restored, lq * 2, rtol=1e-6)
    assert set(pointwise.sizes) == {(32, 32)}
    assert len(pointwise.sizes) == 3 * 4

    tiled, whole = Blur(32), Blur(None)
    before = beats()
    one = restore(RestorationModel(tiled).eval(), lq, None, CPU)
    assert beats() - before == 12, "a sign of life a tile"
    other = restore(RestorationModel(whole).eval(), lq, None, CPU)
    assert len(tiled.sizes) == 12
    assert whole.sizes == [(72, 104)]
    inner = np.abs(one - other)[4:20, 4:20]
    assert inner.max() < 1e-6
    assert 0 < np.abs(one - other).max() < 0.2


def test_images_within_the_tile_go_whole() -> None:
    network = Recorder(tile=30, size_multiple=4)
    restore(RestorationModel(network).eval(), image(32, 31), None, CPU)
    assert network.sizes == [(32, 32)]


def test_one_narrow_side_is_not_tiled() -> None:
    network = Recorder(tile=32, size_multiple=4)
    lq = image(10, 50)
    np.testing.assert_allclose(restore(RestorationModel(network).eval(), lq, None, CPU), lq * 2, rtol=1e-6)
    assert set(network.sizes) == {(12, 32)}


@pytest.mark.parametrize(("side", "tile"), [(100, 32), (33, 32), (64, 32), (32, 32), (10, 32), (57, 8)])
def test_tile_starts_leave_no_gap(side: int, tile: int) -> None:
    starts = tile_starts(side, tile)
    assert starts[0] == 0
    assert starts[-1] == max(0, side - tile)
    assert all(0 < b - a <= tile - tile // 4 for a, b in pairwise(starts))


class Adder(nn.Module):
    """A refiner that adds the prior's first number."""

    traits = RefinerTraits(size_multiple=8)

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        return initial_BCHW + prior_BD[:, 0, None, None, None]


def test_prior_reaches_the_refiner_whose_multiple_counts() -> None:
    network = Recorder(size_multiple=1)
    lq = image(9, 8)
    model = RestorationModel(network, Adder()).eval()
    restored = restore(model, lq, np.array([0.5, 9.0], np.float32), CPU)
    np.testing.assert_array_equal(restored, lq * 2 + np.float32(0.5))
    assert network.sizes == [(16, 8)]


class MapRecorder(nn.Module):
    """Adds the prior's map, resized to the image, to the initial restoration."""

    traits = RefinerTraits()

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        sides = lq_BCHW.shape[-2:]
        return initial_BCHW + nn.functional.interpolate(prior_BD.unflatten(1, (1, 4, 6)), size=sides, mode="bilinear")


@pytest.mark.parametrize(
    ("size", "options", "tolerance"),
    [((32, 48), {}, 1e-3), ((29, 45), {"size_multiple": 8}, 0.05), ((96, 144), {"tile": 32}, 1.2)],
)
def test_each_tile_gets_its_part_of_the_priors_map(
    size: tuple[int, int], options: dict[str, int], tolerance: float
) -> None:
    """A map that rises from 0 to 53 comes out as it is away from the border, whatever the tiles.

    Enlarging is flat over the outer half of a position of each part: there it is as much too low or too high.
    """
    rising = torch.arange(4.0)[:, None] + 10 * torch.arange(6.0)
    model = RestorationModel(Recorder(**options), MapRecorder(), prior_shape=(1, 4, 6)).eval()
    restored = restore(model, np.zeros((*size, 3), np.float32), rising.flatten().numpy(), CPU)
    rows, columns = (
        torch.arange(side).add(0.5).mul(number / side).sub(0.5) for side, number in zip(size, (4, 6), strict=True)
    )
    expected = rows[:, None] + 10 * columns
    inside = (slice(size[0] // 4, -size[0] // 4), slice(size[1] // 4, -size[1] // 4))
    assert np.abs(restored[..., 0][inside] - expected[inside].numpy()).max() < tolerance


class Told(nn.Module):
    """Gives back the truth, if it is told."""

    traits = BackboneTraits()

    def __init__(self, **capabilities: int) -> None:
        super().__init__()
        self.capabilities = Capabilities(**capabilities)  # type: ignore[arg-type]

    def forward(self, lq_BCHW: Tensor, truth_BCHW: Tensor | None = None) -> Tensor:
        return lq_BCHW if truth_BCHW is None else truth_BCHW


@pytest.mark.parametrize("capabilities", [{}, {"size_multiple": 8}, {"size_multiple": 4, "tile": 16}])
def test_the_truth_reaches_those_that_read_it_in_test_and_nobody_else(capabilities: dict[str, int]) -> None:
    lq, truth = image(29, 38), image(38, 29).transpose(1, 0, 2)
    told = RestorationModel(Told(**capabilities), shows_truth=("training", "test")).eval()
    np.testing.assert_allclose(restore(told, lq, None, CPU, truth), truth, rtol=1e-6)
    learned = RestorationModel(Told(**capabilities), shows_truth=["training"]).eval()
    np.testing.assert_allclose(restore(learned, lq, None, CPU, truth), lq, rtol=1e-6)
    with pytest.raises(HarnessError, match="reads the truth in test"):
        restore(told, lq, None, CPU)


class Channels(nn.Module):
    """Gives the first channels of what it reads."""

    traits = BackboneTraits()

    def __init__(self, channels_in: int, channels_out: int, **capabilities: int) -> None:
        super().__init__()
        self.capabilities = Capabilities(channels_in=channels_in, channels_out=channels_out, **capabilities)  # type: ignore[arg-type]

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return lq_BCHW[:, : self.capabilities.channels_out]


@pytest.mark.parametrize("capabilities", [{}, {"size_multiple": 4, "tile": 16}])
@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 1), (6, 3)])
def test_gray_and_dual_pixel_images(channels_in: int, channels_out: int, capabilities: dict[str, int]) -> None:
    lq = np.random.default_rng(0).random((29, 38, channels_in), dtype=np.float32)
    model = RestorationModel(Channels(channels_in, channels_out, **capabilities)).eval()
    np.testing.assert_allclose(restore(model, lq, None, CPU), lq[..., :channels_out], rtol=1e-6)
    with pytest.raises(HarnessError, match=f"reads images of {channels_in} channels, and this one has 3"):
        restore(model, image(29, 38), None, CPU)


class ToldSigma(nn.Module):
    """Adds the noise level that it is told."""

    traits = BackboneTraits()

    def __init__(self, **capabilities: int) -> None:
        super().__init__()
        self.capabilities = Capabilities(told=("sigma",), **capabilities)  # type: ignore[arg-type]

    def forward(self, lq_BCHW: Tensor, sigma_B: Tensor | None = None) -> Tensor:
        return lq_BCHW if sigma_B is None else lq_BCHW + sigma_B[:, None, None, None]


@pytest.mark.parametrize("capabilities", [{}, {"size_multiple": 4, "tile": 16}])
def test_a_network_is_told_what_the_test_images_were_made_with(capabilities: dict[str, int]) -> None:
    model, lq = RestorationModel(ToldSigma(**capabilities)).eval(), image(29, 38)
    restored = restore(model, lq, None, CPU, settings={"sigma": 25.0, "other": 1.0})
    np.testing.assert_allclose(restored, lq + 25, rtol=1e-6)
    with pytest.raises(HarnessError, match="is told sigma of every image"):
        restore(model, lq, None, CPU, settings={})


@pytest.mark.parametrize("through", [(64, 96), (72, 90)])
def test_snr_nets_map_is_of_the_image_before_it_is_resized(through: tuple[int, int]) -> None:
    """As dvlab-research/SNR-Aware-Low-Light-Enhance, models/Video_base_model4_m.py, test4: the map of the image as it
    is, then both resized bilinearly, then the result resized back. A map of the resized image is another one."""
    torch.manual_seed(0)
    network = SNRNet(nf=4, short_rbs=1, layers=1, heads=2, head_dim=4, inner=8)
    model, lq = RestorationModel(network).eval(), image(50, 70)
    found = restore(model, lq, None, CPU, through=through)
    whole = torch.from_numpy(lq.transpose(2, 0, 1)[None])
    goal = tuple(-(-side // 16) * 16 for side in through)
    with torch.no_grad():
        small = interpolate(whole, size=through, mode="bilinear")
        before = interpolate(snr_map(whole), size=through, mode="bilinear")
        for mapped, same in ((before, True), (snr_map(small), False)):
            inside = network.restore(reflect_pad(small, *goal), reflect_pad(mapped, *goal))
            back = interpolate(inside[..., : through[0], : through[1]], size=lq.shape[:2], mode="bilinear")
            expected = back[0].numpy().transpose(1, 2, 0)
            assert np.allclose(found, expected, atol=1e-6) is same
    assert found.shape == lq.shape


def test_a_network_without_a_map_gets_the_resized_image_alone() -> None:
    network = Recorder(size_multiple=8)
    lq = np.full((20, 30, 3), 0.25, np.float32)
    restored = restore(RestorationModel(network).eval(), lq, None, CPU, through=(40, 64))
    assert network.sizes == [(40, 64)]
    np.testing.assert_allclose(restored, lq * 2)


def test_a_size_that_images_have_already_changes_nothing() -> None:
    torch.manual_seed(0)
    model = RestorationModel(SNRNet(nf=4, short_rbs=1, layers=1, heads=2, head_dim=4, inner=8)).eval()
    lq = image(32, 48)
    same = restore(model, lq, None, CPU, through=(32, 48))
    np.testing.assert_array_equal(same, restore(model, lq, None, CPU))
