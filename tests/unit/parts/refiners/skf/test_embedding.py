from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError
from harness.parts.refiners.skf.embedding import SemanticEmbedding
from harness.testing import checks

Gate = Literal["semantics", "image"]
GATES: tuple[Gate, ...] = ("semantics", "image")


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, 8, 12, generator=generator), torch.randn(2, 5, 2, 3, generator=generator)


@pytest.mark.parametrize("gate", GATES)
def test_gradient_reaches_every_trained_parameter(gate: Gate) -> None:
    torch.manual_seed(0)
    block = SemanticEmbedding(8, 5, gate=gate)
    assert not checks.without_gradient(block, lambda: block(*inputs()).square().mean())


def test_what_the_published_network_leaves_unused_is_not_trained() -> None:
    block = SemanticEmbedding(8, 5, gate="semantics")
    idle = {name for name, parameter in block.named_parameters() if not parameter.requires_grad}
    assert idle == {"ffn.project_in.weight", "ffn.dwconv.weight"}


@pytest.mark.parametrize("gate", GATES)
def test_semantics_are_enlarged_by_repetition(gate: Gate) -> None:
    torch.manual_seed(0)
    block = SemanticEmbedding(8, 5, gate=gate)
    features, semantics = inputs()
    enlarged = F.interpolate(semantics, scale_factor=4, mode="nearest")
    assert torch.allclose(block(features, semantics), block(features, enlarged), atol=1e-6)


@pytest.mark.parametrize("gate", GATES)
def test_semantics_count(gate: Gate) -> None:
    torch.manual_seed(0)
    block = SemanticEmbedding(8, 5, gate=gate)
    features, semantics = inputs()
    assert (block(features, semantics) - block(features, semantics.flip(0))).abs().max() > 1e-4


@pytest.mark.parametrize("gate", GATES)
def test_normalised_features_replace_the_features(gate: Gate) -> None:
    torch.manual_seed(0)
    block = SemanticEmbedding(8, 5, gate=gate)
    features, semantics = inputs()
    assert torch.allclose(block(3 * features + 1, semantics), block(features, semantics), atol=1e-3)


def test_heads_divide_the_channels() -> None:
    with pytest.raises(HarnessError, match="do not divide"):
        SemanticEmbedding(9, 5, gate="image")
