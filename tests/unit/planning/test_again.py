"""Cells that are made again: which are held back, and what follows from those that were."""

from __future__ import annotations

import pytest

from harness.api.reference import PartRef
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.planning.job import TrainWork, cells_of
from harness.planning.plan import follow_up, make_plan
from harness.records import store
from harness.records.job_failures import clear_failure, note_failure
from harness.records.model import Failure
from tests.small_set import registry as small_registry
from tests.unit.records import made
from tests.unit.records.made import cell, listed, photos, refined, suite, values

SCORES = values([20.0], [0.5])


def finish(layout, *cells):
    for content in cells:
        test = content.test_set(photos()).samples()
        made.prepare(layout, content.train_samples.stored, test.stored)
        made.prepare(layout, *filter(None, (content.train_features(0), content.test_features(test))))
        made.finish(layout, content, SCORES)


def plan(layout, *cells, **options):
    return make_plan(suite(*map(listed, cells)), layout, REGISTRY, **options)


def test_the_cells_that_a_job_touches_are_its_own_its_base_and_its_priors_source():
    base, source = cell(), cell(task=made.task("derain"))
    content = refined(variant={"regime": "frozen"}, base=base, prior_source=source)
    assert cells_of(TrainWork(cell=content)) == (content.id, base.id, source.id)


def test_a_forced_cell_that_would_lose_a_metric_on_record_is_held_back(layout):
    content = cell()
    finish(layout, content)
    record = store.load(layout, content.id)
    (only,) = record.evaluations
    made.finish(layout, content, SCORES | {"lpips": {"a": 0.1}})
    asked = suite(listed(content), metrics=("psnr", "ssim", "lpips"))
    planned = make_plan(asked, layout, REGISTRY, force=[content.id])
    assert not planned.to_run
    assert planned.anew == ()
    (status,) = planned.cells
    assert status.state == "blocked"
    assert status.reason.startswith("not made again, so that nothing on record is lost: without lpips")
    assert "bench weights fetch" in status.reason
    assert only.metrics.keys() == {"psnr", "ssim"}


def test_a_forced_cell_whose_evaluation_is_blocked_is_held_back(layout):
    content = cell(backbone=PartRef(name="restormer", weights="restormer/deraining"))
    finish(layout, content)
    planned = plan(layout, content, force=[content.id])
    assert (planned.to_run, planned.anew) == ((), ())
    assert planned.cells[0].state == "blocked"
    assert "restormer" in planned.cells[0].reason


def test_a_forced_cell_that_has_nothing_to_lose_is_made_without_the_metric(layout):
    content = cell()
    asked = suite(listed(content), metrics=("psnr", "lpips"))
    planned = make_plan(asked, layout, REGISTRY, force=[content.id])
    assert f"train-{content.id}" in [each.id for each in planned.to_run]


def damaged(layout, content):
    layout.images(content.id).write_bytes(b"PAR1")


def test_what_became_stale_by_a_run_follows_and_nothing_else_does(layout):
    first, second, third = cell(0), cell(1), cell(2)
    finish(layout, first, second)
    made.prepare(layout, third.train_samples.stored)
    before = plan(layout, first, second, third, limit=1)
    assert follow_up(plan(layout, first, second, third), (), before) is None  # what is only to do is another run's
    damaged(layout, first)
    further = follow_up(plan(layout, first, second, third), (), before)
    assert further is not None
    assert [each.id for each in further.to_run] == [f"evaluate-{first.id}"]
    assert further.rescore == (first.id,)


def test_what_failed_is_not_tried_twice(layout):
    first, second = cell(0), cell(1)
    finish(layout, first, second)
    damaged(layout, first)
    before = plan(layout, first, second)
    assert follow_up(plan(layout, first, second), [f"evaluate-{first.id}"], before) is None
    damaged(layout, second)
    further = follow_up(plan(layout, first, second), [f"evaluate-{first.id}"], before)
    assert further is not None
    assert ([each.id for each in further.to_run], further.rescore) == ([f"evaluate-{second.id}"], (second.id,))


def test_what_is_made_from_a_cell_whose_evaluation_failed_waits_for_the_next_run(layout):
    base = cell()
    frozen = refined(variant={"regime": "frozen"}, base=base)
    finish(layout, base, frozen)
    before = plan(layout, base, frozen, force=[base.id])
    damaged(layout, frozen)
    again = plan(layout, base, frozen)
    assert follow_up(again, (), before) is not None
    assert follow_up(again, [f"evaluate-{base.id}"], before) is None


