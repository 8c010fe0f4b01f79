"""What may start, what never will."""

from __future__ import annotations

from pathlib import Path

from harness.scheduling.backlog import Backlog
from tests.unit.scheduling.plans import evaluate, plan, shards, train

OUT = Path("/out")


def chain():
    made = shards("train", OUT)
    trained = train(0, OUT, (made.id,))
    other = train(1, OUT, (made.id,))
    scored = evaluate(0, OUT, (trained.id,))
    return made, trained, other, scored


def test_jobs_start_as_what_they_need_is_done():
    made, trained, other, scored = chain()
    backlog = Backlog(plan(made, trained, other, scored).jobs)
    assert backlog.first() == [made]
    assert backlog.done(made) == [trained, other]
    assert backlog.done(other) == []
    assert backlog.open
    assert backlog.done(trained) == [scored]
    assert backlog.done(scored) == []
    assert not backlog.open
    assert backlog.given_up == {}


def test_what_the_plan_finds_done_counts_and_is_not_run():
    made, trained, other, scored = chain()
    backlog = Backlog(plan(made, trained, other, scored, states={made.id: "done", trained.id: "done"}).jobs)
    assert backlog.first() == [other, scored]
    assert [backlog.priority(other), backlog.priority(scored)] == [0, 1]
    assert set(backlog.jobs) == {other.id, scored.id}


def test_stale_jobs_are_run():
    made, trained, other, scored = chain()
    states = {made.id: "done", trained.id: "stale", other.id: "done", scored.id: "done"}
    assert Backlog(plan(made, trained, other, scored, states=states).jobs).first() == [trained]


def test_a_failure_gives_up_all_that_needs_it_and_nothing_else():
    made, trained, other, scored = chain()
    backlog = Backlog(plan(made, trained, other, scored).jobs)
    backlog.done(made)
    assert backlog.failed(trained, "nan") == [scored]
    assert backlog.given_up == {trained.id: "nan", scored.id: "not run: needs train denoise NAFNet base seed 0"}
    assert backlog.open
    assert backlog.done(other) == []
    assert not backlog.open


def test_a_failure_of_two_needs_is_booked_once():
    first, second = shards("train", OUT), shards("test", OUT)
    both = train(0, OUT, (first.id, second.id))
    backlog = Backlog(plan(first, second, both).jobs)
    assert backlog.failed(first, "data") == [both]
    assert backlog.failed(second, "data") == []
    assert not backlog.open


def test_what_needs_a_blocked_job_is_given_up_from_the_start():
    made, trained, other, scored = chain()
    backlog = Backlog(plan(made, trained, other, scored, states={trained.id: "blocked"}).jobs)
    assert backlog.given_up == {scored.id: "not run: needs train denoise NAFNet base seed 0"}
    assert backlog.first() == [made]
    assert backlog.done(made) == [other]
