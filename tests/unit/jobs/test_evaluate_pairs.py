"""Test sets that bring their degraded images, of any kind of pixels, or only halves of pairs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from harness.api.protocols import RGB_UINT8, SIDD
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.errors import DataError
from harness.core.identity import digest
from harness.data.manifest import Skipped
from harness.jobs import evaluate, leaks
from harness.jobs.inputs import Inputs, open_inputs
from harness.records.model import EvaluationRecord
from tests.report_sets import dataset, picture
from tests.report_world import cell_of, context, held_out, prepare, refused, trained, world
from tests.small_metrics import plain_metric
from tests.small_world import SmallWorld

__all__ = ["world"]


def untouched(**changes: Any) -> Cell:
    """The cell `input` of a task whose degraded images the data set brings."""
    return cell_of("halves", backbone=None, task=PartRef(name="low_light"), **changes)


def scored(world: SmallWorld, cell: Cell, name: str, **changes: Any) -> EvaluationRecord:
    sets = held_out(cell, name)
    prepare(world, *sets)
    evaluate.run(world.evaluate_job(cell, tests=sets, **changes), context(world))
    return world.record(cell).evaluations[0]


def values(world: SmallWorld, cell: Cell, metric: str = "psnr") -> dict[str, float]:
    return {row["key"]: row["value"] for row in world.rows(cell) if row["metric"] == metric}


def test_images_without_a_counterpart_are_left_out_and_the_record_says_so(world: SmallWorld) -> None:
    cell = untouched()
    evaluation = scored(world, cell, "halves", metrics=("psnr",))
    clean = picture(61)
    expected = peak_signal_noise_ratio(clean.astype(float), (clean // 2).astype(float), data_range=255)
    assert values(world, cell) == {"both": pytest.approx(expected, abs=1e-6)}
    assert evaluation.images == 1
    said = "halves: of 4 images 2 have no clean image and 1 have no degraded image, and are not scored"
    assert evaluation.warnings == (said,)


def test_a_set_without_any_pair_is_left_out_with_the_reason(world: SmallWorld) -> None:
    cell = untouched()
    sets = held_out(cell, "apart", "halves")
    prepare(world, *sets)
    error = refused(world, world.evaluate_job(cell, tests=sets))
    assert isinstance(error, DataError)
    apart, halves = world.record(cell).evaluations
    why = apart.left_out["psnr"]
    assert why.startswith("test set apart: no image can be scored: of 2 images 1 have no clean image and 1 have no")
    assert (apart.metrics, apart.images, set(halves.metrics)) == ({}, 0, {"psnr", "ssim"})


def test_the_input_of_two_views_is_its_left_one(world: SmallWorld) -> None:
    cell = untouched()
    evaluation = scored(world, cell, "views", protocols=(SIDD,), metrics=("psnr",))
    for key, seed in (("v", 71), ("w", 72)):
        deep = picture(seed).astype(np.uint16) * 257
        expected = peak_signal_noise_ratio(deep / 65535, (deep // 2) / 65535, data_range=1.0)
        assert values(world, cell)[key] == pytest.approx(expected, abs=1e-4)
    assert evaluation.warnings == ("views: the input is shown and scored by its left view",)


def test_gray_images_are_scored_by_their_one_channel(world: SmallWorld) -> None:
    cell = untouched()
    scored(world, cell, "gray_pairs", metrics=("psnr", "ssim"))
    gray = picture(81)[..., 1]
    dark = gray.astype(np.float32) / np.float32(255) * np.float32(0.5)
    expected = peak_signal_noise_ratio(gray.astype(float), np.rint(dark.astype(float) * 255), data_range=255)
    assert values(world, cell)["g"] == pytest.approx(expected, abs=1e-6)
    assert set(values(world, cell, "ssim")) == {"g", "h"}


def test_a_network_gets_six_channels_and_the_strip_shows_the_left_view(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, seen = trained(world), []

    def restored(model: Any, lq: np.ndarray, prior: Any, device: Any, truth: Any, told: Any, size: Any) -> np.ndarray:
        seen.append((lq.shape[2], lq.dtype, told))
        return truth

    monkeypatch.setattr(evaluate, "restore", restored)
    monkeypatch.setattr(evaluate, "audit_test", lambda *given: leaks.TestSetAudit(None))
    sets = held_out(cell.model_copy(update={"task": PartRef(name="gaussian_denoise")}), "views")
    prepare(world, *sets)
    evaluate.run(world.evaluate_job(cell, tests=sets, metrics=("psnr",)), context(world))
    assert seen == [(6, np.dtype(np.float32), {})] * 2
    strip = cv2.imread(str(world.layout.samples(cell.id) / "views.v.png"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(strip[:, :40], np.rint(picture(71).astype(np.uint16) * 257 // 2 / 65535 * 255))


def test_a_network_that_is_told_gets_the_level_of_every_test_set(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two conditions in one job: values, the settings that the network is told, records and strips of their own."""
    cell, told = trained(world), []

    def restored(model: Any, lq: np.ndarray, prior: Any, device: Any, truth: Any, settings: Any, size: Any) -> Any:
        told.append(settings)
        return lq

    monkeypatch.setattr(evaluate, "restore", restored)
    (samples,) = held_out(cell, "plain")
    sets, conditions = [], {}
    for sigma in (15.0, 50.0):
        assert samples.noise is not None
        noise = samples.noise.model_copy(update={"options": samples.noise.options | {"sigma": sigma}})
        sets.append(samples.model_copy(update={"noise": noise}))
        conditions[f"{sets[-1].name}/test"] = {"sigma": sigma}
    prepare(world, samples)
    job = world.evaluate_job(cell, tests=tuple(sets), metrics=("psnr",))
    job = job.model_copy(update={"work": job.work.model_copy(update={"conditions": conditions})})
    evaluate.run(job, context(world))
    assert told == [{"sigma": 15.0}] * 2 + [{"sigma": 50.0}] * 2
    low, high = world.record(cell).evaluations
    assert (low.condition, high.condition) == ({"sigma": 15.0}, {"sigma": 50.0})
    assert (low.dataset, high.dataset) == ("plain", "plain")
    assert low.dataset_digest == high.dataset_digest == digest(dataset("plain").identity(), 8)
    assert [low.samples, high.samples] == [digest(each.identity(), 12) for each in sets]
    means = {
        each.id: [row["value"] for row in world.rows(cell) if row["evaluation"] == each.id] for each in (low, high)
    }
    assert 24 < min(means[low.id]) < max(means[low.id]) < 26  # 10·log10(255² / 15²) = 24.6, a little more by clipping
    assert max(means[high.id]) < 18
    names = {path.name for path in world.layout.samples(cell.id).iterdir()}
    assert names == {"plain sigma=15.t.png", "plain sigma=50.t.png"}


