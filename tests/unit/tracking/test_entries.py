"""A record as parameters, tags, curves and means."""

from __future__ import annotations

import math

import pyarrow
import pytest

from harness.api.reference import PartRef
from harness.api.sets import TestSet
from harness.cells.cell import Cell
from harness.core.identity import digest
from harness.records.labels import samples_digest
from harness.records.store import load, load_images, read_events
from harness.tracking import entries
from harness.tracking.names import mlflow_name, true_name
from tests.unit.tracking.records import CELL, LABELS, PROVENANCE, cell, layout_in, leave, leave_failed


@pytest.fixture
def layout(tmp_path):
    return layout_in(tmp_path)


def test_parameters_are_the_cells_identity_flattened(layout):
    found = entries.parameters(load(layout, leave(layout, 3)))
    assert found["task.name"] == "gaussian_denoise"
    assert found["task.options.sigma"] == "25.0"
    assert found["backbone.options.width"] == "8"
    assert found["recipe.steps"] == "300"
    assert found["seed"] == "3"
    assert found["recipe.betas"] == "[0.9,0.99]"
    assert "variant.prior" not in found
    assert all(isinstance(value, str) for value in found.values())


def test_required_cells_stand_by_their_id(layout):
    child = Cell(**{**cell(0).model_dump(), "variant": {"regime": "frozen"}, "base": CELL.model_dump()})
    record = load(layout, leave(layout, 0)).model_copy(update={"cell": child.model_dump(mode="json")})
    assert entries.parameters(record)["base"] == CELL.id


def test_the_curve_has_every_step_line_at_its_time(layout):
    points = entries.curve(read_events(layout, leave(layout)))
    assert [(p.name, p.value, p.step) for p in points] == [
        ("loss", 0.5, 20), ("lr", 1e-3, 20), ("loss", 0.25, 40), ("lr", 1e-3, 40)
    ]  # fmt: skip
    assert points[0].time_ms == 1767225600000
    assert points[2].time_ms - points[0].time_ms == 60_000


def test_curves_are_told_apart_by_their_losses_not_by_when_they_were_drawn(layout):
    points = entries.curve(read_events(layout, leave(layout)))
    later = [p._replace(time_ms=p.time_ms + 5) for p in points]
    other = [p._replace(value=p.value + 1e-9) if p.name == "loss" else p for p in points]
    assert entries.curve_digest(points) == entries.curve_digest(later) != entries.curve_digest(other)
    assert entries.curve_digest([]) == ""


def test_a_loss_that_is_not_finite_makes_no_point():
    event = {"event": "step", "time": "2026-01-01T00:00:00+00:00", "step": 1, "loss": math.nan}
    assert entries.curve([event]) == []


def test_means_are_over_images_by_metric_and_data_set(layout):
    cell_id = leave(layout, psnr=31.5)
    found = entries.means(load(layout, cell_id), load_images(layout, cell_id))
    assert found == {"psnr.photos": 31.5, "ssim.photos": 0.5}


def test_a_mean_that_is_not_finite_is_left_out(layout):
    record = load(layout, leave(layout))
    rows = [("psnr", math.inf), ("ssim", 1.0)]
    assert entries.means(record, table_of(record.evaluations[0].id, rows)) == {"ssim.photos": 1.0}


def table_of(evaluation, rows):
    """A table of (metric, value), (metric, value, scene) or (metric, value, scene, group), an image each."""
    filled = [
        (evaluation, str(n), row[0], row[1], *(*row[2:], *(None, "")[len(row) - 2 :])) for n, row in enumerate(rows)
    ]
    names = ("evaluation", "key", "metric", "value", "scene", "group")
    return pyarrow.table(dict(zip(names, zip(*filled, strict=True), strict=True)))


def test_groups_and_means_over_several_sets_have_values_of_their_own(layout):
    record = load(layout, leave(layout))
    one = record.evaluations[0]
    grouped = one.model_copy(update={"id": "f" * 12, "dataset": "dpdd"})
    names = ("rain100h", "rain100l", "test100", "test1200", "test2800")
    found = [one.model_copy(update={"id": str(n) * 12, "dataset": name}) for n, name in enumerate(names)]
    several = record.model_copy(update={"evaluations": (grouped, *found)})
    rows = [("psnr", 20.0, "a", "indoor"), ("psnr", 22.0, "b", "indoor"), ("psnr", 30.0, "c", "outdoor")]
    tables = [table_of(each.id, [("psnr", 30.0 + n, "s")] * (n + 1)) for n, each in enumerate(found)]
    values = entries.means(several, pyarrow.concat_tables([table_of(grouped.id, rows), *tables]))
    assert {name: value for name, value in values.items() if "dpdd" in name or "derain" in name} == {
        "psnr.dpdd": 24.0, "psnr.dpdd indoor": 21.0, "psnr.dpdd outdoor": 30.0, "psnr.derain5": 32.0
    }  # fmt: skip
    assert all(true_name(mlflow_name(name)) == name for name in values)
    few = record.model_copy(update={"evaluations": tuple(found[1:])})
    assert "psnr.derain5" not in entries.means(few, pyarrow.concat_tables(tables[1:]))


