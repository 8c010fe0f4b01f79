"""Zero-DCE's loss, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.losses.zero_dce import ZeroDCELoss, colour_cast, exposure_error, spatial_consistency


@pytest.fixture
def curves():
    return torch.rand(2, 24, 12, 14, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def only(**weights):
    return ZeroDCELoss(**{"smoothness": 0.0, "spatial": 0.0, "colour": 0.0, "exposure": 0.0, **weights})


def test_smoothness_of_curves(look, curves) -> None:
    down, right = np.diff(curves.numpy(), axis=2) ** 2, np.diff(curves.numpy(), axis=3) ** 2
    expected = 2 * (down.sum() / (11 * 14) + right.sum() / (12 * 13)) / 2
    inputs = look(outputs={"curves": curves})
    assert only(smoothness=200.0)(inputs).item() == pytest.approx(200 * expected)


def test_spatial_consistency(look) -> None:
    inputs = look()
    grey = [image.mean(1).numpy() for image in (inputs.restored_BCHW, inputs.lq_BCHW)]
    total = 0.0
    for b, row, column in np.ndindex(2, 3, 3):
        for up, left in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            contrasts = []
            for image in grey:
                regions = np.zeros((5, 5))
                regions[1:-1, 1:-1] = [
                    [image[b, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].mean() for c in range(3)] for r in range(3)
                ]
                contrasts.append(regions[row + 1, column + 1] - regions[row + 1 + up, column + 1 + left])
            total += (contrasts[0] - contrasts[1]) ** 2
    assert spatial_consistency(inputs.restored_BCHW, inputs.lq_BCHW).item() == pytest.approx(total / (2 * 3 * 3))


def test_colour_cast(look, gradient) -> None:
    image = look().restored_BCHW
    expected = []
    for red, green, blue in image.mean((2, 3)).tolist():
        expected.append(((red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4) ** 0.5)
    assert colour_cast(image).item() == pytest.approx(np.mean(expected))
    assert gradient(colour_cast, image).abs().sum() > 0
    assert gradient(colour_cast, torch.full((2, 3, 8, 8), 0.5)).abs().sum() == 0  # grey: a root of zero


def test_exposure(look) -> None:
    image = look((1, 3, 9, 8)).restored_BCHW
    grey = image[0].mean(0).numpy()
    expected = np.mean([(grey[r : r + 4, c : c + 4].mean() - 0.6) ** 2 for r in (0, 4) for c in (0, 4)])
    assert exposure_error(image, 0.6, 4).item() == pytest.approx(expected)
    assert exposure_error(image, 0.6, 16).item() == pytest.approx((grey.mean() - 0.6) ** 2)


def test_all_four_with_the_authors_weights(look, curves) -> None:
    inputs = look(outputs={"curves": curves})
    image = inputs.restored_BCHW
    others = (
        spatial_consistency(image, inputs.lq_BCHW) + 5 * colour_cast(image) + 10 * exposure_error(image, 0.6, 16)
    ).item()
    assert ZeroDCELoss()(inputs).item() == pytest.approx(only(smoothness=200.0)(inputs).item() + others)
    refined = look(outputs={"curves": curves}, refined=True)
    assert ZeroDCELoss()(refined).item() == pytest.approx(others)


def test_gradients_reach_the_image_and_the_curves(look, curves, gradient) -> None:
    inputs = look()
    image = gradient(
        lambda image: ZeroDCELoss()(look(restored_BCHW=image, outputs={"curves": curves})), inputs.restored_BCHW
    )
    assert image.abs().sum() > 0
    assert gradient(lambda made: ZeroDCELoss()(look(outputs={"curves": made})), curves).abs().sum() > 0
    at_rest = gradient(
        lambda image: ZeroDCELoss()(look(restored_BCHW=image, refined=True)), torch.full_like(inputs.lq_BCHW, 0.5)
    )
    assert at_rest.abs().sum() > 0


def test_micro_batches_add_up(look, curves) -> None:
    inputs = look(outputs={"curves": curves})
    each = [
        ZeroDCELoss()(
            look(
                restored_BCHW=inputs.restored_BCHW[b : b + 1],
                lq_BCHW=inputs.lq_BCHW[b : b + 1],
                outputs={"curves": curves[b : b + 1]},
            )
        )
        for b in range(2)
    ]
    assert (sum(each) / 2).item() == pytest.approx(ZeroDCELoss()(inputs).item())


def test_a_network_without_curves_is_told(look) -> None:
    with pytest.raises(HarnessError, match="zero_dce reads 'curves'"):
        ZeroDCELoss()(look())
