from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812
from torch.optim import SGD

from harness.api.loss import LossInputs
from harness.cells.recipe import Recipe
from harness.parts.backbones.ruas import RUAS
from harness.parts.losses.illumination import Colours, parted_smoothness
from harness.parts.losses.ruas import RUASLoss
from harness.recipes.presets import find_preset
from harness.training.optim import build_optimizer, set_learning_rate


def test_without_denoiser_the_last_iteration_is_the_result() -> None:
    network, image = RUAS(denoise=False), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        enhanced, illuminations = network.iterate(image)
        assert torch.equal(network(image), enhanced[-2])
    assert len(illuminations) == 3
    assert not any(parameter.requires_grad for parameter in network.denoise_net.parameters())
    assert not [tap for tap in network.capabilities.taps if "denoise" in tap]


def test_both_uses_share_checkpoints() -> None:
    RUAS(denoise=False).load_state_dict(RUAS().state_dict(), strict=True)


def test_the_preset_trains_as_the_authors_two_optimizers_do() -> None:
    """model.py, `Network.optimizer`: an SGD at 0.015 each step, another at 0.001 for the denoiser each 50th.

    Clipping aside, which their two gradients have apart.
    """
    torch.manual_seed(3)
    ours = RUAS().double()
    theirs = deepcopy(ours)
    first: dict[str, Any] = {"lr": 0.015, "momentum": 0.9, "weight_decay": 3e-4}
    enhancing = SGD(theirs.enhance_net.parameters(), **first)
    denoising = SGD(theirs.denoise_net.parameters(), **{**first, "lr": 0.001})

    fields = find_preset("ruas/low_light", None, None).fields
    recipe = Recipe(**{name: value for name, value in fields.items() if name != "losses"})
    named = [(f"backbone.{name}", parameter) for name, parameter in ours.named_parameters()]
    optimizer, loss = build_optimizer(recipe, named), RUASLoss(noise_fidelity=1e-7, every=2)
    set_learning_rate(optimizer, recipe.lr)

    for step in range(1, 7):
        image = 0.3 * torch.rand(1, 3, 12, 14, dtype=torch.float64)
        enhanced, illuminations = theirs.enhance_net(image)
        last, noisy = illuminations[-1], enhanced[-1].detach()
        enhancing.zero_grad()
        (0.5 * F.mse_loss(last, image) + parted_smoothness(Colours()(image), last)).backward()
        enhancing.step()
        if step % 2 == 0:
            clean = theirs.denoise_net(noisy)
            variation = sum(clean.diff(dim=axis).square().mean() for axis in (2, 3))
            denoising.zero_grad()
            (1e-7 * F.mse_loss(clean, noisy) + 2 * variation).backward()
            denoising.step()

        made = ours.outputs(image)
        loss(LossInputs(made["restored"], image, None, None, made, step, refined=False)).backward()
        optimizer.step()
        ours.zero_grad(set_to_none=True)

    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=1e-9, atol=1e-12)
