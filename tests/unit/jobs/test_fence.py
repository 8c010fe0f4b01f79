"""A worker that was given up, and lives, writes nothing beside its replacement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core import paths
from harness.core.fence import Superseded, check_fence, fenced
from harness.core.paths import Layout
from harness.core.temporary import temporary_beside
from harness.jobs.classify import classify
from harness.jobs.run import run_job_file
from harness.planning.job import Job
from harness.records import store
from tests.odd_loss import odd_job
from tests.small_world import SmallWorld


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    file = tmp_path / "job.attempt"
    file.write_text("first")
    return file


def test_every_kind_of_write_is_refused_once_another_try_has_begun(tmp_path: Path, attempt: Path) -> None:
    layout = Layout(tmp_path / "out", tmp_path / "data")
    with fenced(attempt, "first"):
        store.append_event(layout, "cell", {"event": "a"})
        paths.write_text(tmp_path / "kept", "as it was")
        with pytest.raises(Superseded) as raised, paths.atomic_file(tmp_path / "kept") as temporary:
            temporary.write_text("half a minute later")
            attempt.write_text("second")
        before = sorted(tmp_path.rglob("*"))
        for refused in (
            lambda: store.append_event(layout, "cell", {"event": "b"}),
            lambda: store.rewrite_events(layout, "cell", []),
            lambda: paths.remove_away(tmp_path / "kept"),
            lambda: paths.write_bytes(tmp_path / "new", b""),
            lambda: paths.atomic_folder(tmp_path / "folder").__enter__(),
        ):
            with pytest.raises(Superseded):
                refused()
    assert classify(raised.value) == "worker_lost"
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "kept").read_text() == "as it was"
    assert store.read_events(layout, "cell") == [{"event": "a"}]
    paths.write_text(tmp_path / "kept", "the fence is gone")


def test_a_folder_that_was_made_meanwhile_is_thrown_away(tmp_path: Path, attempt: Path) -> None:
    with fenced(attempt, "first"), pytest.raises(Superseded), paths.atomic_folder(tmp_path / "set") as temporary:
        (temporary / "shard").write_text("x")
        attempt.write_text("second")
    assert sorted(os.listdir(tmp_path)) == ["job.attempt"]


def test_nothing_is_refused_without_a_token_or_without_a_word(tmp_path: Path, attempt: Path) -> None:
    with fenced(attempt, ""):  # a job file of an earlier release
        check_fence()
    attempt.write_text("")
    with fenced(attempt, "first"):
        check_fence()
    attempt.unlink()
    with fenced(attempt, "first"):
        check_fence()


def test_a_job_that_does_the_work_of_others_stops_for_each_of_them(tmp_path: Path, attempt: Path) -> None:
    others = [tmp_path / f"{name}.attempt" for name in "ab"]
    for other in others:
        other.write_text("first")
    with fenced(attempt, "first", (others[0], "first"), (others[1], "first"), (tmp_path / "none", "")):
        check_fence()
        name = temporary_beside(tmp_path / "x").name
        for each in (attempt, *others):
            each.write_text("second")
            with pytest.raises(Superseded) as raised:
                check_fence()
            assert raised.value.where == str(each)
            each.write_text("first")
    with fenced(attempt, "first"):
        assert temporary_beside(tmp_path / "x").name[:18] == name[:18]  # it is called after the first


def hand_out(world: SmallWorld, job: Job, token: str) -> str:
    """As the driver does."""
    paths.write_text(world.layout.job_attempt(job.id), token)
    return str(world.write(job.model_copy(update={"attempt": token})))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_frozen_worker_that_wakes_beside_its_replacement_writes_nothing(world: SmallWorld, tmp_path: Path) -> None:
    job, cell = odd_job(world, tmp_path)
    code = "import sys; from harness.jobs.run import run_job_file; print(run_job_file(sys.argv[1]).failure)"
    frozen = subprocess.Popen(
        [sys.executable, "-c", code, hand_out(world, job, "first")],
        env={**os.environ, "ODD": "stop", "ODD_RANK": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert os.WIFSTOPPED(os.waitpid(frozen.pid, os.WUNTRACED)[1])
        assert run_job_file(hand_out(world, job, "second")).failure is None
        left = contents(world.layout.out)
        frozen.send_signal(signal.SIGCONT)
        said, _ = frozen.communicate()
    finally:
        frozen.kill()
        frozen.wait()
    assert said.split() == ["worker_lost"]
    assert contents(world.layout.out) == left
    steps = [step for step, _, _ in world.curve(cell)]
    assert steps == [3, 6, 9, 12]
    assert [attempt.outcome for attempt in world.record(cell).attempts] == ["done"]
