"""RUAS's and SCI's losses, and what they mean for a refined image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.losses.illumination import OFFSETS, Colours, implied_illumination, parted_smoothness, smoothness
from harness.parts.losses.ruas import RUASLoss
from harness.parts.losses.sci import SCILoss

SHAPE = (2, 3, 5, 6)
CONVERSION = np.array([[0.257, -0.148, 0.439], [0.564, -0.291, -0.368], [0.098, 0.439, -0.071]])
CONSTANT = np.array([16, 128, 128]) / 255


def converted(image):
    """One C×H×W image: three values that lie one after the other in memory are one pixel's colours."""
    flat, found = image.reshape(-1), np.empty(image.size)
    for start in range(0, image.size, 3):
        for column in range(3):
            found[start + column] = CONSTANT[column]
            found[start + column] += sum(flat[start + row] * CONVERSION[row, column] for row in range(3))
    return found.reshape(image.shape)


def neighbours(image, illumination):
    """For each of the 24 directions, weights and absolute differences of every pixel that has that neighbour."""
    colours, (_, height, width) = converted(image), image.shape
    for down, right in [(r, c) for r in range(-2, 3) for c in range(-2, 3) if (r, c) != (0, 0)]:
        weights, changes = [], []
        for row, column in np.ndindex(height, width):
            other = row + down, column + right
            if 0 <= other[0] < height and 0 <= other[1] < width:
                weights.append(math.exp(-0.005 * ((colours[:, row, column] - colours[:, *other]) ** 2).sum()))
                changes.append(np.abs(illumination[:, row, column] - illumination[:, *other]))
        yield np.array(weights), np.array(changes)


@pytest.fixture
def made():
    generator = torch.Generator().manual_seed(5)
    draw = [torch.rand(SHAPE, generator=generator, dtype=torch.float64) for _ in range(10)]
    return {"illuminations": tuple(draw[:3]), "enhanced": tuple(draw[3:7]), "inputs": tuple(draw[7:])}


def test_the_offsets_are_half_of_a_window() -> None:
    whole = {(r, c) for r in range(-2, 3) for c in range(-2, 3)} - {(0, 0)}
    assert {*OFFSETS, *((-r, -c) for r, c in OFFSETS)} == whole


def test_smoothness_by_definition(made, gradient) -> None:
    guide, illumination = made["inputs"][0] * 20, made["illuminations"][0]  # twentyfold: the weights would be near one
    each = [list(neighbours(guide[b].numpy(), illumination[b].numpy())) for b in range(2)]
    assert min(weights.min() for image in each for weights, _ in image) < 0.5
    expected = np.mean([sum((w * d.sum(1)).mean() for w, d in image) for image in each])
    colours = Colours()(guide)
    assert smoothness(colours, illumination).item() == pytest.approx(expected)
    expected = np.mean([sum(w.mean() * d.mean() for w, d in image) for image in each])
    assert parted_smoothness(colours, illumination).item() == pytest.approx(expected)
    for term in (smoothness, parted_smoothness):
        assert gradient(lambda x, term=term: term(colours, x), illumination).abs().sum() > 0
        assert gradient(lambda x, term=term: term(colours, x), torch.ones_like(guide)).abs().sum() == 0


def test_the_constant_of_the_conversion_counts() -> None:
    """It is added to the values of a row in turn, so that neighbours in a black image have different colours."""
    black, illumination = (torch.zeros(1, 3, 3, 6, dtype=torch.float64) for _ in range(2))
    illumination[..., 3:] = 0.5
    unlike, like = math.exp(-0.005 * 3 * (112 / 255) ** 2), 1.0
    # Columns are 16, 128, 128, 16, 128, 128. Across the step lies one of five pairs one column apart, 128 and 16, and
    # two of four pairs two columns apart, 128 and 16, 128 and 128. Five offsets lead to each, and their opposites.
    each = 1.5 * (unlike / 5 + (unlike + like) / 4)
    assert smoothness(Colours()(black), illumination).item() == pytest.approx(2 * 5 * each)


def test_the_illumination_that_an_image_implies(gradient) -> None:
    degraded = torch.tensor([0.2, 0.2, 0.2, 0.0, 0.0, 0.5]).view(1, 1, 1, 6)
    restored = torch.tensor([0.4, 0.1, -1.0, 0.0, 0.5, 1.25]).view(1, 1, 1, 6)
    found = implied_illumination(degraded, restored)
    assert found.flatten().tolist() == pytest.approx([0.5, 1, 1, 1e-3, 1e-3, 0.4])
    slopes = gradient(lambda image: implied_illumination(degraded, image).sum(), restored).flatten()
    assert slopes.tolist() == pytest.approx([-0.2 / 0.16, 0, 0, 0, 0, -0.5 / 1.5625])


