"""In which order jobs start that could."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.api.reference import PartRef
from harness.cells.cell import Variant
from harness.planning.job import Job, TrainWork
from harness.scheduling.order import priorities
from tests.unit.scheduling.plans import cell, evaluate, plan, shards, train

OUT = Path("/out")


def order(jobs: list[Job], seconds: dict[str, float]) -> list[str]:
    planned = [replace(each, estimate_s=seconds.get(each.id)) for each in plan(*jobs).jobs]
    ranks = priorities(planned)
    assert sorted(ranks.values()) == list(range(len(jobs)))
    return sorted(ranks, key=lambda job_id: ranks[job_id])


def pairs(count: int) -> list[Job]:
    """Trainings, each followed by its evaluation."""
    jobs: list[Job] = []
    for seed in range(count):
        trained = train(seed, OUT)
        jobs += [trained, evaluate(seed, OUT, (trained.id,))]
    return jobs


def test_without_any_record_it_is_the_plans():
    jobs = [shards("train", OUT), *pairs(3)]
    assert order(jobs, {}) == [job.id for job in jobs]


def test_the_longest_training_first_and_its_evaluation_with_it():
    made, (a, sa, b, sb, c, sc) = shards("train", OUT), pairs(3)
    found = order([made, a, sa, b, sb, c, sc], {a.id: 10, b.id: 30, c.id: 20})
    assert found == [each.id for each in (made, b, sb, c, sc, a, sa)]


def test_a_training_that_others_wait_for_counts_with_them():
    base, other = train(0, OUT), train(1, OUT)
    rests = train(2, OUT, (base.id,))
    found = order([other, base, rests], {base.id: 10, other.id: 15, rests.id: 20})
    assert found == [each.id for each in (base, rests, other)]


def refined(seed: int, vectors: str) -> Job:
    """The training of a cell that reads cached vectors."""
    prior = Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss"))
    work = TrainWork(cell=cell(seed).model_copy(update={"variant": prior}))
    return train(seed, OUT, (shards("train", OUT).id, vectors)).model_copy(update={"work": work})


def test_of_the_longest_those_that_share_vectors_go_together_the_longest_first():
    jobs = [refined(seed, f"features-{'ab'[seed % 2]}") for seed in range(6)]
    assert order(jobs, {}) == [jobs[n].id for n in (0, 2, 4, 1, 3, 5)]
    lengths = {0: 10, 1: 30, 2: 30, 3: 20, 4: 30, 5: 30}
    found = order(jobs, {jobs[seed].id: seconds for seed, seconds in lengths.items()})
    assert found == [jobs[n].id for n in (2, 4, 1, 5, 3, 0)]


def test_trainings_of_unknown_length_follow_in_the_plans_order():
    a, _, b, _, c, _ = jobs = pairs(3)
    found = order(jobs, {c.id: 5})
    assert [job_id for job_id in found if job_id.startswith("train")] == [c.id, a.id, b.id]