def test_a_cell_whose_shards_or_features_failed_says_so_with_the_log(layout):
    content = refined()
    other = cell(1, task=made.task("derain"))
    made.prepare(layout, content.train_samples.stored)
    planned = plan(layout, content, other)
    (features,) = [each for each in planned.jobs if each.job.title.startswith("features nss of photos/train")]
    note_failure(layout, features.id, Failure(kind="memory", message="no room left", log="gone.log"))
    again = plan(layout, content, other)
    (features,) = [each for each in again.jobs if each.id == features.id]
    log = layout.job_log(features.id)
    assert (features.state, features.reason) == ("todo", f"failed before (memory): no room left · log: {log}")
    assert [status.state for status in again.cells] == ["failed", "todo"]
    told = f"{features.job.title} failed (memory): no room left · log: {log}"
    assert (again.cells[0].reason, again.cells[0].failure) == (told, told)
    clear_failure(layout, features.id)
    assert plan(layout, content, other).cells[0].state == "todo"


def test_each_test_set_that_could_not_be_prepared_has_its_own_reason(layout):
    content, other = cell(), PartRef(name="small")
    both = suite(listed(content, tests=(photos(), other)))
    made.prepare(layout, content.train_samples.stored)
    planned = make_plan(both, layout, small_registry())
    shards = [each.id for each in planned.jobs if each.job.kind == "shards" and each.runs]
    for number, job in enumerate(shards):
        note_failure(layout, job, Failure(kind="data", message=f"trouble {number}", log="gone.log"))
    (status,) = make_plan(both, layout, small_registry()).cells
    assert list(status.lost) == ["photos", "small"]
    for number, name in enumerate(status.lost):
        assert f"{name}/test" in status.lost[name]
        assert f"trouble {number}" in status.lost[name]
    assert status.failure == status.lost["photos"]


def test_a_failure_is_no_longer_said_of_a_set_that_is_there(layout):
    content = cell()
    finish(layout, content)
    for each in plan(layout, content).jobs:
        note_failure(layout, each.id, Failure(kind="data", message="x"))
    planned = plan(layout, content)
    assert not planned.to_run
    assert planned.cells[0].reason == ""


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"patch": 8}, {"patch": 16}, ("patch 8", "patch 16")),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ("b 2", "b 3")),
        ({"model": "ViT-B-32"}, {"model": "ViT-L-14"}, ("model ViT-B-32", "model ViT-L-14")),
    ],
)
def test_titles_say_which_options_differ(layout, one, other, told):
    cells = [refined(prior=PartRef(name="nss", options=options)) for options in (one, other)]
    planned = plan(layout, *cells)
    titles = [each.job.title for each in planned.jobs]
    assert len(set(titles)) == len(titles)
    found = [title for title in titles if title.startswith("features nss of photos/train")]
    assert {title.rpartition(" (")[2].rstrip(")") for title in found} == set(told)


def test_titles_of_priors_that_differ_by_a_digest_show_eight_digits(layout):
    digests = ["0123456789abcdef" * 4, "f" * 64]
    cells = [refined(prior=PartRef(name="nss", digest=digest)) for digest in digests]
    titles = [each.job.title for each in plan(layout, *cells).jobs if each.job.kind == "features"]
    assert len(set(titles)) == 4
    assert any("digest 01234567)" in title for title in titles)
    assert not any("0123456789" in title for title in titles)


def test_titles_of_data_sets_and_refiners_with_different_options_differ():
    sets = [PartRef(name="photos", digest=photos().digest, options={"crop": size}) for size in (64, 128)]
    refiners = [PartRef(name="ptg_rm", options={"head": head}) for head in ("plain", "residual")]
    cells = [cell(train=each) for each in sets] + [refined(variant={"refiner": each}) for each in refiners]
    graph = build_graph(list(map(listed, cells)), (), (), REGISTRY)
    titles = list(map(graph.title, graph.nodes))
    assert len(set(titles)) == len(titles)
    assert any("crop 128" in title for title in titles)
    assert any(title.startswith("train") and "head residual" in title for title in titles)
