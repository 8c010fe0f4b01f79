"""Every network takes a training step in the harness: by itself, with PTG-RM, and where they fit with SKF and SMG.

`make test-slow`. The networks are the proxies of the official recipes, the photographs are real; nothing is said of
quality.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.parts.catalogue import REGISTRY
from tests import tiny_hrnet
from tests.flow.bench import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

OWN_OPTIONS = {"sci": {"stage": 3}}
"""Options that a network needs to learn by its own losses."""

NEEDS_VGG = "enlightengan"
"""Its own losses also compare features of a network that cannot be had here: it learns from its adversaries alone."""

SUITE = """
suite: every_network
run: {{cpus: 2, samples: 0, gpus: 0}}
metrics: [psnr]
defaults:
  task: low_light
  dataset: photos
  recipe: {{preset: proxy, steps: 3, batch: 2}}
blocks:
  - matrix:
      backbone: [{backbones}]
      variant: [base, {{refiner: ptg_rm, prior: random}}]
  - matrix:
      backbone: [{needs_vgg}]
      variant: [base, {{refiner: ptg_rm, prior: random}}]
    recipe: {{losses: [enlightengan]}}
  - matrix:
      backbone: [snr_net, uretinex, restormer]
      variant:
        - {{refiner: {{name: skf, checkpoint: {hrnet}}}}}
        - {{refiner: {{name: skf, checkpoint: {hrnet}, semantics: truth}}}}
        - {{refiner: {{name: smg, size: 64, narrow: 0.125}}}}
    recipe: {{losses: [{{name: charbonnier, reduction: sum}}]}}
"""


def test_every_network_trains_with_and_without_ptg_rm(tmp_path: Path, bench: Bench) -> None:
    """SKF's segmentation network has random weights: a code path, no result."""
    names = REGISTRY.names("backbone")
    backbones = ", ".join(
        json.dumps({"name": name, **OWN_OPTIONS.get(name, {})}) for name in names if name != NEEDS_VGG
    )
    suite = tmp_path / "every.yaml"
    hrnet = tiny_hrnet.write(tmp_path)["checkpoint"]
    suite.write_text(SUITE.format(backbones=backbones, needs_vgg=NEEDS_VGG, hrnet=hrnet))
    done = bench("run", suite, "--out", tmp_path / "out", "--tracker", "none", timeout=3000)
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "cells").glob("*/record.json")]
    failed = {
        f"{record['labels']['backbone']} {record['labels']['variant']}": record["failure"]
        for record in records
        if record["status"] != "done"
    }
    assert not failed, failed
    assert done.returncode == 0, done.stdout + done.stderr
    trained = [record for record in records if record["training"]]
    assert len(trained) == 2 * len(names) + 9
    print(bench.ok("leaderboard", tmp_path / "out"))
