"""What this machine lacks, asked of declarations."""

from __future__ import annotations

import subprocess
import sys

from harness.api.reference import PartRef
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import SuiteMetric
from harness.parts.catalogue import REGISTRY
from harness.planning.job import EvaluateWork, FeaturesWork, ShardsWork, TrainWork
from harness.planning.missing import lack, lacking_metrics, lacks, needs
from tests.unit.records.made import cell, photos, refined

CLIP = PartRef(name="clip", options={"model": "ViT-B-32-quickgelu", "pretrained": "openai"})


def names(work):
    return [(kind, part.name) for kind, part in needs(work)]


def test_what_each_kind_of_job_uses():
    live = refined(prior=CLIP, variant={"features": "live"}, recipe=Recipe(losses=(LossTerm(part=PartRef(name="l1")),)))
    features = refined(prior=CLIP).train_features(0)
    assert features is not None
    assert names(ShardsWork(stored=live.train_samples.stored)) == [("dataset", "photos")]
    assert names(FeaturesWork(features=features)) == [("prior", "clip")]
    network = [("backbone", "nafnet"), ("refiner", "ptg_rm")]
    assert names(TrainWork(cell=live)) == [*network, ("loss", "l1"), ("prior", "clip")]
    assert names(EvaluateWork(cell=live, tests=(), metrics=())) == network
    ready = cell(backbone=PartRef(name="restormer", weights="restormer/deraining"))
    assert names(TrainWork(cell=ready)) == [("weights", "restormer")]
    assert names(EvaluateWork(cell=ready.model_copy(update={"backbone": None}), tests=(), metrics=())) == []


def test_the_first_lack_of_each_job_is_told():
    works = {"fine": TrainWork(cell=cell()), "live": TrainWork(cell=refined(prior=CLIP, variant={"features": "live"}))}
    found = lacks(works, REGISTRY)
    assert list(found) == ["live"]
    assert str(found["live"]).startswith("prior clip needs clip/ViT-B-32-openai · try: bench weights fetch")


def test_options_that_a_reference_leaves_out_have_their_defaults():
    assert str(lack("prior", PartRef(name="clip"), REGISTRY)).startswith("prior clip needs clip/")


def test_an_error_is_a_reason_with_what_to_try():
    reason = str(lack("prior", PartRef(name="clop"), REGISTRY))
    assert reason == "prior clop: no prior is called 'clop' · try: did you mean 'clip'?"
    unknown = cell(backbone=PartRef(name="restormer", weights="restormer/derain"))
    assert "restormer/derain" in str(lack("weights", unknown.backbone, REGISTRY))


def test_images_are_compared_with_those_that_the_suite_saw():
    assert lack("dataset", photos(), REGISTRY) is None
    assert "changed since the suite was read" in str(lack("dataset", PartRef(name="photos", digest="0"), REGISTRY))


def test_metrics_are_told_apart_by_their_keys():
    metrics = [
        SuiteMetric(part=PartRef(name="psnr"), key="psnr", label="PSNR"),
        SuiteMetric(part=PartRef(name="lpips"), key="lpips(net=alex)", label="LPIPS"),
    ]
    assert list(lacking_metrics(metrics, REGISTRY)) == ["lpips(net=alex)"]


ASK = """
import sys
from pathlib import Path
from harness.core.paths import Layout
from harness.parts.plugins import open_suite
from harness.planning.plan import make_plan
suite, registry = open_suite(sys.argv[1])
make_plan(suite, Layout(Path("out"), Path("data")), registry)
parts = [name for name in sys.modules if name.startswith("harness.parts.") and name.count(".") > 2]
modules = [name for name in parts if not hasattr(sys.modules[name], "__path__")]  # packages are empty
print(*(name for name in modules if not name.startswith("harness.parts.datasets.")), "torch" in sys.modules)
"""

SUITE = """
suite: wide
metrics: [psnr, lpips]
defaults: {dataset: photos}
blocks:
  - matrix:
      task: [low_light]
      backbone: [snr_net]
      variant: [base, {refiner: ptg_rm, prior: clip}, {refiner: skf, placement: features}]
"""


def test_planning_imports_no_part_but_data_sets(tmp_path):
    file = tmp_path / "wide.yaml"
    file.write_text(SUITE)
    command = [sys.executable, "-c", ASK, str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]
