from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.promptir import Prompt, PromptIR

SMALL: dict[str, Any] = {
    "dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1, "prompt_dims": (8, 16, 32), "prompt_size": 16
}  # fmt: skip


def test_output_is_the_input_plus_a_residual() -> None:
    network, image = PromptIR(**SMALL), torch.rand(1, 3, 16, 16)
    torch.nn.init.zeros_(network.output.weight)
    assert torch.equal(network(image), image)


def test_prompts_are_mixed_by_the_image() -> None:
    """With all the weight on one prompt, and its size that of the features, the prompt itself is convolved."""
    prompt, features = Prompt(width=4, prompt_dim=2, prompts=3, side=8), torch.ones(1, 4, 8, 8)
    with torch.no_grad():
        prompt.linear_layer.weight.zero_()
        prompt.linear_layer.bias.copy_(torch.tensor([-100.0, 100.0, -100.0]))
        assert torch.allclose(prompt(features), prompt.conv3x3(prompt.prompt_param[:, 1]))


def test_what_the_function_ignores_is_frozen() -> None:
    frozen = {name for name, parameter in PromptIR(**SMALL).named_parameters() if not parameter.requires_grad}
    assert frozen == {f"unused.{number}.weight" for number in range(6)}


def test_four_levels_are_asked_for() -> None:
    with pytest.raises(HarnessError, match="three `prompt_dims`"):
        PromptIR(**{**SMALL, "prompt_dims": (8, 16)})
    with pytest.raises(HarnessError, match="four `num_blocks`"):
        PromptIR(**{**SMALL, "heads": (1, 2, 4)})
