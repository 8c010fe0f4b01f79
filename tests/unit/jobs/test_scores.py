"""Parts of a test set that are scored by jobs of their own: the evaluation takes over what they left, and no more."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.api.protocols import RGB_UINT8, SIDD
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.suite import SuiteMetric
from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.core.registry import Entry
from harness.evaluation import infer
from harness.jobs import evaluate, scores, train
from harness.jobs.context import Context
from harness.parts.catalogue import REGISTRY
from harness.planning.job import EvaluateWork, Job, ScoresWork
from harness.records import store
from tests.small_metrics import plain_metric
from tests.small_world import RUN, SmallWorld, held_out, small_cell
from tests.unit.jobs.test_evaluate import FUSSY, input_cell

PARTS = 2
NO_STRIPS = RUN.model_copy(update={"samples": 0})
NAMED: dict[str, Any] = {"protocols": (RGB_UINT8, SIDD)}


@pytest.fixture
def trained(world: SmallWorld) -> Cell:
    cell = small_cell()
    train.run(world.train_job(cell), world.context)
    return cell


def divided(world: SmallWorld, cell: Cell, **changes: Any) -> tuple[Job, list[Job]]:
    """The evaluation, as planned with parts, and their jobs."""
    job = world.evaluate_job(cell, **NAMED, **changes)
    assert isinstance(job.work, EvaluateWork)
    works = [ScoresWork(of=job.work, part=part, parts=PARTS) for part in range(1, PARTS + 1)]
    parts = [world.job(work, run=job.run) for work in works]
    return job.model_copy(update={"parts": (tuple(each.id for each in parts),)}), parts


def score(world: SmallWorld, jobs: Sequence[Job], context: Context | None = None) -> list[Path]:
    """Runs jobs of parts; gives the files that they left."""
    torch.set_num_threads(1)
    for job in jobs:
        scores.run(job, context or world.context)
    return [path for job in jobs if (path := world.layout.job_scores(job.id)).is_file()]


def table(world: SmallWorld, cell: Cell) -> bytes:
    return world.layout.images(cell.id).read_bytes()


def alone(world: SmallWorld, cell: Cell, tmp_path: Path, **changes: Any) -> bytes:
    """The table of an evaluation without parts, in a folder of its own."""
    layout = Layout(tmp_path / "alone", world.layout.data)
    if world.layout.checkpoints(cell.id).is_dir():
        layout.checkpoints(cell.id).mkdir(parents=True)
        final = layout.final_weights(cell.id)
        final.write_bytes(world.layout.final_weights(cell.id).read_bytes())
        record = world.record(cell)
        store.save(layout, record.model_copy(update={"evaluations": (), "images_sha256": None}))
    other = SmallWorld(layout)
    torch.set_num_threads(1)
    evaluate.run(other.evaluate_job(cell, **NAMED, **changes), other.context)
    return table(other, cell)


def restored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The sizes of the images that are restored from now on."""
    seen: list[tuple[int, ...]] = []
    own = infer.restore

    def restore(model: Any, lq: Any, *given: Any) -> Any:
        seen.append(lq.shape)
        return own(model, lq, *given)

    monkeypatch.setattr(evaluate, "restore", restore)
    return seen


