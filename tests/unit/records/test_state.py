"""What a worker last said."""

from __future__ import annotations

from harness.records.state import activity

START = {"time": "2026-01-01T00:00:00+00:00", "job": "train-a", "event": "start"}
STEP = {"time": "2026-01-01T00:00:05+00:00", "job": "train-a", "event": "step", "step": 40, "steps": 300, "loss": 0.05}


def test_nothing_is_no_activity():
    assert activity([]) is None


def test_the_step_stands_until_the_job_ends():
    saved = {"time": "2026-01-01T00:00:06+00:00", "job": "train-a", "event": "checkpoint"}
    latest = activity([START, STEP, saved])
    assert latest is not None
    assert (latest.step, latest.event, latest.ended) == (40, "checkpoint", False)
    assert str(latest) == "train step 40/300, loss 0.0500"


def test_another_job_or_a_new_start_forgets_the_step():
    evaluate = {"time": "2026-01-01T00:01:00+00:00", "job": "evaluate-a", "event": "start"}
    assert str(activity([START, STEP, evaluate])) == "evaluate"
    again = activity([START, STEP, START])
    assert again is not None
    assert again.step is None


def test_the_end_is_the_end():
    latest = activity([START, STEP, {"job": "train-a", "event": "end"}])
    assert latest is not None
    assert latest.ended


def test_the_kind_is_what_the_event_says_and_of_old_events_what_the_id_begins_with():
    said = activity([{"job": "j", "kind": "train", "event": "step", "step": 3, "steps": 9}])
    assert str(said) == "train step 3/9"
    assert [str(activity([{"job": job, "event": "start"}])) for job in ("evaluate-a", "j", "")] == [
        "evaluate",
        "j",
        "job",
    ]
