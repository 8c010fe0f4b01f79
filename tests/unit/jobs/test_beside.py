"""What makes a job work on several images at the same time, and what threads may do beside its main one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.degradation import DegradationTraits
from harness.api.reference import PartRef
from harness.api.sets import Samples
from harness.core.guests import MODULES
from harness.data.degrade import degrade
from harness.evaluation.batches import MOST
from harness.evaluation.infer import Seen
from harness.jobs.evaluate import Restorer
from harness.jobs.evaluated import Evaluated
from harness.models.assemble import RestorationModel
from harness.parts.backbones.nafnet import NAFNet
from tests.small_world import RUN, SmallWorld, small_cell
from tests.stored_set import picture
from tests.unit.jobs.test_overlap import TEST, opened


class Waiting:
    """A degradation that goes on when it is told to."""

    traits = DegradationTraits(quantised=False)

    def __init__(self) -> None:
        self.is_begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        self.is_begun.set()
        assert self.go_on.wait(60)
        return np.asarray(clean + random.normal(size=clean.shape), np.float32)


def test_noise_that_a_thread_draws_undoes_nothing_that_the_main_thread_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    noise, image, ref = Waiting(), picture(1, 8, 8), PartRef(name="waiting", drawn=True)
    samples, found = Samples(stored=TEST, noise=ref), []
    drawing = threading.Thread(target=lambda: found.append(degrade(image, "k", noise, ref, samples)))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    drawing.start()
    assert noise.is_begun.wait(60)
    torch.backends.cudnn.benchmark = True
    noise.go_on.set()
    drawing.join()
    assert torch.backends.cudnn.benchmark
    np.testing.assert_array_equal(found[0], degrade(image, "k", noise, ref, samples))


@pytest.mark.parametrize(
    ("gpus", "cuda", "overlaps"), [("auto", True, True), (1, True, True), (0, True, False), ("auto", False, False)]
)
def test_a_gpu_makes_the_difference(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpus: Any, cuda: bool, overlaps: bool
) -> None:
    network = RestorationModel(NAFNet(width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(Restorer, "_build", lambda self, inputs: network)
    inputs, run = opened(tmp_path), RUN.model_copy(update={"gpus": gpus, "cpus": 5})
    for cell in (small_cell(), small_cell(backbone=None)):
        job = world.evaluate_job(cell, run=run)
        found = Restorer(job, Evaluated(job, world.context, None)).beside(inputs)
        assert (found is not None) == (overlaps and cell.backbone is not None)
        assert found is None or (found.device.type, found.threads) == ("cuda", 5)


@pytest.mark.parametrize(("module", "most"), [(NAFNet.__module__, MOST), (f"{MODULES}mine", 1)])
def test_networks_of_users_get_images_one_by_one(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, most: int
) -> None:
    mine = type("Mine", (NAFNet,), {"__module__": module, "traits": NAFNet.traits})
    network = RestorationModel(mine(width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**40, 2**40))
    monkeypatch.setattr(Restorer, "_build", lambda self, inputs: network)
    job = world.evaluate_job(small_cell(), run=RUN.model_copy(update={"gpus": 1}))
    found = Restorer(job, Evaluated(job, world.context, None)).beside(opened(tmp_path))
    assert found is not None
    assert found.batches.most(Seen(np.zeros((16, 16, 3), np.float32)), None) == most
