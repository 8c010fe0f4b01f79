"""A small real world for tests of training, evaluation and jobs: photographs, shards, features, cells of seconds.

Preparing the data takes two seconds and happens once per test session; every test gets its own output folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, Samples
from harness.api.task import EvaluationProtocol
from harness.cells.cell import RULES, Cell, Variant
from harness.cells.recipe import Recipe
from harness.cells.suite import Labels, Run, SuiteMetric
from harness.core.paths import Layout, write_text
from harness.jobs.context import Context
from harness.parts.catalogue import REGISTRY
from harness.planning.job import EvaluateWork, FeaturesWork, Job, ShardsWork, TrainWork, Work
from harness.records import store
from harness.records.model import RunRecord
from tests.small_metrics import plain_metric

TINY_NAFNET = PartRef(
    name="nafnet",
    options={"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]},
)
RANDOM = PartRef(name="random", options={"dim": 8})
RECIPE = Recipe(steps=12, batch=4, patch=32)
RUN = Run(checkpoint_every=4, log_every=3, samples=1, gpus=0)


def denoising() -> PartRef:
    """Gaussian denoising, resolved as a suite would."""
    options = {"sigma": 25.0, "quantise": "none"}
    return PartRef(
        name="gaussian_denoise",
        options=options,
        derived_from=PartRef(name="gaussian_noise", options=options, drawn=True),
    )


def low_light() -> PartRef:
    """Low-light enhancement, whose degraded images are stored, resolved as a suite would."""
    return PartRef(name="low_light", derived_from=PartRef(name="low_light"))


def photos() -> PartRef:
    """The data set `photos` with its fingerprint."""
    return PartRef(name="photos", digest=REGISTRY.load("dataset", "photos")().fingerprint())


def small_cell(**changes: Any) -> Cell:
    """A base NAFNet cell of 12 steps; `changes` replace fields."""
    fields: dict[str, Any] = {"task": denoising(), "train": photos(), "backbone": TINY_NAFNET, "recipe": RECIPE}
    return Cell(**({"rules": RULES} | fields | changes))


def refined_cell(prior: PartRef = RANDOM, **changes: Any) -> Cell:
    """The same backbone with PTG-RM; `changes` replace fields of the variant."""
    return small_cell(variant=Variant(refiner=PartRef(name="ptg_rm"), prior=prior, **changes))


@dataclass(frozen=True)
class SmallWorld:
    """One output folder over shared prepared data."""

    layout: Layout

    @property
    def context(self) -> Context:
        return Context(self.layout, REGISTRY)

    def job(self, work: Work, **changes: Any) -> Job:
        """A job as the planner writes it."""
        labels = Labels(task="denoise", backbone="NAFNet", variant="base")
        fields: dict[str, Any] = {"work": work, "labels": labels, "run": RUN, "suite": "small"}
        return Job(**(fields | {"out": str(self.layout.out), "data": str(self.layout.data)} | changes))

    def train_job(self, cell: Cell, **changes: Any) -> Job:
        return self.job(TrainWork(cell=cell), **changes)

    def evaluate_job(
        self,
        cell: Cell,
        *,
        metrics: tuple[str | SuiteMetric, ...] = ("psnr", "ssim"),
        tests: tuple[Samples, ...] = (),
        protocols: tuple[EvaluationProtocol, ...] = (),
        **changes: Any,
    ) -> Job:
        asked = tuple(plain_metric(metric) if isinstance(metric, str) else metric for metric in metrics)
        work = EvaluateWork(cell=cell, tests=tests or (held_out(cell),), metrics=asked, protocols=protocols)
        return self.job(work, **changes)

    def write(self, job: Job) -> Path:
        """The job's file, where the driver puts it."""
        path = self.layout.job_file(job.id)
        write_text(path, job.model_dump_json())
        return path

    def record(self, cell: Cell) -> RunRecord:
        record = store.load(self.layout, cell.id)
        assert record is not None
        return record

    def rows(self, cell: Cell) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = store.load_images(self.layout, cell.id).to_pylist()
        return rows

    def curve(self, cell: Cell) -> list[tuple[int, float, float]]:
        """(step, loss, learning rate) of every line of the loss curve."""
        events = store.read_events(self.layout, cell.id)
        return [(line["step"], line["loss"], line["lr"]) for line in events if line["event"] == "step"]


def held_out(cell: Cell) -> Samples:
    """The test split of the cell's own data set, as the cell's task sees it."""
    return cell.test_set(cell.train).samples()


def prepare(world: SmallWorld, cell: Cell) -> None:
    """Shards and features that training and evaluating the cell need."""
    from harness.jobs import features, shards

    for samples in (cell.train_samples, held_out(cell)):
        shards.run(world.job(ShardsWork(stored=samples.stored)), world.context)
    wanted: list[FeatureSet | None] = [cell.train_features(stage) for stage in range(len(cell.recipe.crops))]
    for feature_set in filter(None, (*wanted, cell.test_features(held_out(cell)))):
        for each in (*feature_set.parents, feature_set):
            work = FeaturesWork(features=each, prior_source=cell.prior_source)
            features.run(world.job(work), world.context)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the shards of `small_cell` and the features of `refined_cell`."""
    out = tmp_path_factory.mktemp("prepared")
    prepare(SmallWorld(Layout(out, out / "data")), refined_cell())
    return out / "data"


@pytest.fixture
def world(prepared: Path, tmp_path: Path) -> SmallWorld:
    """An empty output folder over the prepared data."""
    return SmallWorld(Layout(tmp_path / "out", prepared))
