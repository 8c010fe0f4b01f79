"""The losses of URetinex-Net's three stages, on what the network itself makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.losses.ssim import similarity
from harness.parts.losses.uretinex import Adjustment, Decomposition, Unfolding, reflectance_of
from harness.parts.losses.zero_dce import spatial_consistency

SHAPE = (2, 3, 8, 10)


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
    assert reflectance_of(image)[0, :, 0, 0].tolist() == pytest.approx([0.5, 1.0, 0.25])
    assert reflectance_of(image)[0, :, 1, 0].tolist() == [0, 0, 0]


def test_the_truths_reflectance_is_where_the_first_stage_is_content(look) -> None:
    image = look(SHAPE).gt_BCHW
    content = (reflectance_of(image), image.amax(1, keepdim=True))
    assert Decomposition()(look(SHAPE, lq_BCHW=image, outputs={"decomposed": content})).item() < 1e-9


def test_unfolding(look, made) -> None:
    inputs = look(SHAPE, outputs=made)
    wished = reflectance_of(inputs.gt_BCHW)
    expected = 0.0
    for weight, (P, Q, R, L) in zip((0.5, 0.55, 0.6), made["rounds"], strict=True):
        expected += weight * squared(P, R) + weight * squared(Q, L)
    last_R, last_L = made["reflectance"], made["illumination"].numpy()
    expected += squared(last_R, wished) + 1 - similarity(last_R, wished).item()
    expected += 20 * 2 * sum((np.diff(last_L, axis=axis) ** 2).mean() for axis in (2, 3))
    assert Unfolding()(inputs).item() == pytest.approx(expected)
    assert Unfolding()(look(SHAPE, outputs=made, refined=True)).item() == 0
    apart = Unfolding(gamma=1.0, r_offset=0.0)(inputs).item() - Unfolding(gamma=0.0, r_offset=0.0)(inputs).item()
    assert apart == pytest.approx(sum(squared(P, R) for P, _, R, _ in made["rounds"]))


def test_adjustment(look, made) -> None:
    inputs = look(SHAPE, outputs=made)
    change = (made["high_illumination"] - made["illumination"]).numpy()
    image_terms = squared(inputs.restored_BCHW, inputs.gt_BCHW)
    image_terms += 10 * spatial_consistency(inputs.restored_BCHW, inputs.gt_BCHW).item()
    structure = sum(np.abs(np.diff(change, axis=axis)).mean() for axis in (2, 3))
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