def test_the_evaluation_restores_only_what_it_shows(
    world: SmallWorld, trained: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, parts = divided(world, trained)
    whole = alone(world, trained, tmp_path)
    left = score(world, parts)
    assert len(left) == PARTS
    assert not world.layout.samples(trained.id).exists()
    seen = restored(monkeypatch)
    evaluate.run(job, world.context)
    assert len(seen) == RUN.samples == 1
    assert table(world, trained) == whole
    assert len(list(world.layout.samples(trained.id).iterdir())) == RUN.samples
    assert not any(path.exists() for path in left)
    record = world.record(trained)
    assert record.status == "done"
    assert all(each.images == 3 and each.seconds > 0 for each in record.evaluations)
    assert score(world, parts) == []  # all is on record


@pytest.mark.parametrize("lost", [0, 1])
def test_what_a_part_did_not_leave_is_scored_by_the_evaluation(
    world: SmallWorld, tmp_path: Path, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = input_cell()
    job, parts = divided(world, cell)
    score(world, [each for place, each in enumerate(parts) if place != lost])
    evaluate.run(job, world.context)
    assert table(world, cell) == alone(world, cell, tmp_path)


def test_a_second_try_of_a_part_does_nothing(world: SmallWorld, trained: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    _, parts = divided(world, trained)
    left = score(world, parts)
    content = [path.read_bytes() for path in left]
    seen = restored(monkeypatch)
    left[1].unlink()
    assert score(world, parts) == left
    assert len(seen) == 1  # the second part's only image
    assert left[0].read_bytes() == content[0]


def void_weights(world: SmallWorld, cell: Cell, job: Job, left: Sequence[Path]) -> Job:
    """The cell was trained again."""
    final = world.layout.final_weights(cell.id)
    weights = load_file(final)
    save_file({name: value * 1.01 for name, value in weights.items()}, final)
    record = world.record(cell)
    assert record.training is not None
    training = record.training.model_copy(update={"checkpoint_sha256": file_sha256(final)})
    store.save(world.layout, record.model_copy(update={"training": training}))
    return job


def void_bytes(world: SmallWorld, cell: Cell, job: Job, left: Sequence[Path]) -> Job:
    for path in left:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    return job


def void_beginning(world: SmallWorld, cell: Cell, job: Job, left: Sequence[Path]) -> Job:
    for path in left:
        path.write_bytes(path.read_bytes()[:70])
    return job


def void_exchange(world: SmallWorld, cell: Cell, job: Job, left: Sequence[Path]) -> Job:
    """One part's file lies in the place of another's."""
    first, second = (path.read_bytes() for path in left)
    left[0].write_bytes(second)
    left[1].write_bytes(first)
    return job


def void_metric(world: SmallWorld, cell: Cell, job: Job, left: Sequence[Path]) -> Job:
    assert isinstance(job.work, EvaluateWork)
    metrics = tuple(
        each.model_copy(update={"part": each.part.model_copy(update={"version": "2"})}) for each in job.work.metrics
    )
    return job.model_copy(update={"work": job.work.model_copy(update={"metrics": metrics})})


def void_threads(world: SmallWorld, cell: Cell, job: Job, left: Sequence[Path]) -> Job:
    return job.model_copy(update={"run": job.run.model_copy(update={"cpus": 2})})


@pytest.mark.parametrize("void", [void_weights, void_bytes, void_beginning, void_exchange, void_metric, void_threads])
def test_what_is_damaged_or_of_something_else_is_not_believed(
    world: SmallWorld, trained: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, void: Any
) -> None:
    job, parts = divided(world, trained)
    left = score(world, parts)
    job = void(world, trained, job, left)
    seen = restored(monkeypatch)
    evaluate.run(job, world.context)
    assert len(seen) == 3
    assert isinstance(job.work, EvaluateWork)
    assert table(world, trained) == alone(world, trained, tmp_path, metrics=job.work.metrics)
    assert not any(path.exists() for path in left)


def test_a_metric_that_refuses_an_image_is_named_as_without_parts(world: SmallWorld, tmp_path: Path) -> None:
    file = tmp_path / "fussy.py"
    file.write_text(FUSSY)
    registry = REGISTRY.extended([Entry("metric", "fussy", f"{file}:Fussy")])
    refuses = SuiteMetric(part=PartRef(name="fussy", options={"refuses": True}), key="fussy(refuses)", label="f")
    metrics = (plain_metric("psnr"), plain_metric("fussy"), refuses)
    cell, found = input_cell(), []
    for name in ("alone", "parts"):
        own = SmallWorld(replace(world.layout, out=tmp_path / name))
        context = Context(own.layout, registry)
        job, parts = divided(own, cell, metrics=metrics, run=NO_STRIPS)
        if name == "parts":
            assert len(score(own, parts, context)) == PARTS
        with pytest.raises(DataError) as caught:
            evaluate.run(job, context)
        found.append((str(caught.value), table(own, cell), own.record(cell).evaluations[0].left_out))
    assert found[0] == found[1]


def test_a_part_whose_images_or_weights_are_not_there_is_left_to_the_evaluation(
    world: SmallWorld, tmp_path: Path
) -> None:
    untrained = small_cell()
    assert score(world, divided(world, untrained)[1]) == []
    empty = SmallWorld(Layout(tmp_path / "empty", tmp_path / "no data"))
    job, parts = divided(empty, input_cell())
    assert score(empty, parts) == []
    with pytest.raises(DataError, match="photos"):
        evaluate.run(job, empty.context)


def test_parts_are_of_one_test_set_each(world: SmallWorld) -> None:
    cell = input_cell()
    _, parts = divided(world, cell)
    assert [each.title for each in parts] == [
        f"scores denoise NAFNet base seed 0 on photos/test degraded by gaussian_noise, part {part} of 2"
        for part in (1, 2)
    ]
    assert len({each.id for each in parts}) == 2
    assert {each.cell_id for each in parts} == {None}
    assert held_out(cell).dataset.name == "photos"


KILLS = """
import os, signal
from pathlib import Path

from harness.api.metric import MetricTraits

class Deadly:
    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol):
        pass

    def __call__(self, restored, truth):
        killed = Path(__file__).with_name("killed")
        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(restored.mean())
"""


def test_a_killed_part_leaves_nothing_and_is_scored_again_alone(world: SmallWorld, tmp_path: Path) -> None:
    """As a worker that is lost in the middle of it: the job file is run by another one."""
    plugin = tmp_path / "deadly.py"
    plugin.write_text(KILLS + "CATALOGUE = (('metric', 'deadly', 'Deadly'),)\n")
    cell, metrics = input_cell(), (plain_metric("psnr"), plain_metric("deadly"))
    job, parts = divided(world, cell, metrics=metrics, run=NO_STRIPS)
    first, second = (each.model_copy(update={"plugins": (str(plugin),)}) for each in parts)
    codes = []
    for each in (first, second, first):
        done = subprocess.run(
            [sys.executable, "-m", "harness.jobs", str(world.write(each))], capture_output=True, text=True, check=False
        )
        codes.append(done.returncode)
        assert world.layout.job_scores(each.id).is_file() == (done.returncode == 0), done.stderr
    assert codes == [-signal.SIGKILL, 0, 0]
    context = Context(world.layout, REGISTRY.extended([Entry("metric", "deadly", f"{plugin}:Deadly")]))
    torch.set_num_threads(1)
    evaluate.run(job, context)
    undivided = SmallWorld(replace(world.layout, out=tmp_path / "alone"))
    evaluate.run(undivided.evaluate_job(cell, **NAMED, metrics=metrics), replace(context, layout=undivided.layout))
    assert table(world, cell) == table(undivided, cell)
