"""A CLIP small enough for tests, written to disk in the formats that real ones come in."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch

ARCHITECTURE = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}


def build() -> torch.nn.Module:
    """The whole model, image and text half, with weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return open_clip.CLIP(**ARCHITECTURE).eval()


def write(folder: Path) -> dict[str, str]:
    """Writes weights and architecture; gives the options of the prior `clip`."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, config = folder / "tiny.pt", folder / "tiny.json"
    torch.save(build().state_dict(), checkpoint)
    config.write_text(json.dumps(ARCHITECTURE))
    return {"checkpoint": str(checkpoint), "config": str(config)}
