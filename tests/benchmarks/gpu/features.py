"""Training steps of light backbones with PTG-RM: the prior's vectors from the cache against CLIP ViT-B/32 live.

CLIP has random weights: what they are changes no speed, and no quality is measured here.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Literal

import open_clip
from safetensors.torch import save_file

from tests import tiny_clip
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.clock import device
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.world import LOG_EVERY, World, run_section

MODEL = "ViT-B-32-quickgelu"
LIGHT = {
    "NAFNet-8": "{name: nafnet, width: 8, enc_blk_nums: [1, 1], middle_blk_num: 1, dec_blk_nums: [1, 1]}",
    "NAFNet-16": "{name: nafnet, width: 16, enc_blk_nums: [1, 1, 1], middle_blk_num: 1, dec_blk_nums: [1, 1, 1]}",
}


def random_clip(folder: Path) -> dict[str, str]:
    """ViT-B/32's image half with random weights, as options of the prior `clip`."""
    architecture = open_clip.get_model_config(MODEL)
    state = open_clip.CLIP(**architecture).state_dict()
    checkpoint, config = folder / "random.safetensors", folder / "architecture.json"
    save_file({key: value.contiguous() for key, value in state.items() if key.startswith("visual.")}, checkpoint)
    config.write_text(json.dumps(architecture), encoding="utf-8")
    return {"checkpoint": str(checkpoint), "config": str(config)}


def measure(bench: Bench) -> None:
    """Tells, for every light backbone, how many times as fast steps with cached vectors are."""
    files = tiny_clip.write(bench.folder) if bench.small else random_clip(bench.folder)
    batch, patch, steps = (2, 32, 2 * LOG_EVERY) if bench.small else (8, 128, 12 * LOG_EVERY)
    backbones = dict(list(LIGHT.items())[: 1 if bench.small else None])
    suite = f"""
suite: features
{run_section()}
defaults: {{task: low_light, dataset: photos, recipe: {{batch: {batch}, patch: {patch}, steps: {steps}}}}}
blocks:
  - matrix:
      backbone: [{", ".join(backbones.values())}]
      variant:
        - &cached {{refiner: ptg_rm, prior: {{name: clip, {_options(files)}}}, features: image}}
        - {{<<: *cached, features: live}}
"""
    world = World(bench.folder, suite)
    world.prepare()
    modes: list[Literal["off", "on"]] = ["off", "on"] if device().type == "cuda" else ["off"]
    pieces = {
        f"{name}, {'graphs' if mode == 'on' else 'as written'}": partial(_one, bench, world, 2 * place, mode)
        for mode in modes
        for place, name in enumerate(backbones)
    }
    bench.each({name: partial(piece, name) for name, piece in pieces.items()})


def _options(files: dict[str, str]) -> str:
    return ", ".join(f"{name}: {json.dumps(path)}" for name, path in files.items())


def _one(bench: Bench, world: World, place: int, mode: str, name: str) -> None:
    """Trains with cached and with live vectors, and tells the ratio."""
    cached, live = (world.train(job, compile=mode).step_seconds for job in world.jobs("train")[place : place + 2])
    note = f"{1e3 * cached:.1f} ms, live {1e3 * live:.1f}, 8 crops of 128×128" if not bench.small else ""
    bench.report.tell(f"{name}: cached against live", live / cached, "×", Goal("≥", 2.0), note)
