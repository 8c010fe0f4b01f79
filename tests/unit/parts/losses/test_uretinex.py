"""The losses of URetinex-Net's three stages, on what the network itself makes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torchvision.models import vgg19

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses.ssim import similarity
from harness.parts.losses.uretinex import Adjustment, Decomposition, Features, Unfolding, reflectance_of
from harness.parts.losses.zero_dce import spatial_consistency

SHAPE = (2, 3, 8, 10)
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


@pytest.fixture
def made():
    generator = torch.Generator().manual_seed(8)

    def draw(channels):
        return torch.rand(2, channels, 8, 10, generator=generator, dtype=torch.float64)

    rounds = [(draw(3), draw(1), draw(3), draw(1)) for _ in range(3)]
    return {
        "decomposed": (draw(3), draw(1)),
        "rounds": rounds,
        "reflectance": rounds[-1][2],
        "illumination": rounds[-1][3],
        "high_illumination": draw(1),
    }


def as_the_authors(inputs: LossInputs, made: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Their three losses written out anew from URetinex-Net-PLUS, model.py and loss/*.py, on what a network made."""
    low, high, restored = inputs.lq_BCHW, inputs.gt_BCHW, inputs.restored_BCHW
    (P_low, Q_low), (P_high, Q_high) = made["decomposed"], made["truth_decomposed"]

    def steps(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]

    first = F.l1_loss(low, P_low * Q_low) + 0.1 * F.mse_loss(Q_low, low.max(1).values[:, None])
    first = (
        first + F.l1_loss(high, P_high * Q_high) + 0.1 * F.mse_loss(Q_high, high.max(1).values[:, None] ** (1 / 2.2))
    )
    grey = 0.2989 * high[:, 0:1] + 0.5870 * high[:, 1:2] + 0.1140 * high[:, 2:3]
    for of_light, of_image in zip(steps(Q_high), steps(grey), strict=True):
        first = first + 0.1 * (of_light.abs() * torch.exp(-10 * F.avg_pool2d(of_image.abs(), 3, 1, 1))).mean()

    second = torch.zeros((), dtype=low.dtype)
    for t, (P, Q, R, L) in enumerate(made["rounds"]):
        weight = 0.5 + 0.05 * t
        second = second + weight * F.mse_loss(P, R) + weight * F.mse_loss(Q, L)
    R, L = made["reflectance"], made["illumination"]
    B, _, H, W = L.shape
    down, right = steps(L)
    variation = (down.square().sum() / ((H - 1) * W) + right.square().sum() / (H * (W - 1))) / B
    second = second + F.mse_loss(R, P_high) + 1 - similarity(R, P_high) + 20 * variation

    third = F.mse_loss(restored, high) + 10 * spatial_consistency(high, restored)
    for before, after in zip(steps(L), steps(made["high_illumination"]), strict=True):
        third = third + F.l1_loss(before.abs(), after.abs())
    return {"decomposition": first, "unfolding": second, "adjustment": third}


def test_losses_are_the_authors_where_the_network_decomposes_the_truth(look, made) -> None:
    generator = torch.Generator().manual_seed(9)
    parts = tuple(torch.rand(2, n, 8, 10, generator=generator, dtype=torch.float64) for n in (3, 1))
    made = {**made, "truth_decomposed": parts}
    inputs = look(SHAPE, outputs=made)
    wanted = as_the_authors(inputs, made)
    for loss in (Decomposition(), Unfolding(), Adjustment()):
        name = type(loss).__name__.lower()
        assert loss(inputs).item() == pytest.approx(wanted[name].item(), rel=1e-12), name


def test_the_target_of_the_unfolding_gets_no_gradient(look, made) -> None:
    parts = tuple(torch.rand(2, n, 8, 10, dtype=torch.float64).requires_grad_() for n in (3, 1))
    R = made["reflectance"].requires_grad_()
    inputs = look(SHAPE, outputs={**made, "truth_decomposed": parts})
    found = torch.autograd.grad(Unfolding()(inputs), [R, *parts], allow_unused=True)
    assert found[0].abs().sum() > 0
    assert found[1:] == (None, None)


def test_features_are_of_reflectances_as_they_are(look, made, monkeypatch, tmp_path) -> None:
    """relu1_1 … relu5_1, weighted 1/32 … 1, mean absolute differences, without ImageNet's mean and deviation."""
    torch.manual_seed(0)
    network = vgg19(weights=None).features[:30]

    def small(weights: None = None) -> torch.nn.Module:
        whole = torch.nn.Module()
        whole.features = copy.deepcopy(network)
        return whole

    torch.save(small().state_dict(), tmp_path / "vgg.pth")
    monkeypatch.setattr("harness.parts.losses.vgg.vgg19", small)
    monkeypatch.setattr("harness.parts.losses.uretinex.ready_files", lambda *part: (tmp_path / "vgg.pth",))
    R = F.interpolate(made["reflectance"], (32, 32)).float()
    inputs = look((2, 3, 32, 32), outputs={"reflectance": R})
    inputs = dataclasses.replace(inputs, gt_BCHW=inputs.gt_BCHW.float())
    maps, expected, weights = (
        [R, reflectance_of(inputs.gt_BCHW)],
        0.0,
        dict(zip((1, 6, 11, 20, 29), WEIGHTS, strict=True)),
    )
    with torch.no_grad():
        for place, layer in enumerate(network):
            maps = [layer(each.clone()) for each in maps]
            expected += weights.get(place, 0.0) * (maps[0] - maps[1]).abs().mean().item()
        assert Features()(inputs).item() == pytest.approx(expected, rel=1e-5)
        assert Features()(dataclasses.replace(inputs, refined=True)).item() == 0
        told = {"reflectance": R, "truth_decomposed": (R, R[:, :1])}
        assert Features()(dataclasses.replace(inputs, outputs=told)).item() == 0


