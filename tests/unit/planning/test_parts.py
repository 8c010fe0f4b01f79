"""Large sets are made in parts, degraded sets after the set of their clean images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.shard_parts import NOTE, waiting_folder, waiting_shard
from harness.core.identity import sealed, unsealed
from harness.core.paths import write_json, write_text
from harness.core.registry import Entry
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.planning.job import EvaluateWork, ShardsWork, job_id
from harness.planning.plan import make_plan
from harness.planning.unneeded import unneeded
from harness.records.job_failures import note_failure
from harness.records.model import Failure
from tests.small_metrics import plain_metric
from tests.unit.records import made
from tests.unit.records.made import cell, conditioned, listed, photos, suite

PLUGIN = """
from harness.api.dataset import DatasetTraits


class Large:
    traits = DatasetTraits(random_access=True)

    def __init__(self, *, images: int = 200) -> None:
        self.number = images

    def splits(self):
        return ("train", "test")

    def fingerprint(self):
        return "large"

    def keys(self, split):
        if self.number < 0:
            raise RuntimeError("no keys")
        return [(str(number), "s") for number in range(self.number)]

    def images(self, split):
        raise AssertionError("planning reads no image")

    def images_at(self, split, keys):
        raise AssertionError("planning reads no image")


class InARow(Large):
    traits = DatasetTraits()

    def __init__(self):
        super().__init__()