def test_ruas(look, made) -> None:
    inputs = look(SHAPE, outputs=made, step=49)
    image, last = inputs.lq_BCHW, made["illuminations"][-1]
    expected = 0.5 * np.square((last - image).numpy()).mean() + parted_smoothness(Colours()(image), last).item()
    assert RUASLoss()(inputs).item() == pytest.approx(expected)
    noisy, clean = (part.numpy() for part in made["enhanced"][-2:])
    variation = 2 * sum((np.diff(clean, axis=axis) ** 2).mean() for axis in (2, 3))
    distance = np.square(clean - noisy).mean()
    inputs = look(SHAPE, outputs=made, step=50)
    assert RUASLoss()(inputs).item() == pytest.approx(expected + distance + variation)
    official = RUASLoss(noise_fidelity=1e-7, every=25)
    assert official(inputs).item() == pytest.approx(expected + variation + 1e-7 * distance, rel=1e-9)
    assert RUASLoss(denoiser=0.5)(inputs).item() == pytest.approx(expected + (distance + variation) / 2)


def test_the_denoiser_learns_on_its_steps_alone(look, made) -> None:
    enhanced = tuple(part.requires_grad_() for part in made["enhanced"])
    illuminations = tuple(part.requires_grad_() for part in made["illuminations"])

    def gradients(**change):
        total = RUASLoss()(look(SHAPE, **{"outputs": made, **change}))
        return torch.autograd.grad(total, (*enhanced, illuminations[-1]), allow_unused=True)

    *_, noisy, clean, illumination = gradients(step=50)
    assert noisy is None  # detached
    assert clean.abs().sum() > 0
    assert illumination.abs().sum() > 0
    assert gradients(step=51)[-2] is None
    without = {**made, "enhanced": enhanced[:3]}
    assert gradients(step=50, outputs=without)[2] is None


@pytest.mark.parametrize(("loss", "term", "fidelity"), [(RUASLoss, parted_smoothness, 0.5), (SCILoss, smoothness, 1.5)])
def test_a_refined_image_by_its_illumination(look, gradient, loss, term, fidelity) -> None:
    inputs = look(SHAPE, refined=True, step=50)
    implied = (inputs.lq_BCHW / inputs.restored_BCHW).clamp(1e-3, 1)
    expected = fidelity * (implied - inputs.lq_BCHW).square().mean() + term(Colours()(inputs.lq_BCHW), implied)
    assert loss()(inputs).item() == pytest.approx(expected.item())
    for start in (inputs.restored_BCHW, torch.zeros(SHAPE), -torch.ones(SHAPE)):
        gradient(lambda image: loss()(look(SHAPE, refined=True, restored_BCHW=image)), start)
    brighter = gradient(lambda image: loss()(look(SHAPE, refined=True, restored_BCHW=image)), inputs.lq_BCHW + 0.2)
    assert brighter.abs().sum() > 0


def test_sci(look, made) -> None:
    expected = 0.0
    for given, illumination in zip(made["inputs"], made["illuminations"], strict=True):
        distance = np.square((illumination - given).numpy()).mean()
        expected += 1.5 * distance + smoothness(Colours()(given), illumination).item()
    assert SCILoss()(look(SHAPE, outputs=made)).item() == pytest.approx(expected)
    alone = {name: parts[:1] for name, parts in made.items()}
    assert 0 < SCILoss()(look(SHAPE, outputs=alone)).item() < expected


@pytest.mark.parametrize("loss", [RUASLoss, SCILoss])
def test_micro_batches_add_up(look, made, loss) -> None:
    inputs = look(SHAPE, outputs=made, step=50)
    each = []
    for b in (slice(0, 1), slice(1, 2)):
        part = {name: tuple(value[b] for value in values) for name, values in made.items()}
        each.append(loss()(look(SHAPE, outputs=part, step=50, lq_BCHW=inputs.lq_BCHW[b])).item())
    assert np.mean(each) == pytest.approx(loss()(inputs).item())


@pytest.mark.parametrize("loss", [RUASLoss, SCILoss])
def test_other_networks_are_told(look, loss) -> None:
    with pytest.raises(HarnessError, match="this network does not make"):
        loss()(look(SHAPE))
