"""The evaluation of large test sets is planned in parts, which the evaluation can do without."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.core.registry import Entry
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.planning.job import EvaluateWork, ScoresWork
from harness.planning.nodes import without
from harness.planning.plan import Plan, make_plan
from harness.planning.planned import PlannedJob
from harness.planning.unneeded import unneeded
from harness.scheduling.backlog import Backlog
from tests.small_metrics import plain_metric
from tests.unit.planning.test_parts import PLUGIN
from tests.unit.records.made import cell, conditioned, listed, photos, suite


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "large.py"
    path.write_text(PLUGIN)
    return REGISTRY.extended([Entry("dataset", "large", f"{path}:Large")])


def large(images: int) -> PartRef:
    return PartRef(name="large", digest="large", options={"images": images})


def planned(layout, registry, *tests: PartRef, **options: Any) -> Plan:
    return make_plan(suite(listed(cell(), tests=tests), **options), layout, registry)


def of_kind(plan: Plan, kind: str) -> list[PlannedJob]:
    return [each for each in plan.jobs if each.job.kind == kind]


def test_a_large_test_set_has_jobs_of_parts_before_the_evaluation(layout, registry) -> None:
    plan = planned(layout, registry, photos(), large(300))
    parts, (evaluate,), (train,) = of_kind(plan, "scores"), of_kind(plan, "evaluate"), of_kind(plan, "train")
    (shards,) = (each for each in of_kind(plan, "shards") if each.job.title == "shards large/test")
    assert [(each.job.work.part, each.job.work.parts) for each in parts] == [(1, 3), (2, 3), (3, 3)]
    assert {each.job.depends for each in parts} == {(shards.id, train.id)}
    assert {each.state for each in parts} == {"todo"}
    of = evaluate.job.title.removeprefix("evaluate ")
    assert [each.job.title for each in parts] == [f"scores {of} on large/test, part {part} of 3" for part in (1, 2, 3)]
    assert evaluate.job.parts == ((), tuple(each.id for each in parts))
    assert {each.id for each in parts} <= set(evaluate.job.depends)
    assert all(each.job.work.of.tests == evaluate.job.work.tests[1:] for each in parts)
    assert all(each.cells == (plan.cells[0].cell_id,) for each in parts)
    assert not planned(layout, registry, photos(), large(100)).jobs[-1].job.parts


def test_the_test_sets_of_a_cell_are_shared_by_jobs_that_read_as_what_they_are(layout, registry) -> None:
    """Three conditions of one data set and a larger one: the evaluation keeps the first, of 40 images."""
    noise = PartRef(name="gaussian_noise", options={"sigma": 25}, drawn=True)
    content = cell(task=PartRef(name="gaussian_denoise", options={"sigma": 25}, derived_from=noise))
    tests = [conditioned(content, large(40), sigma=sigma) for sigma in (15, 25, 50)]
    plan = make_plan(suite(listed(content, tests=(*tests, large(200)))), layout, registry)
    (evaluate,), parts = of_kind(plan, "evaluate"), of_kind(plan, "scores")
    kept, *shared = evaluate.job.parts
    assert (kept, [len(each) for each in shared]) == ((), [1, 1, 2])
    assert [job for each in shared for job in each] == [each.job.id for each in parts]
    assert len({each.job.id for each in parts}) == 4
    of = f"scores {evaluate.job.title.removeprefix('evaluate ')} on large/test degraded by gaussian_denoise"
    assert [each.job.title for each in parts[:2]] == [f"{of} (sigma 25)", f"{of} (sigma 50)"]
    assert [each.job.title.rpartition(", ")[2] for each in parts[2:]] == ["part 1 of 2", "part 2 of 2"]


def test_a_set_that_does_not_say_its_keys_is_not_divided(layout, registry) -> None:
    assert of_kind(planned(layout, registry, large(-1)), "scores") == []


def test_neither_the_cells_id_nor_its_evaluation_changes(layout, registry) -> None:
    small, divided = (planned(layout, registry, large(images)) for images in (20, 300))
    assert small.cells[0].cell_id == divided.cells[0].cell_id
    (one,), (other,) = of_kind(small, "evaluate"), of_kind(divided, "evaluate")
    assert one.id == other.id
    assert [each.id for each in of_kind(divided, "scores")] == [
        each.id for each in of_kind(planned(layout, registry, large(300)), "scores")
    ]


def graph(registry, *tests: PartRef):
    return build_graph([listed(cell(), tests=tests)], [plain_metric("psnr")], (), registry)


def test_an_evaluation_without_a_test_set_needs_none_of_its_parts(registry) -> None:
    found = graph(registry, large(300), large(301), photos())
    (node,) = (each for each in found.nodes.values() if isinstance(each.work, EvaluateWork))
    assert [len(parts) for parts in node.parts] == [3, 3, 0]
    left = without(node, [node.tests[0]])
    assert left.parts == (node.parts[1], ())
    assert not {*node.parts[0], *node.tests[0].jobs} & set(left.depends)
    assert {*node.parts[1], *node.tests[1].jobs, *node.tests[2].jobs} < set(left.depends)


def test_what_parts_left_is_kept_as_long_as_the_suite_needs_them(layout, registry) -> None:
    content = suite(listed(cell(), tests=(large(300),)))
    (first, *_) = (each for each in graph(registry, large(300)).nodes.values() if isinstance(each.work, ScoresWork))
    for name in (first.id, "scores-0123456789ab"):
        layout.job_scores(name).parent.mkdir(parents=True, exist_ok=True)
        layout.job_scores(name).write_bytes(b"values")
    assert [each.name for each in unneeded([(content, registry)], layout, data=False)] == ["scores-0123456789ab.scores"]


def test_an_evaluation_starts_when_a_part_has_failed(layout, registry) -> None:
    backlog = Backlog(planned(layout, registry, large(300)).jobs)
    parts = []
    waiting = backlog.first()
    while waiting:
        job = waiting.pop(0)
        if job.kind == "scores":
            parts.append(job)
        else:
            waiting += backlog.done(job)
        if len(parts) == 3:
            break
    assert backlog.done(parts[0]) == []
    assert backlog.failed(parts[1], "worker_lost") == []
    assert backlog.released() == []
    (evaluate,) = backlog.done(parts[2])
    assert evaluate.kind == "evaluate"
    backlog.done(evaluate)
    assert not backlog.open


def test_an_evaluation_is_released_by_the_last_part_that_fails(layout, registry) -> None:
    backlog = Backlog(planned(layout, registry, large(200)).jobs)
    waiting, parts = backlog.first(), []
    while waiting:
        job = waiting.pop(0)
        if job.kind == "scores":
            parts.append(job)
        else:
            waiting += backlog.done(job)
    for job in parts:
        assert backlog.failed(job, "bug") == []
    assert [job.kind for job in backlog.released()] == ["evaluate"]
