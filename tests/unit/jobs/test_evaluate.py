"""Evaluation jobs: rows, strips, the cell `input`, and additions to what is on record."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from harness.api.protocols import NOISE_SEED0, RGB_UINT8, RGB_UINT8_SCENES, RGB_UINT8_SSIM3D, SIDD
from harness.api.reference import PartRef
from harness.api.sets import Samples
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell
from harness.cells.suite import SuiteMetric
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.core.registry import Entry
from harness.data.samples import Pair, open_samples
from harness.data.shards import to_float
from harness.evaluation.infer import restore
from harness.evaluation.score import Scores, score_shared
from harness.jobs import evaluate, scoring, train
from harness.jobs.context import Context
from harness.models.assemble import build_model
from harness.models.weights import load_weights
from harness.parts.catalogue import REGISTRY
from harness.records import store
from harness.records.migrate import Unreadable
from tests.small_metrics import plain_metric
from tests.small_world import RUN, SmallWorld, held_out, refined_cell, small_cell

KEYS = ["chelsea", "coffee", "flower"]


def run(world: SmallWorld, cell: Cell, **changes) -> None:
    torch.set_num_threads(1)
    evaluate.run(world.evaluate_job(cell, **changes), world.context)


def pairs(world: SmallWorld, samples: Samples) -> list[Pair]:
    """The test images, whole."""
    opened = open_samples(samples, REGISTRY, world.layout.data)
    return [opened.pair(row) for row in range(len(opened))]


def watched(
    monkeypatch: pytest.MonkeyPatch, name: str, instead: Callable[..., Any], module: ModuleType = evaluate
) -> list[tuple[Any, ...]]:
    """The arguments of each call that the job makes of its function `name`, which is `instead` from now on."""
    calls: list[tuple[Any, ...]] = []

    def call(*given: Any) -> Any:
        calls.append(given)
        return instead(*given)

    monkeypatch.setattr(module, name, call)
    return calls


def input_cell() -> Cell:
    return small_cell(backbone=None)


@pytest.fixture
def trained(world: SmallWorld) -> Cell:
    cell = refined_cell()
    train.run(world.train_job(cell), world.context)
    return cell


def test_the_input_is_scored_as_it_lies_in_the_shards(world: SmallWorld) -> None:
    cell = input_cell()
    run(world, cell)
    values = {row["key"]: row["value"] for row in world.rows(cell) if row["metric"] == "psnr"}
    assert list(values) == KEYS
    for sample in pairs(world, held_out(cell)):
        clipped = np.rint(np.clip(to_float(sample.lq), 0, 1) * 255)
        expected = peak_signal_noise_ratio(sample.gt.astype(float), clipped, data_range=255)
        assert values[sample.key] == pytest.approx(expected, abs=1e-4)
        assert 19 < values[sample.key] < 22  # σ 25 and clipping
    record = world.record(cell)
    assert (record.status, record.training) == ("done", None)
    assert not world.layout.samples(cell.id).exists()


def test_rows_are_those_of_the_checkpoint(world: SmallWorld, trained: Cell) -> None:
    run(world, trained)
    record = world.record(trained)
    assert record.status == "done"
    (evaluation,) = record.evaluations
    assert (evaluation.dataset, evaluation.split, evaluation.protocol) == ("photos", "test", "rgb_uint8/v1")
    assert (evaluation.metrics, evaluation.images) == ({"psnr": "1", "ssim": "1"}, 3)
    rows = world.rows(trained)
    assert [(row["key"], row["metric"]) for row in rows] == [(key, m) for key in KEYS for m in ("psnr", "ssim")]
    assert {row["evaluation"] for row in rows} == {evaluation.id}
    assert record.images_sha256 == file_sha256(world.layout.images(trained.id))

    model = build_model(trained, REGISTRY, 8).eval()
    load_weights(model, world.layout.checkpoints(trained.id) / "final.safetensors")
    from harness.data.features import open_features

    sample = pairs(world, held_out(trained))[0]
    prior = open_features(trained.test_features(held_out(trained)), world.layout.data).row(0)  # type: ignore[arg-type]
    height, width = sample.lq.shape[:2]
    assert (width % 4, height % 4) != (0, 0)  # so that the padding is exercised
    padded = np.pad(to_float(sample.lq), ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
    with torch.inference_mode():
        lq = torch.from_numpy(padded).permute(2, 0, 1)[None]
        out = model(lq, torch.from_numpy(prior)[None]).final[0].permute(1, 2, 0).numpy()[:height, :width]
    expected = peak_signal_noise_ratio(sample.gt.astype(float), np.rint(np.clip(out, 0, 1) * 255), data_range=255)
    assert rows[0]["value"] == pytest.approx(expected, abs=1e-3)


def test_training_stays_on_record_and_digests_are_added(world: SmallWorld, trained: Cell) -> None:
    before = world.record(trained)
    run(world, trained)
    after = world.record(trained)
    assert after.training == before.training
    assert before.provenance.data.items() < after.provenance.data.items()
    samples = held_out(trained)
    named = {f"{samples.stored.name}/test", f"features of {samples.name}/test"}
    assert named <= set(after.provenance.data)


def test_strips_of_the_first_images(world: SmallWorld, trained: Cell) -> None:
    run(world, trained, run=RUN.model_copy(update={"samples": 2}))
    folder = world.layout.samples(trained.id)
    assert sorted(path.name for path in folder.iterdir()) == ["photos.chelsea.png", "photos.coffee.png"]
    sample = pairs(world, held_out(trained))[0]
    picture = cv2.imread(str(folder / "photos.chelsea.png"), cv2.IMREAD_COLOR_RGB)
    height, width = sample.gt.shape[:2]
    assert picture.shape == (height, 3 * width + 4, 3)
    np.testing.assert_array_equal(picture[:, -width:], sample.gt)
    np.testing.assert_array_equal(picture[:, :width], np.rint(np.clip(sample.lq, 0, 1) * 255).astype(np.uint8))


def test_a_second_run_does_nothing(world: SmallWorld) -> None:
    cell = input_cell()
    run(world, cell)
    events, stamp = store.read_events(world.layout, cell.id), world.layout.record(cell.id).stat().st_mtime_ns
    run(world, cell)
    assert store.read_events(world.layout, cell.id) == events
    assert world.layout.record(cell.id).stat().st_mtime_ns == stamp


def test_a_further_metric_is_added_and_the_old_rows_stay(world: SmallWorld) -> None:
    cell = input_cell()
    run(world, cell, metrics=("psnr",))
    before = world.rows(cell)
    run(world, cell, metrics=("ssim",))
    assert [row for row in world.rows(cell) if row["metric"] == "psnr"] == before
    assert len(world.rows(cell)) == 6
    assert set(world.record(cell).evaluations[0].metrics) == {"psnr", "ssim"}


def test_one_restoration_is_scored_under_every_protocol(
    world: SmallWorld, trained: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = watched(monkeypatch, "restore", restore)
    run(world, trained, protocols=(RGB_UINT8, RGB_UINT8_SSIM3D, RGB_UINT8_SCENES))
    assert len(restored) == len(KEYS)
    evaluations = world.record(trained).evaluations
    assert [(each.protocol, each.mean, each.images) for each in evaluations] == [
        ("rgb_uint8/v1", "image", 3), ("rgb_uint8_ssim3d/v1", "image", 3), ("rgb_uint8_scenes/v1", "scene", 3)
    ]  # fmt: skip
    values = {(row["evaluation"], row["key"], row["metric"]): row["value"] for row in world.rows(trained)}
    flat, volume, scenes = (each.id for each in evaluations)
    for key in KEYS:
        assert values[flat, key, "psnr"] == values[volume, key, "psnr"] == values[scenes, key, "psnr"]
        assert values[flat, key, "ssim"] == values[scenes, key, "ssim"]
        assert abs(values[flat, key, "ssim"] - values[volume, key, "ssim"]) > 1e-3
    scene_of = {pair.key: pair.scene for pair in pairs(world, held_out(trained))}
    assert {row["key"]: row["scene"] for row in world.rows(trained)} == scene_of
    assert all(scene_of.values())


def test_every_restoration_comes_with_the_truth_that_it_is_scored_against(
    world: SmallWorld, trained: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For networks that read it in test; `restore` shows it to no other one."""
    calls = watched(monkeypatch, "restore", lambda model, lq, *_: lq)
    run(world, trained)
    for (*_, truth, _told, _through), sample in zip(calls, pairs(world, held_out(trained)), strict=True):
        np.testing.assert_array_equal(truth, to_float(sample.gt))


