"""Training steps with cached prior vectors (policy `image`, random crops) against the same steps with CLIP ViT-B/32
encoded live, batch by batch.

`python -m tests.benchmarks.features [ROUNDS]`. CLIP has random weights: what they are does not change the speed. Both
variants take the real loader, model and step, in turns within one run; "live" encodes a whole batch in one forward
pass, which is faster than training does it on a CPU (one image at a time, so that cached equals live bit for bit).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from harness.api.batch import Batch
from harness.api.reference import PartRef
from harness.api.sets import FeatureSet
from harness.cells.cell import Cell, Variant
from harness.cells.recipe import Recipe
from harness.core.paths import Layout
from harness.data.features import FeatureRows, open_features
from harness.data.prepare import prepare_set
from harness.data.samples import OpenSamples, open_samples
from harness.jobs import features as features_job
from harness.jobs.context import Context
from harness.models.assemble import build_model
from harness.models.priors import build_prior
from harness.parts.catalogue import REGISTRY
from harness.planning.job import FeaturesWork, Job
from harness.training.data import TrainLoader
from harness.training.engines.ddp import start_ddp
from harness.training.objective import build_objective
from harness.training.optim import build_optimizer
from harness.training.passes import Passes
from harness.training.step import EncodeLive, Stepper

MODEL = "ViT-B-32-quickgelu"
STEPS = 5
"""Steps per turn."""


def random_clip(folder: Path) -> PartRef:
    """ViT-B/32's image half with random weights, as the prior `clip` reads it."""
    architecture = open_clip.get_model_config(MODEL)
    network = open_clip.CLIP(**architecture)
    state = {key: value for key, value in network.state_dict().items() if key.startswith("visual.")}
    save_file(state, folder / "random.safetensors")
    (folder / "architecture.json").write_text(json.dumps(architecture))
    files = {"checkpoint": str(folder / "random.safetensors"), "config": str(folder / "architecture.json")}
    return PartRef(name="clip", files=files)


def a_cell(prior: PartRef) -> Cell:
    return Cell(
        task=PartRef(name="low_light", derived_from=PartRef(name="low_light")),
        train=PartRef(name="photos", digest=REGISTRY.load("dataset", "photos")().fingerprint()),
        backbone=PartRef(
            name="nafnet",
            options={"width": 8, "enc_blk_nums": [1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1]},
        ),
        variant=Variant(refiner=PartRef(name="ptg_rm"), prior=prior),
        recipe=Recipe(patch=64, batch=8),
    )


def turn(cell: Cell, opened: OpenSamples, rows: FeatureRows | None, live: EncodeLive | None) -> Callable[[], float]:
    """A function that takes STEPS optimizer steps and gives the seconds of one."""
    engine = start_ddp("fp32", gpus="auto")
    model = build_model(cell, REGISTRY, 512).to(engine.device).train()
    passes = Passes(model, build_objective(cell, cell.recipe.parts[0], REGISTRY, engine.device))
    engine.prepare(passes, build_optimizer(cell.recipe, model.named_parameters()))
    stepper = Stepper(engine, passes, None, None, live)
    loader = iter(TrainLoader(opened, rows, cell.recipe, seed=0).to(engine.device))

    def steps() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            batch: Batch = next(loader)
            stepper(batch).item()
        return (time.perf_counter() - began) / STEPS

    return steps


def measure(folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of a step, cached and live."""
    context = Context(Layout(folder, folder / "data"), REGISTRY)
    cell = a_cell(random_clip(folder))
    features = cell.train_features(0)
    assert isinstance(features, FeatureSet)
    prepare_set(features.samples.stored, REGISTRY, context.layout.data)
    opened = open_samples(features.samples, REGISTRY, context.layout.data)
    features_job.run(Job(work=FeaturesWork(features=features)), context)
    prior = build_prior(features.prior, REGISTRY, prior_source=None, layout=context.layout)
    cached = turn(cell, opened, open_features(features, context.layout.data), None)
    live = turn(cell, opened, None, prior.encode)
    for warm_up in (cached, live):
        warm_up()
    pairs = [(cached(), live()) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def main(rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cached, live = measure(Path(folder), rounds)
    print(
        f"training steps with cached features against live CLIP ViT-B/32: {live / cached:.1f}x as many (goal 2x); "
        f"{1 / cached:.2f} and {1 / live:.2f} steps/s, {torch.get_num_threads()} threads, 8 crops of 64x64"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
