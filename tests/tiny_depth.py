"""A network for depth estimation small enough for tests, written as transformers writes real ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import DPTConfig, DPTForDepthEstimation

PREPARATION = {"size": 32, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.4, 0.5]}


def build() -> DPTForDepthEstimation:
    """DPT with weights that are always the same."""
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DPTForDepthEstimation(config).eval()
        # As they start, the last layers give zero nearly everywhere.
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return network


def write(folder: Path) -> Path:
    """Writes description, preparation and weights; gives the folder."""
    network = build()  # not by save_pretrained, which imports all that trains
    network.config.to_json_file(folder / "config.json")
    save_file(network.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARATION))
    return folder