@pytest.mark.parametrize("metric", ["psnr", "ssim"])
def test_other_channels_than_gray_and_rgb_are_the_reason_for_every_metric(world: SmallWorld, metric: str) -> None:
    from harness.evaluation.score import build_metrics, score
    from harness.parts.catalogue import REGISTRY

    metrics = build_metrics({metric: plain_metric(metric).part}, RGB_UINT8, REGISTRY)
    found = score(np.zeros((20, 20, 6), np.float32), np.zeros((20, 20, 6), np.float32), metrics, RGB_UINT8)
    assert (found.values, found.left_out) == ({}, {metric: "it has 6 channels, and metrics read gray or RGB images"})


def test_files_that_were_left_out_as_told_enter_the_record(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def skipping(*given: Any) -> Inputs:
        inputs = open_inputs(*given)
        manifest = inputs.opened.stored.manifest.model_copy(update={"skipped": (Skipped(file="x.png", why="cut off"),)})
        inputs.opened.stored.manifest = manifest
        return inputs

    monkeypatch.setattr(evaluate, "open_inputs", skipping)
    cell = untouched()
    scored(world, cell, "views", metrics=("psnr",))
    (samples,) = held_out(cell, "views")
    assert world.record(cell).provenance.skipped == {f"{samples.stored.name}/test": {"x.png": "cut off"}}