def test_two_protocols_are_told_apart_and_scenes_are_averaged_as_theirs_says(layout):
    record = load(layout, leave(layout))
    one = record.evaluations[0]
    other = one.model_copy(update={"id": "b" * 12, "protocol": "rgb_uint8_scenes/v1", "mean": "scene"})
    both = record.model_copy(update={"evaluations": (one, other)})
    rows = [("psnr", 10.0, "s"), ("psnr", 20.0, "s"), ("psnr", 45.0, "t")]
    table = pyarrow.concat_tables([table_of(one.id, rows), table_of(other.id, rows)])
    assert entries.means(both, table) == {"psnr.photos.rgb": 25.0, "psnr.photos.rgb_uint8_scenes": 30.0}


def test_conditions_never_share_a_mean_and_mlflow_takes_their_names_as_they_are(layout):
    record = load(layout, leave(layout))
    one = record.evaluations[0]
    low = one.model_copy(update={"id": "b" * 12, "condition": {"sigma": 15.0}})
    high = one.model_copy(update={"id": "c" * 12, "condition": {"sigma": 25, "blind": True}})
    again = low.model_copy(update={"id": "d" * 12, "protocol": "sidd/v1"})
    several = record.model_copy(update={"evaluations": (one, low, high, again)})
    shifts = {one.id: 10.0, low.id: 20.0, high.id: 30.0, again.id: 40.0}
    table = pyarrow.concat_tables(table_of(name, [("psnr", value)]) for name, value in shifts.items())
    found = entries.means(several, table)
    assert found == {
        "psnr.photos": 10.0,
        "psnr.photos blind:true sigma:25": 30.0,
        "psnr.photos sigma:15.rgb": 20.0,
        "psnr.photos sigma:15.sidd": 40.0,
    }
    assert [mlflow_name(name) for name in found] == list(found)
    assert [true_name(name) for name in found] == list(found)


def test_a_suite_says_what_its_test_sets_are_called(layout):
    """By its labels and its own conditions, whichever suite scored them first, and under all that it has."""
    record = load(layout, leave(layout))
    noise = PartRef(name="gaussian_noise", options={"sigma": 25.0}, drawn=True)
    task = CELL.task.model_copy(update={"derived_from": noise})
    sets = [PartRef(name="folder", digest=name) for name in ("one", "two", "three")]
    tests = [TestSet(dataset=each, task=task, condition={"sigma": 25.0}) for each in sets]
    one = record.evaluations[0]
    scored = [
        one.model_copy(
            update={
                "id": name * 12,
                "dataset": "folder",
                "dataset_digest": digest(test.dataset.identity(), 8),
                "samples": samples_digest(test.samples()),
                "condition": {"sigma": 25.0},
            }
        )
        for name, test in zip("abc", tests, strict=True)
    ]
    several = record.model_copy(update={"evaluations": tuple(scored)})
    table = pyarrow.concat_tables(table_of(each.id, [("psnr", 10.0 + n)]) for n, each in enumerate(scored))
    labels = {scored[0].dataset_digest: "faces"}
    first, second = (each.model_copy(update={"condition": {}}) for each in tests[:2])
    two, three = (f"folder {each.dataset_digest[:4]}" for each in scored[1:])
    assert entries.means(several, table, [tests[0], first, second], labels) == {
        "psnr.faces": 10.0,
        "psnr.faces sigma:25": 10.0,
        f"psnr.{two}": 11.0,
        f"psnr.{three} sigma:25": 12.0,
    }
    alone = record.model_copy(update={"evaluations": (scored[1],)})
    assert list(entries.means(alone, table.slice(1, 1))) == ["psnr.folder sigma:25"]


def test_protocols_that_share_a_name_never_share_a_mean(layout):
    record = load(layout, leave(layout))
    labels = {"a" * 12: "mine/v1", "b" * 12: "mine/v1", "c" * 12: "mine/v2", "d" * 12: "sidd/v1", "e" * 12: "wide/v1"}
    one = record.evaluations[0]
    found = [one.model_copy(update={"id": name, "protocol": label}) for name, label in labels.items()]
    found[-1] = found[-1].model_copy(update={"metrics": {}, "left_out": {"psnr": "too wide"}})
    several = record.model_copy(update={"evaluations": tuple(found)})
    table = pyarrow.concat_tables(table_of(name, [("psnr", 10.0 + n)]) for n, name in enumerate("abcd"))
    table = table.set_column(0, "evaluation", pyarrow.array([name * 12 for name in "abcd"]))
    assert entries.means(several, table) == {
        "psnr.photos.mine/v1 aaaa": 10.0,
        "psnr.photos.mine/v1 bbbb": 11.0,
        "psnr.photos.mine/v2": 12.0,
        "psnr.photos.sidd": 13.0,
    }


def test_costs_and_tags(layout):
    record = load(layout, leave(layout))
    assert entries.costs(record)["train_seconds"] == 12.5
    assert entries.costs(record)["final_loss"] == 0.25
    found = entries.tags(record)
    assert found["label.backbone"] == LABELS.backbone
    assert (found["code"], found["status"]) == (PROVENANCE.code, "done")
    assert "prior_saw" not in found
    record = load(layout, leave(layout))
    seen = record.training.model_copy(update={"prior_saw": "whole images"})
    assert entries.tags(record.model_copy(update={"training": seen}))["prior_saw"] == "whole images"
    failed = load(layout, leave_failed(layout, 1))
    assert entries.costs(failed) == {}
    assert entries.tags(failed)["failure"] == "nan"