def test_a_further_protocol_leaves_what_is_on_record(
    world: SmallWorld, trained: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(world, trained)
    before = world.rows(trained)
    scored = watched(monkeypatch, "score_shared", score_shared, scoring)
    run(world, trained, protocols=(RGB_UINT8, SIDD))
    assert [given[-1].name for given in scored] == ["sidd"] * len(KEYS)
    (own, more) = world.record(trained).evaluations
    assert (own.protocol, more.protocol) == ("rgb_uint8/v1", "sidd/v1")
    assert [row for row in world.rows(trained) if row["evaluation"] == own.id] == before
    run(world, trained, protocols=(RGB_UINT8, SIDD))
    assert len(scored) == len(KEYS)


def test_a_protocol_scores_the_test_set_that_is_drawn_as_it_says(world: SmallWorld) -> None:
    cell = input_cell()
    drawn = cell.test_set(cell.train).samples("seed0")
    run(world, cell, tests=(held_out(cell), drawn), protocols=(RGB_UINT8, NOISE_SEED0), metrics=("psnr",))
    own, field = world.record(cell).evaluations
    assert (own.protocol, field.protocol) == ("rgb_uint8/v1", "noise_seed0/v1")
    values = {(row["evaluation"], row["key"]): row["value"] for row in world.rows(cell)}
    assert len(values) == 2 * len(KEYS)
    truth = pairs(world, drawn)[0].gt
    noisy = truth / 255 + np.random.RandomState(0).normal(0, 25 / 255, truth.shape)
    expected = peak_signal_noise_ratio(truth.astype(float), np.rint(np.clip(noisy, 0, 1) * 255), data_range=255)
    assert values[field.id, "chelsea"] == pytest.approx(expected, abs=1e-4)
    assert abs(values[own.id, "chelsea"] - expected) > 1e-3


SCALED = '''
from harness.api.metric import MetricTraits

class Scaled:
    """The mean pixel, times a factor."""

    traits = MetricTraits(higher_is_better=True, version=2)

    def __init__(self, protocol, *, factor: float = 1.0):
        self.factor = factor

    def __call__(self, restored, truth):
        return float(restored.mean() * self.factor)
'''


def test_one_metric_with_two_settings_is_two_columns(world: SmallWorld, tmp_path: Path) -> None:
    file = tmp_path / "scaled.py"
    file.write_text(SCALED)
    context = Context(world.layout, REGISTRY.extended([Entry("metric", "scaled", f"{file}:Scaled")]))
    parts = {f"scaled(factor={n})": PartRef(name="scaled", version="2", options={"factor": n}) for n in (1.0, 3.0)}
    metrics = tuple(SuiteMetric(part=part, key=key, label=key) for key, part in parts.items())
    cell = input_cell()
    run(world, cell)
    evaluate.run(world.evaluate_job(cell, metrics=metrics), context)
    values = {(row["key"], row["metric"]): row["value"] for row in world.rows(cell)}
    assert len(values) == 4 * len(KEYS)
    for key in KEYS:
        assert values[key, "scaled(factor=3.0)"] == pytest.approx(3 * values[key, "scaled(factor=1.0)"])
    (evaluation,) = world.record(cell).evaluations
    assert evaluation.metrics == {"psnr": "1", "ssim": "1", **dict.fromkeys(parts, "2")}


FUSSY = '''
from harness.api.metric import MetricTraits
from harness.core.errors import DataError

class Fussy:
    """The mean pixel of images that it likes."""

    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol, *, refuses: bool = False):
        self.refuses = refuses

    def __call__(self, restored, truth):
        if restored.shape[1] == 451:  # chelsea, the first image
            return float(restored.mean())
        if self.refuses:
            raise DataError("only cats")
        return float("nan")
'''

WIDE = EvaluationProtocol("wide", 1, border=400)


def test_what_cannot_be_computed_is_left_out_with_its_reason_and_all_else_is_saved(
    world: SmallWorld, tmp_path: Path
) -> None:
    file = tmp_path / "fussy.py"
    file.write_text(FUSSY)
    context = Context(world.layout, REGISTRY.extended([Entry("metric", "fussy", f"{file}:Fussy")]))
    refuses = SuiteMetric(part=PartRef(name="fussy", options={"refuses": True}), key="fussy(refuses)", label="f")
    metrics = ("psnr", plain_metric("fussy"), refuses)
    cell = input_cell()
    job = world.evaluate_job(cell, metrics=metrics, protocols=(RGB_UINT8, WIDE, SIDD))
    with pytest.raises(DataError) as caught:
        evaluate.run(job, context)
    too_wide = "image chelsea of photos under wide/v1: protocol wide cuts 400 pixels per side, the image has 451×300"
    reasons = {
        label: {
            "fussy": f"image coffee of photos under {label}: fussy: its value is not a number",
            "fussy(refuses)": f"image coffee of photos under {label}: fussy(refuses): only cats",
        }
        for label in ("rgb_uint8/v1", "sidd/v1")
    } | {"wide/v1": dict.fromkeys(["psnr", "fussy", "fussy(refuses)"], too_wide)}
    assert caught.value.kind == "data"
    every = [why for by_metric in reasons.values() for why in by_metric.values()]
    assert all(caught.value.what.count(why) == 1 for why in every)
    evaluations = world.record(cell).evaluations
    assert {each.protocol: each.left_out for each in evaluations} == reasons
    assert [list(each.metrics) for each in evaluations] == [["psnr"], [], ["psnr"]]
    assert [(row["key"], row["metric"]) for row in world.rows(cell)] == [(key, "psnr") for key in KEYS] * 2

    kept = world.rows(cell)
    run(world, cell, metrics=("psnr", "ssim"), protocols=(RGB_UINT8, SIDD))
    assert [row for row in world.rows(cell) if row["metric"] == "psnr"] == kept
    assert {each.protocol: each.left_out for each in world.record(cell).evaluations} == reasons
    unbordered = {"psnr": "1", "ssim": "1"}
    assert [each.metrics for each in world.record(cell).evaluations] == [unbordered, {}, unbordered]


def test_what_can_be_computed_after_all_is_no_longer_left_out(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = input_cell()
    monkeypatch.setattr(scoring, "score_shared", lambda *given: Scores({}, dict.fromkeys(given[1], "not today")))
    with pytest.raises(DataError, match="not scored: image chelsea of photos under rgb_uint8/v1: not today"):
        run(world, cell)
    monkeypatch.setattr(scoring, "score_shared", score_shared)
    newer = [plain_metric(name) for name in ("psnr", "ssim")]
    newer = [metric.model_copy(update={"part": metric.part.model_copy(update={"version": "2"})}) for metric in newer]
    run(world, cell, metrics=tuple(newer))
    (evaluation,) = world.record(cell).evaluations
    assert (evaluation.metrics, evaluation.left_out) == ({"psnr": "2", "ssim": "2"}, {})
    assert len(world.rows(cell)) == 2 * len(KEYS)


def test_a_restoration_that_is_not_finite_leaves_its_test_set_out(
    world: SmallWorld, trained: Cell, monkeypatch
) -> None:
    def broken(model: Any, lq: np.ndarray, *others: Any) -> np.ndarray:
        return np.full_like(lq, np.nan)

    watched(monkeypatch, "restore", broken)
    with pytest.raises(DataError, match="not finite") as caught:
        run(world, trained, protocols=(RGB_UINT8, WIDE))
    assert caught.value.kind == "nan"
    why = "image chelsea of photos: the restored image has values that are not finite"
    assert [each.left_out for each in world.record(trained).evaluations] == [{"psnr": why, "ssim": why}] * 2
    assert world.rows(trained) == []


def test_damaged_rows_are_made_again(world: SmallWorld) -> None:
    cell = input_cell()
    run(world, cell)
    content = world.layout.images(cell.id).read_bytes()
    world.layout.images(cell.id).write_bytes(content[:-10])
    run(world, cell)
    assert world.layout.images(cell.id).read_bytes() == content


def test_an_untrained_cell_is_a_checkpoint_failure(world: SmallWorld) -> None:
    with pytest.raises(HarnessError, match="not trained") as caught:
        run(world, small_cell())
    assert caught.value.kind == "checkpoint"


def test_weights_other_than_on_record_are_refused(world: SmallWorld, trained: Cell) -> None:
    final = world.layout.checkpoints(trained.id) / "final.safetensors"
    content = bytearray(final.read_bytes())
    content[-1] ^= 1
    final.write_bytes(content)
    with pytest.raises(HarnessError, match="SHA-256") as caught:
        run(world, trained)
    assert caught.value.kind == "checkpoint"
    assert world.record(trained).status == "trained"


def test_a_metric_that_fails_when_another_is_added_keeps_its_value(world: SmallWorld, monkeypatch) -> None:
    cell = input_cell()
    run(world, cell, metrics=("psnr",))
    before = world.rows(cell)
    asked: list[set[str]] = []

    def fails(*given: Any) -> Scores:
        asked.append(set(given[1]))
        found = score_shared(*given)
        return Scores({"ssim": found.values["ssim"]}, dict.fromkeys(asked[-1] - {"ssim"}, "no luck today"))

    monkeypatch.setattr(scoring, "score_shared", fails)
    run(world, cell, metrics=("psnr", "ssim"))
    (evaluation,) = world.record(cell).evaluations
    assert (evaluation.metrics, evaluation.left_out) == ({"psnr": "1", "ssim": "1"}, {})
    assert [row for row in world.rows(cell) if row["metric"] == "psnr"] == before
    assert asked == [{"ssim"}] * len(KEYS)


def test_rows_that_cannot_be_read_now_are_not_replaced(world: SmallWorld, monkeypatch) -> None:
    cell = input_cell()
    run(world, cell, metrics=("psnr",))
    images, read = world.layout.images(cell.id), Path.read_bytes
    content = images.read_bytes()

    def refused(path: Path) -> bytes:
        if path == images:
            raise OSError(errno.EIO, "no luck")
        return read(path)

    with monkeypatch.context() as now:
        now.setattr(Path, "read_bytes", refused)
        with pytest.raises(Unreadable, match="EIO"):
            run(world, cell, metrics=("psnr", "ssim"))
    assert images.read_bytes() == content
