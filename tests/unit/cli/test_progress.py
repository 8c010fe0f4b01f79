"""What a run shows while it goes on."""

from __future__ import annotations

import io

import pytest

from harness.api.running import JobOutcome
from harness.cli import progress as module
from harness.cli.progress import LineDisplay, LiveDisplay, activity_line, last_events, make_display
from harness.core.paths import Layout
from harness.planning.job import TogetherWork
from harness.records.store import append_event
from tests.unit.scheduling.plans import evaluate, plan, train


def step(number: int, seconds: int, job: str = "j") -> dict:
    time = f"2026-01-01T00:{seconds // 60:02d}:{seconds % 60:02d}+00:00"
    return {"time": time, "job": job, "event": "step", "step": number, "steps": 300, "loss": 0.5 / number}


START = {"time": "2026-01-01T00:00:00+00:00", "job": "j", "event": "start", "step": 0, "steps": 300}


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path, tmp_path / "data")


def test_the_line_of_a_training_job_has_step_loss_and_the_time_left():
    events = [START, step(20, 10), step(120, 60)]
    assert activity_line(events, "j") == "train step 120/300, loss 0.0042, 0:01:30 left".replace("train", "j")


def test_there_is_no_time_left_to_tell_from_one_step():
    assert activity_line([START, step(20, 10)], "j") == "j step 20/300, loss 0.0250"
    assert activity_line([], "j") == ""


def test_only_the_jobs_own_events_since_its_last_start_count():
    events = [step(280, 0), START, step(20, 100), step(40, 110), step(300, 120, job="other")]
    assert activity_line(events, "j").endswith("loss 0.0125, 0:02:10 left")


def test_the_tail_of_a_long_curve_is_read_without_torn_lines(layout):
    for number in range(1, 400):
        append_event(layout, "c", step(number, number))
    with open(layout.events("c"), "a") as handle:
        handle.write('{"torn')
    events = last_events(layout.events("c"))
    assert events[-1]["step"] == 399
    assert 10 < len(events) < 100
    assert last_events(layout.events("none")) == []


def follow(progress, layout):
    first, second, third = train(0, layout.out), train(1, layout.out), evaluate(0, layout.out)
    progress.begin(plan(first, second, third, states={third.id: "done"}))
    progress.started(first)
    progress.finished(first, JobOutcome(first.id, seconds=12.34))
    progress.started(second)
    progress.retrying(second, JobOutcome(second.id, "worker_lost", "SIGKILL"), 1)
    progress.started(second)
    progress.retrying(second, JobOutcome(second.id, "memory", "CUDA out of memory"), 1)
    progress.started(second)
    append_event(layout, second.cell_id, {**step(20, 10), "job": second.id})
    running = progress.board.running_lines()
    progress.finished(second, JobOutcome(second.id, "nan", "the loss is not a number"))
    progress.warn("tracking is behind: down")
    progress.end()
    return running


LINES = [
    "[1/2] train denoise NAFNet base seed 0 · 12.3 s",
    "worker lost, retry 1 of 2: train denoise NAFNet base seed 1 · SIGKILL",
    "out of memory, once more with half the micro-batch: train denoise NAFNet base seed 1 · CUDA out of memory",
    "[2/2] FAILED (nan) train denoise NAFNet base seed 1 · the loss is not a number",
    "warning: tracking is behind: down",
]


def test_without_a_terminal_there_is_a_line_for_what_ends_and_no_more(layout, capsys):
    progress = make_display(layout)
    assert isinstance(progress, LineDisplay)
    assert follow(progress, layout) == ["train denoise NAFNet base seed 1 · train step 20/300, loss 0.0250"]
    assert capsys.readouterr().out.splitlines() == LINES
    assert progress.board.headline().startswith("1/2 jobs done · 0 running · 0 waiting · 1 failed · 0:00:0")


def test_without_a_terminal_long_jobs_are_told_about_now_and_then(layout, capsys, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.05)
    progress = LineDisplay(layout)
    job = train(0, layout.out)
    progress.begin(plan(job))
    progress.started(job)
    progress._ended.wait(0.4)
    progress.end()
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= 9
    assert lines[0].startswith("0/1 jobs done · 1 running · 0 waiting")
    assert job.title in lines[0]


def test_in_a_terminal_the_board_stands_below_the_lines(layout, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", screen)
    progress = make_display(layout)
    assert isinstance(progress, LiveDisplay)
    follow(progress, layout)
    shown = screen.getvalue()
    assert all(line in shown for line in LINES)
    assert "0/2 jobs done · 0 running · 2 waiting" in shown


def test_a_message_of_many_lines_is_one_line(layout, capsys):
    progress, job = LineDisplay(layout), train(0, layout.out)
    progress.finished(job, JobOutcome(job.id, failure="bug", message=f"\n{'x' * 500}\nsecond"))
    progress.retrying(job, JobOutcome(job.id, failure="worker_lost", message="lost\nsecond"), 1)
    progress.warn("behind\nsecond")
    failed, lost, warning = capsys.readouterr().out.splitlines()
    assert failed.endswith(f" · {'x' * 199}…")
    assert lost.endswith(" · lost")
    assert warning == "warning: behind"


def test_a_job_of_several_cells_shows_how_far_they_are(layout):
    members = [train(seed, layout.out) for seed in (0, 1)]
    together = members[0].model_copy(update={"work": TogetherWork(of=tuple(each.work for each in members))})
    progress = LineDisplay(layout)
    progress.started(together)
    assert progress.board.running_lines()[0].endswith("base seed 0 · 0 s")
    for each in members:
        append_event(layout, each.cell_id, {**step(20, 10), "job": each.id, "kind": "train"})
    assert progress.board.running_lines() == [f"{together.title} · train step 20/300, loss 0.0250"]


def test_of_several_cells_the_one_that_was_heard_of_last_stands_for_all(layout):
    """The first may have dropped out, or have been further from the beginning."""
    members = [train(seed, layout.out) for seed in (0, 1, 2)]
    together = members[0].model_copy(update={"work": TogetherWork(of=tuple(each.work for each in members))})
    progress = LineDisplay(layout)
    progress.started(together)
    for each, number, seconds in zip(members, (40, 20, 10), (10, 30, 20), strict=True):
        append_event(layout, each.cell_id, {**step(number, seconds), "job": each.id, "kind": "train"})
    append_event(layout, members[0].cell_id, {**step(300, 50), "job": "another", "kind": "evaluate"})
    assert progress.board.running_lines() == [f"{together.title} · train step 20/300, loss 0.0250"]
