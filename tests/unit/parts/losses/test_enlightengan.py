"""EnlightenGAN's adversaries: values by definition, who learns from what, and that they learn."""

from __future__ import annotations

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.losses.enlightengan import EnlightenGANLoss, PatchGAN
from harness.parts.losses.patches import random_patches
from harness.parts.shared.blocks import draw_normal_weights

SHAPE = (2, 3, 24, 20)


@pytest.fixture
def loss():
    torch.manual_seed(0)
    return EnlightenGANLoss(width=4, patch=8, patches=3).double()


def test_the_discriminators_have_the_authors_layers() -> None:
    sizes = [
        (layer.in_channels, layer.out_channels, layer.stride[0])
        for layer in PatchGAN(64, 5)
        if hasattr(layer, "stride")
    ]
    assert sizes == [(3, 64, 2), (64, 128, 2), (128, 256, 2), (256, 512, 2), (512, 512, 2), (512, 512, 1), (512, 1, 1)]
    assert PatchGAN(2, 4)(torch.rand(1, 3, 3, 3)).shape[1] == 1  # of any size


def test_values_by_definition(loss, look) -> None:
    inputs = look(SHAPE)
    fake, real = inputs.restored_BCHW, inputs.clean_BCHW
    scores = {name: loss.whole(image).detach().numpy() for name, image in (("fake", fake), ("real", real))}
    for method, better, worse in ((loss, "fake", "real"), (loss.own_loss, "real", "fake")):
        torch.manual_seed(4)
        found = method(inputs).item()
        expected = ((scores[better] - scores[worse].mean() - 1) ** 2).mean() / 2
        expected += ((scores[worse] - scores[better].mean()) ** 2).mean() / 2
        torch.manual_seed(4)
        for fake_piece, real_piece in random_patches((fake, real), 3, 8):
            on_fake, on_real = (loss.local(piece).detach().numpy() for piece in (fake_piece, real_piece))
            if method is loss:
                expected += ((on_fake - 1) ** 2).mean() / 3
            else:
                expected += (((on_real - 1) ** 2).mean() + (on_fake**2).mean()) / 2 / 3
        assert found == pytest.approx(expected)


def test_each_learns_from_its_own_loss_alone(loss, look) -> None:
    image = look(SHAPE).restored_BCHW.requires_grad_()
    loss(look(SHAPE, restored_BCHW=image)).backward()
    assert torch.isfinite(image.grad).all()
    assert image.grad.abs().sum() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in loss.parameters())
    image.grad = None
    loss.own_loss(look(SHAPE, restored_BCHW=image)).backward()
    assert image.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in loss.parameters())


def test_both_discriminators_learn_to_tell_dark_from_bright(look) -> None:
    torch.manual_seed(0)
    loss = EnlightenGANLoss(width=4, patch=8, patches=1)
    draw_normal_weights(loss, 0.1)  # so narrow a network hardly hears its input through weights of the usual size
    dark, bright = 0.2 * torch.rand(2, 3, 12, 12), 1 - 0.2 * torch.rand(2, 3, 12, 12)
    inputs = look(restored_BCHW=dark, clean_BCHW=bright)
    optimizer = torch.optim.Adam(loss.parameters(), lr=5e-3, betas=loss.betas)
    before = loss.own_loss(inputs).item(), loss(inputs).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss.own_loss(inputs).backward()
        optimizer.step()
    assert before[0] > 0.9
    assert loss.own_loss(inputs).item() < 0.35  # the best is a quarter, all of it the whole images'
    with torch.no_grad():
        assert 0.4 < (loss.whole(bright).mean() - loss.whole(dark).mean()).item() < 0.6
        assert (loss.local(bright).mean() - loss.local(dark).mean()).item() > 0.5
    assert loss(inputs).item() > before[1]
    assert loss(look(restored_BCHW=bright, clean_BCHW=bright)).item() < loss(inputs).item()


def test_patches_lie_alike_and_come_back_with_the_generator() -> None:
    torch.manual_seed(3)
    image = torch.arange(30 * 20.0).view(1, 1, 30, 20)
    drawn = list(random_patches((image, -image), 20, 8))
    assert all(piece.shape[-2:] == (8, 8) and torch.equal(piece, -other) for piece, other in drawn)
    corners = {(int(piece[0, 0, 0, 0]) // 20, int(piece[0, 0, 0, 0]) % 20) for piece, _ in drawn}
    assert len(corners) > 10
    many = [int(piece[0, 0, 0, 0]) for (piece,) in random_patches((image,), 600, 8)]
    assert {place // 20 for place in many} == set(range(22))
    assert {place % 20 for place in many} == set(range(12))
    torch.manual_seed(3)
    again = list(random_patches((image, -image), 20, 8))
    assert all(torch.equal(piece, other) for (piece, _), (other, _) in zip(drawn, again, strict=True))
    assert next(iter(random_patches((image,), 1, 25)))[0].shape[-2:] == (25, 20)


def test_it_is_an_adversary_and_needs_clean_images(loss, look) -> None:
    assert loss.traits.adversary
    assert (loss.lr, loss.betas, loss.traits.reads) == (1e-4, (0.5, 0.999), "unpaired")
    with pytest.raises(HarnessError, match="clean images"):
        loss(look(SHAPE, clean_BCHW=None))
    with pytest.raises(HarnessError, match="patch"):
        EnlightenGANLoss(patches=0)