"""


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "large.py"
    path.write_text(PLUGIN)
    entries = [Entry("dataset", "large", f"{path}:Large"), Entry("dataset", "in_a_row", f"{path}:InARow")]
    return REGISTRY.extended(entries)


def large(images: int = 200) -> PartRef:
    return PartRef(name="large", digest="large", options={"images": images})


LOW_LIGHT = PartRef(name="low_light", derived_from=PartRef(name="low_light"))


def planned(layout, registry, content, **options):
    return make_plan(suite(listed(content, tests=(photos(),)), **options), layout, registry)


def shards(plan) -> dict[str, Any]:
    return {each.job.title: each for each in plan.jobs if isinstance(each.job.work, ShardsWork)}


def test_a_large_set_has_jobs_of_parts_and_one_that_joins_them(layout, registry):
    found = shards(planned(layout, registry, cell(train=large(200), task=LOW_LIGHT)))
    parts = [f"part {part} of 4" for part in (1, 2, 3, 4)]
    assert list(found)[:4] == [f"shards large/train, {part}" for part in parts]
    base, by = found["shards large/train"], found["shards large/train degraded by low_light"]
    assert set(base.job.depends) == {found[f"shards large/train, {part}"].id for part in parts}
    making = [found[f"shards large/train degraded by low_light, {part}"] for part in parts]
    assert set(by.job.depends) == {*(each.id for each in making), base.id}
    assert all(each.job.depends == (base.id,) for each in making)
    assert found["shards photos/test degraded by low_light"].job.depends == (found["shards photos/test"].id,)
    assert len({each.id for each in found.values()}) == 12
    assert [(each.job.work.part, each.job.work.parts) for each in making] == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(("images", "jobs"), [(128, 1), (129, 4), (64 * 40, 33), (0, 1), (-1, 1)])
def test_the_number_of_parts_follows_from_that_of_the_images(layout, registry, images, jobs):
    """None where the data set cannot say its keys."""
    found = shards(planned(layout, registry, cell(train=large(images))))
    assert sum(title.startswith("shards large/train") for title in found) == jobs


def test_images_that_come_in_a_row_are_read_by_one_job_and_degraded_by_several(layout, registry):
    content = cell(train=PartRef(name="in_a_row", digest="large"), task=LOW_LIGHT)
    found = [title for title in shards(planned(layout, registry, content)) if "in_a_row" in title]
    assert found[0] == "shards in_a_row/train"
    assert len(found) == 1 + 5


def finish_shards(layout, stored: PreparedSet, *numbers: int) -> None:
    for number in numbers:
        write_text(waiting_shard(stored, layout.data, number) / NOTE, "{}")


def test_parts_whose_shards_wait_are_done_and_so_are_those_of_a_set_that_is_there(layout, registry):
    content = cell(train=large(200))
    stored = content.train_samples.stored
    finish_shards(layout, stored, 0, 2)
    found = shards(planned(layout, registry, content))
    states = [found[f"shards large/train, part {part} of 4"].state for part in (1, 2, 3, 4)]
    assert states == ["done", "todo", "done", "todo"]
    assert found["shards large/train"].state == "todo"
    shutil.rmtree(waiting_folder(stored, layout.data))
    made.prepare(layout, stored)
    assert {each.state for title, each in shards(planned(layout, registry, content)).items() if "large" in title} == {
        "done"
    }


def test_a_failed_part_says_why_and_keeps_its_set_from_being_joined(layout, registry):
    content = cell(train=large(200))
    second = job_id(ShardsWork(stored=content.train_samples.stored, part=2, parts=4))
    note_failure(layout, second, Failure(kind="data", message="image 'x' is empty", log="l"))
    plan = planned(layout, registry, content)
    assert "image 'x' is empty" in shards(plan)["shards large/train, part 2 of 4"].reason
    assert plan.cells[0].state == "failed"
    assert "shards large/train, part 2 of 4" in plan.cells[0].reason


def test_degraded_images_of_clean_ones_that_changed_are_stale(layout, registry):
    content = cell(task=LOW_LIGHT)
    stored = content.train_samples.stored
    made.prepare(layout, stored)
    manifest = stored.folder(layout.data) / "manifest.json"
    clean = stored.source.folder(layout.data) / "manifest.json"
    write_json(manifest, sealed({"set": stored.identity(), "parents": [unsealed(clean.read_bytes()).sha256]}))
    by = "shards photos/train degraded by low_light"
    assert shards(planned(layout, registry, content))[by].state == "done"
    write_json(clean, sealed({"set": stored.source.identity(), "images": 7}))
    found = shards(planned(layout, registry, content))
    assert (found[by].state, found[by].reason) == ("stale", "its samples have been prepared anew since")
    clean.unlink()
    found = shards(planned(layout, registry, content))
    assert (found["shards photos/train"].state, found[by].state) == ("stale", "stale")


def test_conditions_are_test_sets_of_their_own_over_one_stored_set(layout, registry):
    noise = PartRef(name="gaussian_noise", options={"sigma": 25}, drawn=True)
    content = cell(task=PartRef(name="gaussian_denoise", options={"sigma": 25}, derived_from=noise))
    tests = tuple(conditioned(content, sigma=sigma) for sigma in (15, 50))
    graph = build_graph([listed(content, tests=tests)], [plain_metric("psnr")], (), REGISTRY)
    (evaluate,) = (node for node in graph.nodes.values() if node.kind == "evaluate")
    assert [test.samples.noise.options for test in evaluate.tests] == [{"sigma": 15}, {"sigma": 50}]
    assert len({test.shards for test in evaluate.tests}) == 1
    assert isinstance(evaluate.work, EvaluateWork)
    assert [evaluate.work.condition(samples) for samples in evaluate.work.tests] == [{"sigma": 15}, {"sigma": 50}]
    assert len(list(evaluate.work.evaluations(evaluate.work.protocols))) == 2


def test_of_conditions_that_make_the_same_inputs_messages_say_the_first():
    content = cell(task=PartRef(name="gaussian_denoise", options={"sigma": 25}))
    named = conditioned(content, sigma=25)
    plain = named.model_copy(update={"condition": {}})
    found = {}
    for order, tests in (("named", (named, plain)), ("plain", (plain, named))):
        graph = build_graph([listed(content, tests=tests)], [plain_metric("psnr")], (), REGISTRY)
        (evaluate,) = (node for node in graph.nodes.values() if node.kind == "evaluate")
        assert isinstance(evaluate.work, EvaluateWork)
        (samples,) = evaluate.work.tests
        found[order] = evaluate.work.condition(samples)
    assert found == {"named": {"sigma": 25}, "plain": {}}


def test_stored_images_are_one_test_set_for_every_draw(layout, registry):
    from harness.api.protocols import NOISE_SEED0, RGB_UINT8

    plan = planned(layout, registry, cell(task=LOW_LIGHT), protocols=[RGB_UINT8, NOISE_SEED0])
    work = plan.jobs[-1].job.work
    assert len(work.tests) == 1
    scored = [(samples.draw, protocol.name) for samples, protocol in work.evaluations(work.protocols)]
    assert scored == [("named", "rgb_uint8"), ("named", "noise_seed0")]


def test_a_lost_checkpoint_brings_all_that_the_test_set_of_its_cell_is_made_of(layout, registry):
    """The evaluation becomes stale after the pass over the jobs has left its test set behind."""
    base = cell(task=LOW_LIGHT)
    resting = made.refined(task=LOW_LIGHT, base=base, variant={"regime": "frozen"})
    made.finish(layout, base, made.values([20.0], [0.5]), dataset=large(200))
    (layout.checkpoints(base.id) / "final.safetensors").unlink()
    cells = [listed(base, tests=(large(200),)), listed(resting, tests=(photos(),))]
    found = shards(make_plan(suite(*cells), layout, registry))
    needed = {title: each.state for title, each in found.items() if title.startswith("shards large/test")}
    assert len(needed) == 10
    assert set(needed.values()) == {"todo"}


def names(suites, layout) -> set[tuple[str, str]]:
    return {(each.kind, each.path.relative_to(layout.data).as_posix()) for each in unneeded(suites, layout, data=True)}


def test_finished_shards_of_a_needed_set_are_kept_and_old_formats_are_listed(layout, registry, monkeypatch):
    monkeypatch.setattr("harness.planning.unneeded.abandoned", lambda path: True)
    layout.out.mkdir()
    needed, other = cell(train=large(200)).train_samples.stored, cell(train=large(300)).train_samples.stored
    finish_shards(layout, needed, 0)
    finish_shards(layout, other, 0)
    write_text(layout.data / "photos.low_light.0123456789ab" / "train" / "manifest.json", json.dumps({}))
    write_text(layout.data / "my pictures" / "1.png", "x")
    suites = [(suite(listed(cell(train=large(200)), tests=(photos(),))), registry)]
    assert names(suites, layout) == {
        ("shards", f"sets/{other.name}"),
        ("earlier", "photos.low_light.0123456789ab"),
    }
    made.prepare(layout, needed)
    assert ("temporary", Path("sets", needed.name, ".train.parts").as_posix()) in names(suites, layout)


@pytest.mark.parametrize(("split", "why"), [("train", "training images"), ("test", "test images")])
def test_clean_images_that_were_made_anew_make_their_cells_stale(layout, registry, split, why):
    """The record names the set of the degraded images and that of the clean ones: either may change alone."""
    content = cell(task=LOW_LIGHT)
    sets = [content.train_samples.stored, content.test_set(photos()).samples().stored]
    made.prepare(layout, *sets)
    data = {}
    for each in sets:
        clean = each.source.folder(layout.data) / "manifest.json"
        write_json(clean, sealed({"set": each.source.identity()}))
        data[f"{each.source.name}/{each.split}"] = parent = unsealed(clean.read_bytes()).sha256
        path = each.folder(layout.data) / "manifest.json"
        write_json(path, sealed({"set": each.identity(), "parents": [parent]}))
        data[f"{each.name}/{each.split}"] = unsealed(path.read_bytes()).sha256
    made.finish(layout, content, made.values([20.0], [0.5]), data=data)
    assert planned(layout, registry, content).to_run == ()
    source = sets[split == "test"].source
    write_json(source.folder(layout.data) / "manifest.json", sealed({"set": source.identity(), "images": 7}))
    plan = planned(layout, registry, content)
    assert plan.cells[0].state == "stale"
    assert why in plan.cells[0].reason
