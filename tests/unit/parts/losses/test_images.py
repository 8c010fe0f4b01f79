"""Losses of an image and its truth, against slow computations by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.parts.losses.absolute import L1, SmoothL1
from harness.parts.losses.charbonnier import Charbonnier
from harness.parts.losses.edge import TAPS, Edge
from harness.parts.losses.mse import MSE
from harness.parts.losses.psnr import PSNRLoss
from harness.parts.losses.ssim import SSIMLoss
from harness.parts.losses.tv import TV, total_variation

MEANS = [L1(), SmoothL1(), PSNRLoss(), Edge().double(), SSIMLoss(), Charbonnier(clamp=True)]
SUMS = [L1(reduction="sum"), SmoothL1(reduction="sum"), Edge(reduction="sum").double()]


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(4, 3, 9, 12, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("loss", [*MEANS, *SUMS], ids=lambda loss: type(loss).__name__)
def test_gradients_are_finite_and_lead_to_the_truth(loss, pair, gradient) -> None:
    restored, truth = pair
    found = gradient(lambda image: loss(image, truth), restored)
    assert found.abs().sum() > 0
    assert loss(restored - 1e-4 * found / found.abs().max(), truth) < loss(restored, truth)
    assert gradient(lambda image: loss(image, truth), truth).abs().max() < 1e-6  # at the truth itself


@pytest.mark.parametrize("loss", MEANS, ids=lambda loss: type(loss).__name__)
def test_means_do_not_depend_on_micro_batches(loss, pair) -> None:
    restored, truth = pair
    parts = [
        share / 4 * loss(*part) for share, part in ((1, (restored[:1], truth[:1])), (3, (restored[1:], truth[1:])))
    ]
    assert sum(parts).item() == pytest.approx(loss(restored, truth).item(), rel=1e-9)


@pytest.mark.parametrize("loss", SUMS, ids=lambda loss: type(loss).__name__)
def test_sums_add_up_over_micro_batches(loss, pair) -> None:
    restored, truth = pair
    parts = loss(restored[:1], truth[:1]) + loss(restored[1:], truth[1:])
    assert parts.item() == pytest.approx(loss(restored, truth).item(), rel=1e-9)
    assert loss.reduction == "sum"


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # Computed in float64 with the formulas of swz30/MPRNet, Denoising/losses.py (which Uformer has, too), and of
        # megvii-research/NAFNet, basicsr/models/losses/losses.py.
        (Charbonnier(), 0.12743382985679347),
        (Charbonnier(clamp=True), 0.1059077536011652),
        (Edge().double(), 0.12476291096967745),
        (PSNRLoss(), -16.98467984591304),
        (L1(), 0.12742187654663675),
        (MSE(), 0.020023145921508015),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_losses_of_official_recipes_are_the_authors(loss, expected) -> None:
    numbers = torch.arange(2 * 3 * 12 * 10, dtype=torch.float64).view(2, 3, 12, 10)
    truth = 0.5 + 0.5 * torch.sin(0.37 * numbers)
    assert loss(truth + 0.2 * torch.cos(0.91 * numbers), truth).item() == pytest.approx(expected, rel=1e-8)


def test_absolute_by_hand() -> None:
    restored, truth = torch.tensor([3.0, -0.5]).view(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    assert L1()(restored, truth).item() == 3.5 / 2
    assert L1(reduction="sum")(restored, truth).item() == 3.5
    assert SmoothL1()(restored, truth).item() == (2.5 + 0.125) / 2
    assert SmoothL1(beta=4.0, reduction="sum")(restored, truth).item() == 9 / 8 + 0.25 / 8


def test_psnr_by_hand() -> None:
    truth = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    restored = torch.stack([torch.full_like(truth[0], 0.1), torch.full_like(truth[0], 0.01)])
    assert PSNRLoss()(restored, truth).item() == pytest.approx(-(20 + 40) / 2, abs=1e-2)
    assert PSNRLoss()(truth, truth).item() == pytest.approx(-80)


def test_charbonnier_clamps_when_it_is_told_to(gradient) -> None:
    restored, truth = torch.tensor([1.5, -0.5, 0.5]).view(1, 1, 1, 3), torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    assert Charbonnier(clamp=True)(restored, truth).item() == pytest.approx((2e-3 + 0.5) / 3, abs=1e-5)
    assert Charbonnier()(restored, truth).item() == pytest.approx(0.5, abs=1e-5)
    found = gradient(lambda image: Charbonnier(clamp=True)(image, truth), restored)
    assert torch.count_nonzero(found).item() == 1


def test_edge_by_definition(pair) -> None:
    restored, truth = pair
    kernel = np.outer(TAPS, TAPS)

    def blur(image):
        padded, blurred = np.pad(image, 2, mode="edge"), np.empty_like(image)
        for row, column in np.ndindex(image.shape):
            blurred[row, column] = (padded[row : row + 5, column : column + 5] * kernel).sum()
        return blurred

    def laplacian(image):
        doubled = np.zeros_like(image)
        doubled[::2, ::2] = 4 * blur(image)[::2, ::2]
        return image - blur(doubled)

    expected = [
        np.sqrt((laplacian(restored[b, c].numpy()) - laplacian(truth[b, c].numpy())) ** 2 + 1e-6)
        for b in range(2)
        for c in range(3)
    ]
    found = Edge().double()(restored[:2], truth[:2])
    # The buffer is made in float32.
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-6)
    assert Edge(reduction="sum").double()(restored[:2], truth[:2]).item() == pytest.approx(np.sum(expected), rel=1e-6)


def test_a_flat_change_has_edges_only_where_the_pyramid_ends() -> None:
    inside = Edge().double().laplacian(torch.ones(1, 1, 24, 24, dtype=torch.float64))[..., 4:-4, 4:-4]
    assert inside.abs().max() < 1e-6


def test_ssim_by_definition(pair) -> None:
    restored, truth = (image[:1, :, :7, :8] for image in pair)
    places = np.arange(-5, 6)
    window = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean_around(image, row, column):
        return (np.pad(image, 5)[row : row + 11, column : column + 11] * window).sum()

    values = []
    for channel, row, column in np.ndindex(3, 7, 8):
        x, y = restored[0, channel].numpy(), truth[0, channel].numpy()
        mean_x, mean_y = mean_around(x, row, column), mean_around(y, row, column)
        variance_x = mean_around(x * x, row, column) - mean_x**2
        variance_y = mean_around(y * y, row, column) - mean_y**2
        covariance = mean_around(x * y, row, column) - mean_x * mean_y
        light = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
        values.append(light * (2 * covariance + 9e-4) / (variance_x + variance_y + 9e-4))
    assert SSIMLoss()(restored, truth).item() == pytest.approx(-np.mean(values), rel=1e-9)
    assert SSIMLoss()(truth, truth).item() == pytest.approx(-1)


def test_total_variation_by_hand(look, gradient) -> None:
    image = torch.tensor([[0.0, 1.0, 1.0], [0.0, 3.0, 1.0]], dtype=torch.float64).view(1, 1, 2, 3)
    assert TV()(look(restored_BCHW=image)).item() == pytest.approx(2 * (4 / 3 + (1 + 0 + 9 + 4) / 4))
    assert gradient(total_variation, torch.ones(1, 3, 4, 4)).abs().sum() == 0
    assert not math.isnan(total_variation(image.expand(2, 3, 2, 3)).item())
    assert TV.traits.reads == "degraded"
