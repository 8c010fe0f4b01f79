"""Losses of images are one graph with their gradients; what a compiler makes of it is not tested. Backbones say so
themselves (`compiles`), and the contract of each tries it."""

from __future__ import annotations

import pytest
import torch

from harness.api.declaration import declaration
from harness.parts.catalogue import REGISTRY
from harness.parts.ops.whole_batch import passes
from harness.testing import checks
from harness.training.tryout import Call, tried
from harness.weights.files import needed_files


def plain_losses() -> list[str]:
    """Losses of images that need no file of weights."""
    found = []
    for name in REGISTRY.names("loss"):
        declared = declaration(REGISTRY, "loss", name)
        files = needed_files(declared.traits, declared.filled({}), f"loss {name}")
        if declared.traits.takes == "images" and not files:
            found.append(name)
    return found


@pytest.mark.parametrize("name", plain_losses())
def test_a_loss_of_images_is_one_graph(name: str) -> None:
    loss = REGISTRY.load("loss", name)()
    restored, truth = (checks.images(2, 3, 48, 64, seed=seed) for seed in (0, 1))
    call = Call.of(loss, loss, (restored.requires_grad_(), truth), passes(2)[0], 0)
    torch._dynamo.reset()
    reason = tried(call, faster=False, backend="aot_eager").reason
    assert not reason, reason
