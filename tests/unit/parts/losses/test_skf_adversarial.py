"""SKF's adversary: its loss by definition, whose gradient goes where, and that it learns."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses.skf_adversarial import Discriminator, SKFAdversarial
from harness.parts.refiners.skf.guidance import SemanticGuidance
from harness.testing import checks
from tests import tiny_hrnet

Regions = Literal["hardest", "both", "second"]


def adversary(regions: Regions = "hardest", **options: Any) -> SKFAdversarial:
    torch.manual_seed(0)
    return SKFAdversarial(regions=regions, **{"width": 8, "class_maps": 3} | options)


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
    sizes = dict.fromkeys((False, True), 0)
    for parameter in SKFAdversarial().parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    # Theirs too: what follows the first convolution with that of images alone, and the one of 62 channels.
    assert sizes == {True: 4_689_601, False: 62 * 64 * 9 + 64}


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


def judged(discriminator: Discriminator, image: Tensor) -> Tensor:
    """The chance that an image beside its maps is true, from the authors' layout: convolution by convolution."""
    x, channels = F.conv2d(image, discriminator.beside.weight, discriminator.beside.bias, padding=1).relu(), 0
    for number, layer in enumerate(each for each in discriminator.layers if isinstance(each, nn.Conv2d)):
        last = layer.kernel_size == (1, 1)
        assert layer.out_channels == (1 if last else 8 * (1, 2, 2, 4, 4, 8, 8)[number])
        x, channels = F.conv2d(x, layer.weight, layer.bias, stride=1 if last else 2 - number % 2, padding=1), x.shape[1]
        if not last:
            x = F.group_norm(x, 8).relu()
    assert channels == 64
    return torch.sigmoid(x.sum((1, 2, 3)) / (x.shape[-2] * x.shape[-1]))


def test_models_loss_judges_the_image_beside_its_class_maps() -> None:
    loss = adversary()
    given = inputs(checks.images(2, 3, 32, 32))
    with torch.no_grad():
        beside = torch.cat([given.restored_BCHW, thirds(given.restored_BCHW)], 1)
        expected = (judged(loss.discriminator, beside) - 1).square().mean().item()
        assert loss(given).item() == pytest.approx(expected, rel=1e-5)
        other = inputs(given.restored_BCHW, segment=lambda x: thirds(x).flip(1))
        assert loss(other).item() != pytest.approx(expected, rel=1e-5)


def test_models_gradient_reaches_the_image_alone_directly_and_through_its_classes() -> None:
    loss = adversary()

    def gradient(segment: Any) -> Tensor:
        restored = checks.images(2, 3, 32, 32).requires_grad_(True)
        loss(inputs(restored, segment=segment)).backward()
        assert restored.grad is not None
        return restored.grad

    whole, direct = gradient(thirds), gradient(lambda image: thirds(image).detach())
    assert direct.abs().sum() > 0
    assert not torch.equal(whole, direct)
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_with_a_real_segmentation_network() -> None:
    """The model's gradient passes the frozen network, and none of its parameters gets one."""
    skf = SemanticGuidance((4, 4), tiny_hrnet.build())
    restored = checks.images(1, 3, 40, 40).requires_grad_(True)
    value = adversary(class_maps=tiny_hrnet.CLASSES)(inputs(restored, segment=skf.segment))
    value.backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in skf._frozen[0].parameters())


def test_another_number_of_classes() -> None:
    with pytest.raises(HarnessError, match="59 classes, and the segmentation network has 3") as caught:
        adversary(class_maps=59)(inputs(checks.images(1, 3, 16, 16)))
    assert caught.value.hint == "class_maps: 3"


def test_learning_reaches_every_parameter_and_no_image() -> None:
    loss = adversary()
    restored = checks.images(2, 3, 32, 32).requires_grad_(True)
    assert not checks.without_gradient(loss, lambda: loss.own_loss(inputs(restored)))
    assert restored.grad is None


def test_it_learns_to_tell_dark_images() -> None:
    loss = adversary(class_maps=4)
    given = inputs(0.2 * checks.images(4, 3, 32, 32), segment=lambda x: torch.cat([0.6 + 0 * x[:, :1], 0.4 + 0 * x], 1))
    parameters, values = [parameter for parameter in loss.parameters() if parameter.requires_grad], []
    for _ in range(40):  # plain steps: an optimizer's first import takes longer than all of them
        value = loss.own_loss(given)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
                parameter.sub_(0.3 * gradient)
        values.append(value.item())
    assert values[-1] < 0.3 * values[0]
    with torch.no_grad():
        assert loss.discriminator(given.restored_BCHW).max() < 0.3


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
    discriminator, images = Discriminator(8, 3), checks.images(3, 3, 16, 16)
    with torch.no_grad():
        alone = torch.cat([discriminator(image) for image in images.split(1)])
        checks.assert_close(discriminator(images), alone, "in a batch and alone", tolerance=1e-5)


def test_without_classes() -> None:
    with pytest.raises(HarnessError, match="nothing in this cell tells"):
        adversary().own_loss(inputs(checks.images(1, 3, 16, 16), other=1))
