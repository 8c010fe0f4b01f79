"""One denoiser is trained on noise of every strength and tested at several, as its network is told each time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file

from harness.core.identity import seed
from harness.parts.backbones.drunet import DRUNet
from harness.parts.datasets.photos import Photos
from tests.flow.bench import Bench

SIGMAS = (15, 25, 50)
SUITE = """
suite: blind
defaults:
  dataset: photos
  backbone: {name: drunet, nc: [4, 8, 8, 8], nb: 1}
  recipe: {steps: 2, batch: 4, patch: 32, losses: [l1]}
  test_options: [{sigma: 15}, {sigma: 25}, {sigma: 50}]
blocks:
  - task: {name: gaussian_denoise, sigma: [0, 50]}
metrics: [psnr]
"""


def psnr(restored_BCHW: torch.Tensor, truth_HWC: np.ndarray) -> float:
    levels = np.rint(np.clip(restored_BCHW[0].permute(1, 2, 0).numpy(), 0, 1) * 255) / 255
    return float(-10 * np.log10(np.mean((levels - truth_HWC / 255) ** 2)))


def test_tests_at_several_strengths_are_evaluations_of_one_cell(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "blind.yaml").write_text(SUITE)
    table = bench.ok("run", tmp_path / "blind.yaml", "--out", "out", "--executor", "local", "--tracker", "none")
    [weights] = (tmp_path / "out" / "cells").rglob("*.safetensors")
    [folder] = [path for path in weights.parents if (path / "images.parquet").exists()]
    images = pyarrow.parquet.read_table(folder / "images.parquet").to_pandas()
    means = images.groupby("evaluation")["value"].mean()
    evaluations = json.loads((folder / "record.json").read_text())["evaluations"]
    found = {each["condition"]["sigma"]: means[each["id"]] for each in evaluations}
    assert len(means) == len(evaluations) == len(SIGMAS)
    assert all(f"sigma={sigma}" in " ".join(table.split()) for sigma in SIGMAS)

    state = {name.removeprefix("backbone."): tensor for name, tensor in load_file(weights).items()}
    network = DRUNet(nc=(4, 8, 8, 8), nb=1, sigma=(0.0, 50.0))
    network.load_state_dict(state)
    told = {sigma: restored_at(network, sigma, sigma) for sigma in SIGMAS}
    assert found == pytest.approx(told, abs=1e-4)
    assert abs(restored_at(network, 50, 15) - told[50]) > 2e-3  # the network uses what it is told


def restored_at(network: DRUNet, sigma: float, told: float) -> float:
    """Mean PSNR in dB over the test images behind noise of one strength, with the network told another."""
    values = []
    for image in Photos().images("test"):
        assert image.pixels is not None
        random = np.random.default_rng(seed("degrade", "gaussian_noise", "gaussian_noise", "photos", "test", image.key))
        noise = random.standard_normal(image.pixels.shape, dtype=np.float32) * np.float32(sigma / 255)
        lq_BCHW = torch.from_numpy(image.pixels / np.float32(255) + noise).permute(2, 0, 1)[None]
        below, right = -image.pixels.shape[0] % 8, -image.pixels.shape[1] % 8
        padded = torch.nn.functional.pad(lq_BCHW, (0, right, 0, below), mode="reflect")
        with torch.no_grad():
            restored = network(padded, torch.tensor([float(told)]))
        values.append(psnr(restored[..., : image.pixels.shape[0], : image.pixels.shape[1]], image.pixels))
    return float(np.mean(values))
