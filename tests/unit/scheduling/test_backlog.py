"""What may start, what never will."""

from __future__ import annotations

from pathlib import Path

from harness.planning.job import Job
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


def two_sets() -> tuple[Job, ...]:
    """Training, two test sets of which the second has features, and the evaluation on both."""
    training, first, second, rows = (shards(name, OUT) for name in ("train", "one", "two", "rows"))
    rows = rows.model_copy(update={"depends": (second.id,)})
    trained = train(0, OUT, (training.id,))
    scored = evaluate(0, OUT, (first.id, second.id, rows.id, trained.id))
    return (
        training,
        first,
        second,
        rows,
        trained,
        scored.model_copy(update={"tests": ((first.id,), (second.id, rows.id))}),
    )


def test_an_evaluation_goes_on_without_a_test_set_that_failed():
    training, first, second, rows, trained, scored = two_sets()
    backlog = Backlog(plan(training, first, second, rows, trained, scored).jobs)
    backlog.done(training)
    assert backlog.done(first) == []
    assert backlog.failed(second, "data") == [rows]
    assert backlog.released() == []
    assert backlog.done(trained) == [scored]
    assert set(backlog.given_up) == {second.id, rows.id}


def test_a_set_that_fails_last_lets_the_evaluation_start():
    training, first, second, rows, trained, scored = two_sets()
    states = {training.id: "done", trained.id: "done", second.id: "done"}
    backlog = Backlog(plan(training, first, second, rows, trained, scored, states=states).jobs)
    assert backlog.done(first) == []
    assert backlog.failed(rows, "memory") == []
    assert (backlog.released(), backlog.released()) == ([scored], [])


def test_an_evaluation_without_any_test_set_or_training_is_given_up():
    training, first, second, rows, trained, scored = two_sets()
    backlog = Backlog(plan(training, first, second, rows, trained, scored).jobs)
    backlog.failed(second, "data")
    assert backlog.failed(first, "data") == [scored]
    backlog = Backlog(plan(training, first, second, rows, trained, scored).jobs)
    assert backlog.failed(training, "data") == [trained, scored]
    assert backlog.released() == []


def test_a_blocked_test_set_is_not_waited_for():
    training, first, second, rows, trained, scored = two_sets()
    states = {training.id: "done", trained.id: "done", first.id: "done", second.id: "blocked"}
    backlog = Backlog(plan(training, first, second, rows, trained, scored, states=states).jobs)
    assert backlog.first() == [scored]
    assert backlog.released() == []
