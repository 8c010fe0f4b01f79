"""SKF's adversary: its loss by definition, whose gradient goes where, and that it learns."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses.skf_adversarial import Discriminator, SKFAdversarial
from harness.testing import checks

Regions = Literal["hardest", "both", "second"]


def adversary(regions: Regions = "hardest", **options: Any) -> SKFAdversarial:
    torch.manual_seed(0)
    return SKFAdversarial(regions=regions, width=8, **options)


def thirds(image: Tensor) -> Tensor:
    """Three classes whose totals differ; the ranks of the second image are those of the first, turned round."""
    weights = torch.tensor([[0.2, 0.5, 0.3], [0.3, 0.2, 0.5]])[: len(image), :, None, None]
    return weights.expand(-1, -1, *image.shape[-2:]) * image[:, :1]


def inputs(restored: Tensor, **made: Any) -> LossInputs:
    truth = checks.images(len(restored), 3, *restored.shape[-2:], seed=1)
    return LossInputs(restored, torch.zeros_like(restored), truth, None, made or {"segment": thirds}, 1, False)


def test_it_is_an_adversary_with_the_authors_rate() -> None:
    loss = adversary()
    assert loss.traits.adversary
    assert loss.lr == 1e-7
    assert sum(p.numel() for p in SKFAdversarial().parameters()) == 4_689_601  # theirs too


@pytest.mark.parametrize("regions", ["hardest", "both", "second"])
def test_discriminators_loss_by_definition(regions: Regions) -> None:
    loss = adversary(regions)
    checks.stir(loss)
    given = inputs(checks.images(2, 3, 32, 48))
    assert given.gt_BCHW is not None
    probabilities, total = thirds(given.restored_BCHW), 0.0

    def errors(mask: Tensor) -> tuple[float, float]:
        with torch.no_grad():
            fake, real = (loss.discriminator((x * mask)[None]).item() for x in (restored, truth))
        return fake**2, (real - 1) ** 2

    for image, order in enumerate(((1, 2), (2, 0))):
        restored, truth = given.restored_BCHW[image], given.gt_BCHW[image]
        first, second = (errors(probabilities[image, number]) for number in order)
        region = {
            "hardest": tuple(map(max, first, second)),
            "both": tuple((a + b) / 2 for a, b in zip(first, second, strict=True)),
            "second": second,
        }[regions]
        total += 0.9 * sum(errors(torch.ones(()))) / 2 + 0.1 * sum(region) / 2
    assert loss.own_loss(given).item() == pytest.approx(total / 2, rel=1e-5)


def test_models_loss_and_its_gradient_reaches_the_image_alone() -> None:
    loss = adversary()
    restored = checks.images(2, 3, 32, 32).requires_grad_(True)
    value = loss(inputs(restored))
    with torch.no_grad():
        assert value.item() == pytest.approx((loss.discriminator(restored) - 1).square().mean().item(), rel=1e-6)
    value.backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_learning_reaches_every_parameter_and_no_image() -> None:
    loss = adversary()
    restored = checks.images(2, 3, 32, 32).requires_grad_(True)
    assert not checks.without_gradient(loss, lambda: loss.own_loss(inputs(restored)))
    assert restored.grad is None


def test_it_learns_to_tell_dark_images() -> None:
    loss = adversary()
    given = inputs(0.2 * checks.images(4, 3, 16, 16), segment=lambda x: torch.cat([0.6 + 0 * x[:, :1], 0.4 + 0 * x], 1))
    parameters, values = list(loss.parameters()), []
    for _ in range(40):  # plain steps: an optimizer's first import takes longer than all of them
        value = loss.own_loss(given)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
                parameter.sub_(0.1 * gradient)
        values.append(value.item())
    assert values[-1] < 0.3 * values[0]
    assert loss(given).item() > 0.7


@pytest.mark.parametrize("source", ["restored", "truth"])
def test_which_image_tells_the_classes(source: Literal["restored", "truth"]) -> None:
    seen: list[Tensor] = []

    def segment(image: Tensor) -> Tensor:
        seen.append(image)
        return thirds(image)

    given = inputs(checks.images(2, 3, 16, 16), segment=segment)
    adversary(classes=source).own_loss(given)
    assert torch.equal(seen[0], given.restored_BCHW if source == "restored" else given.gt_BCHW)


def test_an_image_is_judged_alone_down_to_the_smallest_patch() -> None:
    torch.manual_seed(0)
    discriminator, images = Discriminator(8), checks.images(3, 3, 16, 16)
    with torch.no_grad():
        alone = torch.cat([discriminator(image) for image in images.split(1)])
        checks.assert_close(discriminator(images), alone, "in a batch and alone", tolerance=1e-5)


def test_without_classes() -> None:
    with pytest.raises(HarnessError, match="nothing in this cell tells"):
        adversary().own_loss(inputs(checks.images(1, 3, 16, 16), other=1))
