"""SMG's edges: the target against OpenCV and on known pictures, the loss against numpy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from harness.core.errors import HarnessError
from harness.parts.losses.smg_structure import SMGStructure, balanced_cross_entropy, edges
from tests.unit.parts.losses.inputs import refined


def photo() -> np.ndarray:
    return data.astronaut()[40:104, 180:260].copy()


def batch(*pixels_HWC: np.ndarray) -> torch.Tensor:
    return torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in pixels_HWC])


def test_edges_are_those_of_opencv() -> None:
    pixels = photo()
    found = edges(batch(pixels, 255 - pixels))
    assert found.shape == (2, 1, 64, 80)
    for image, made in zip((pixels, 255 - pixels), found, strict=True):
        grey = cv2.GaussianBlur(cv2.cvtColor(image[:, :, ::-1].copy(), cv2.COLOR_BGR2GRAY), (3, 3), 0)
        thresholds = int(0.67 * np.median(grey)), int(min(255, 1.33 * np.median(grey)))
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
        expected = cv2.dilate(cv2.Canny(grey, *thresholds), kernel) / 255
        assert np.array_equal(made[0].numpy(), expected)
        assert 0.02 < expected.mean() < 0.6


def test_a_step_has_one_edge_three_or_four_pixels_wide() -> None:
    picture = np.full((32, 48, 3), 40, np.uint8)
    picture[:, 24:] = 200
    columns = edges(batch(picture))[0, 0].mean(0)
    where = columns.nonzero().flatten().tolist()
    assert where in ([22, 23, 24], [23, 24, 25], [22, 23, 24, 25])
    assert columns[where].eq(1).all()


def test_a_plain_picture_has_no_edges_and_a_finite_loss() -> None:
    plain = torch.full((1, 3, 16, 16), 0.5)
    assert edges(plain).sum() == 0
    assert SMGStructure()(refined(plain, structure=torch.full((1, 1, 16, 16), 0.3))).item() == 0.0


def test_values_beyond_the_range_are_clamped() -> None:
    image = batch(photo())
    assert torch.equal(edges(3 * image - 1), edges((3 * image - 1).clamp(0, 1)))


def test_loss_is_balanced_in_each_image() -> None:
    random = np.random.default_rng(0)
    made = random.uniform(0.01, 0.99, (2, 1, 6, 8)).astype(np.float32)
    truth = np.stack([random.uniform(size=(1, 6, 8)) < share for share in (0.1, 0.5)]).astype(np.float32)
    each = []
    for image, target in zip(made.astype(np.float64), truth, strict=True):
        positives, all_of_them = target.sum(), target.size
        weights = np.where(target == 1, (all_of_them - positives) / all_of_them, 1.1 * positives / all_of_them)
        each.append((weights * -np.log(np.where(target == 1, image, 1 - image))).mean())
    loss = balanced_cross_entropy(torch.from_numpy(made), torch.from_numpy(truth), 1.1)
    assert loss.item() == pytest.approx(np.mean(each), rel=1e-5)


def test_the_loss_falls_as_the_map_learns() -> None:
    truth = batch(photo())
    logits = torch.zeros(1, 1, 64, 80, requires_grad=True)
    optimizer, loss, seen = torch.optim.Adam([logits], lr=0.5), SMGStructure(), []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(refined(truth, structure=logits.sigmoid()))
        value.backward()
        optimizer.step()
        seen.append(value.item())
    assert seen[-1] < 0.1 * seen[0]


def test_a_map_at_the_ends_of_the_range_has_a_finite_gradient() -> None:
    made = torch.tensor([0.0, 1.0]).repeat(8, 4)[None, None].requires_grad_()
    truth = torch.zeros(1, 3, 8, 8)
    truth[..., 4:] = 1
    SMGStructure()(refined(truth, structure=made)).backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()


def test_other_networks_make_no_map() -> None:
    with pytest.raises(HarnessError, match="makes none"):
        SMGStructure()(refined(torch.zeros(1, 3, 8, 8)))