def squared(a, b):
    return np.square((a - b).numpy()).mean()


def test_decomposition(look, made, gradient) -> None:
    inputs = look(SHAPE, outputs=made)
    image, (R, L) = inputs.lq_BCHW, made["decomposed"]
    brightest = np.max(image.numpy(), axis=1, keepdims=True)
    expected = np.abs((R * L - image).numpy()).mean() + 0.1 * np.square(L.numpy() - brightest).mean()
    assert Decomposition()(inputs).item() == pytest.approx(expected)
    assert Decomposition()(look(SHAPE, outputs=made, refined=True)).item() == 0
    assert Decomposition.traits.reads == "degraded"
    found = gradient(lambda light: Decomposition()(look(SHAPE, outputs={"decomposed": (R, light)})), L)
    assert found.abs().sum() > 0
    dark = torch.zeros(SHAPE)  # nothing to explain, and no difference
    gradient(lambda R: Decomposition()(look(SHAPE, lq_BCHW=dark, outputs={"decomposed": (R, L)})), dark)


def test_the_truths_reflectance() -> None:
    image = torch.tensor([0.2, 0.4, 0.1, 0.0, 0.0, 0.0]).view(1, 2, 3).permute(0, 2, 1)[..., None]
    light = 0.4 ** (1 / 2.2)
    assert reflectance_of(image)[0, :, 0, 0].tolist() == pytest.approx([0.2 / light, 0.4 / light, 0.1 / light])
    assert reflectance_of(image)[0, :, 1, 0].tolist() == [0, 0, 0]


def test_the_truths_reflectance_is_where_its_decomposition_is_content(look) -> None:
    """But for the smoothness of the illumination."""
    image = look(SHAPE).gt_BCHW
    light = image.amax(1, keepdim=True) ** (1 / 2.2)
    dark = torch.zeros(SHAPE)
    outputs = {"decomposed": (dark, dark[:, :1]), "truth_decomposed": (reflectance_of(image), light)}
    assert Decomposition(structure=0.0)(look(SHAPE, lq_BCHW=dark, outputs=outputs)).item() < 1e-9
    assert Decomposition()(look(SHAPE, lq_BCHW=dark, outputs=outputs)).item() > 1e-3


def test_unfolding(look, made) -> None:
    inputs = look(SHAPE, outputs=made)
    wished = reflectance_of(inputs.gt_BCHW)
    expected = 0.0
    for weight, (P, Q, R, L) in zip((0.5, 0.55, 0.6), made["rounds"], strict=True):
        expected += weight * squared(P, R) + weight * squared(Q, L)
    last_R, last_L = made["reflectance"], made["illumination"].numpy()
    expected += squared(last_R, wished) + 1 - similarity(last_R, wished).item()
    expected += 20 * sum((np.diff(last_L, axis=axis) ** 2).mean() for axis in (2, 3))
    assert Unfolding()(inputs).item() == pytest.approx(expected)
    assert Unfolding()(look(SHAPE, outputs=made, refined=True)).item() == 0
    one, none = (Unfolding(gamma=gamma, r_offset=0.0)(inputs).item() for gamma in (1.0, 0.0))
    apart = one - none
    assert apart == pytest.approx(sum(squared(P, R) for P, _, R, _ in made["rounds"]))


def test_adjustment(look, made) -> None:
    inputs = look(SHAPE, outputs=made)
    image_terms = squared(inputs.restored_BCHW, inputs.gt_BCHW)
    image_terms += 10 * spatial_consistency(inputs.restored_BCHW, inputs.gt_BCHW).item()
    lights = [made[name].numpy() for name in ("high_illumination", "illumination")]
    structure = 0.0
    for axis in (2, 3):
        high, low = (np.abs(np.diff(light, axis=axis)) for light in lights)
        structure += np.abs(high - low).mean()
    assert Adjustment()(inputs).item() == pytest.approx(image_terms + structure)
    assert Adjustment()(look(SHAPE, outputs=made, refined=True)).item() == pytest.approx(image_terms)


@pytest.mark.parametrize("loss", [Decomposition, Unfolding, Adjustment])
def test_gradients_reach_what_is_made_and_micro_batches_add_up(look, made, loss) -> None:
    def cut(value, part):
        if isinstance(value, torch.Tensor):
            return value[part]
        return [cut(each, part) for each in value]

    inputs = look(SHAPE, outputs=made)
    each = [
        loss()(
            look(
                restored_BCHW=inputs.restored_BCHW[b],
                lq_BCHW=inputs.lq_BCHW[b],
                gt_BCHW=inputs.gt_BCHW[b],
                outputs={name: cut(value, b) for name, value in made.items()},
            )
        )
        for b in (slice(0, 1), slice(1, 2))
    ]
    assert (sum(each) / 2).item() == pytest.approx(loss()(inputs).item())
    leaves = [*made["decomposed"], *(part for each in made["rounds"] for part in each), made["high_illumination"]]
    for leaf in leaves:
        leaf.requires_grad_()
    found = torch.autograd.grad(loss()(inputs), leaves, allow_unused=True)
    reached = [gradient for gradient in found if gradient is not None]
    assert len(reached) == {"Decomposition": 2, "Unfolding": 12, "Adjustment": 2}[loss.__name__]
    assert all(torch.isfinite(gradient).all() and gradient.abs().sum() > 0 for gradient in reached)


def test_what_is_missing_is_told(look, made) -> None:
    with pytest.raises(HarnessError, match="'rounds'"):
        Unfolding()(look(SHAPE))
    with pytest.raises(HarnessError, match="compares with the clean images"):
        Adjustment()(look(SHAPE, outputs=made, gt_BCHW=None))
