"""Train jobs name what will be tested of them, evaluate jobs name what prepares each test set; ids stay as they are."""

from __future__ import annotations

import json

from harness.api.reference import PartRef
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.planning.job import EvaluateWork, Job, TrainWork, job_id
from harness.planning.plan import make_plan
from tests.small_metrics import plain_metric
from tests.unit.records.made import cell, listed, photos, refined, suite


def other(name: str) -> PartRef:
    return PartRef(name=name, digest=name)


def named_by(*cells):
    graph = build_graph(cells, [plain_metric("psnr")], (), REGISTRY)
    works = [node.work for node in graph.nodes.values() if isinstance(node.work, TrainWork)]
    return {work.cell.id: [ref.name for ref in work.tests] for work in works}


def test_a_training_names_the_test_sets_of_all_that_rests_on_it():
    base = cell()
    source = cell(seed=7)
    prior = PartRef(name="restoration", digest=source.id)
    resting = refined(prior=prior).model_copy(update={"base": base, "prior_source": source})
    top = refined(seed=3).model_copy(update={"base": resting})
    suite_cells = [
        listed(base, tests=(photos(),)),
        listed(resting, tests=(other("urban"),)),
        listed(top, tests=(photos(), other("sidd"))),
    ]
    found = named_by(*suite_cells)
    assert sorted(found[base.id]) == ["photos", "sidd", "urban"]
    assert sorted(found[source.id]) == ["photos", "sidd", "urban"]
    assert sorted(found[resting.id]) == ["photos", "sidd", "urban"]
    assert found[top.id] == ["photos", "sidd"]


def test_the_tests_of_a_training_are_no_part_of_its_id():
    plain, named = TrainWork(cell=cell()), TrainWork(cell=cell(), tests=(photos(),))
    assert job_id(plain) == job_id(named)


def test_job_files_of_earlier_releases_are_still_read():
    written = json.loads(Job(work=TrainWork(cell=cell())).model_dump_json())
    del written["work"]["tests"], written["tests"]
    job = Job.model_validate_json(json.dumps(written))
    assert job.tests == ()
    assert isinstance(job.work, TrainWork)
    assert job.work.tests == ()


def test_an_evaluate_job_says_which_jobs_prepare_each_test_set(layout):
    planned = make_plan(suite(listed(refined())), layout, REGISTRY)
    jobs = {each.id: each.job for each in planned.jobs}
    (evaluation,) = (job for job in jobs.values() if isinstance(job.work, EvaluateWork))
    assert isinstance(evaluation.work, EvaluateWork)
    assert len(evaluation.tests) == len(evaluation.work.tests) == 1
    kinds = [jobs[needed].kind for needed in evaluation.tests[0]]
    assert kinds == ["shards", "features"]
    assert set(evaluation.tests[0]) < set(evaluation.depends)
    (left,) = set(evaluation.depends) - set(evaluation.tests[0])
    assert jobs[left].kind == "train"
