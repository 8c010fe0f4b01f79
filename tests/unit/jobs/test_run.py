"""Running a job file: outcome, log, attempt on record, failure classes, exit codes."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
import torch

from harness.api.reference import PartRef
from harness.cells.recipe import LossTerm
from harness.cells.suite import Run
from harness.core.errors import DataError, HarnessError, MissingWeights
from harness.jobs.__main__ import main
from harness.jobs.classify import classify, message
from harness.jobs.context import Context
from harness.jobs.notes import note_outcome
from harness.jobs.run import run_job_file, settle_process
from harness.planning.job import Job, ShardsWork
from harness.records import anew
from harness.records.job_failures import read_failure
from harness.records.remake import Remake
from tests.small_world import RECIPE, SmallWorld, small_cell

PLUGIN = '''
from torch import nn

from harness.api.loss import LossTraits

class Angry(nn.Module):
    """A loss that fails."""

    traits = LossTraits()

    def __init__(self):
        super().__init__()

    def forward(self, restored_BCHW, truth_BCHW):
        raise {error}

CATALOGUE = (("loss", "angry", "Angry"),)
'''


def angry_job(world: SmallWorld, tmp_path, error: str):
    """A train job whose loss, a plug-in's, raises."""
    plugin = tmp_path / "angry.py"
    plugin.write_text(PLUGIN.format(error=error))
    cell = small_cell(recipe=RECIPE.model_copy(update={"losses": (LossTerm(part=PartRef(name="angry")),)}))
    return cell, world.train_job(cell, plugins=(str(plugin),))


def test_a_train_job_then_its_evaluation(world: SmallWorld) -> None:
    cell = small_cell()
    for job, status in ((world.train_job(cell), "trained"), (world.evaluate_job(cell), "done")):
        outcome = run_job_file(str(world.write(job)))
        assert (outcome.job_id, outcome.failure, outcome.message) == (job.id, None, "")
        assert outcome.seconds > 0
        record = world.record(cell)
        assert record.status == status
        assert (record.attempts[-1].job, record.attempts[-1].outcome) == (job.id, "done")
        assert record.attempts[-1].resumed_at is None
        assert record.attempts[-1].started < record.attempts[-1].ended
        assert "done" in world.layout.job_log(job.id).read_text()
    assert len(world.record(cell).attempts) == 2
    assert world.record(cell).training is not None


def test_a_training_that_is_run_alone_and_out_of_memory_is_tried_with_half_its_micro_batch(
    world: SmallWorld, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = "return (restored_BCHW - truth_BCHW).abs().mean()"
    cell, job = angry_job(world, tmp_path, "")
    loss = PLUGIN.replace("raise {error}", f"if len(restored_BCHW) > 2:\n            raise MemoryError\n        {few}")
    (tmp_path / "angry.py").write_text(loss)
    assert main([str(world.write(job))]) == 0
    record = world.record(cell)
    assert [attempt.outcome for attempt in record.attempts] == ["failed", "done"]
    assert record.training is not None
    assert record.training.halved == 1
    told = capsys.readouterr()
    assert "failed (memory): " in told.err
    assert "once more, with half the micro-batch" in told.out


def test_shards_jobs_belong_to_no_cell(world: SmallWorld) -> None:
    job = world.job(ShardsWork(stored=small_cell().train_samples.stored))
    assert run_job_file(str(world.write(job))).failure is None
    assert not (world.layout.out / "cells").exists()


def test_a_log_that_cannot_be_written_costs_no_result(world: SmallWorld, caplog: pytest.LogCaptureFixture) -> None:
    job = world.job(ShardsWork(stored=small_cell().train_samples.stored))
    world.layout.job_log(job.id).mkdir(parents=True)
    assert run_job_file(str(world.write(job))).failure is None
    assert any("there will be no log" in line.message for line in caplog.records)


def test_a_failure_that_could_not_be_noted_is_left_to_who_handed_the_job_out(world: SmallWorld) -> None:
    """As for an account that may not write below the folders: neither a record nor a log."""
    job = world.train_job(small_cell())
    path = world.write(job)
    (world.layout.out / "cells").write_text("in the way")
    world.layout.job_log(job.id).mkdir()
    outcome = run_job_file(str(path))
    assert (outcome.failure, outcome.noted, outcome.log) == ("storage", False, "")
    (world.layout.out / "cells").unlink()
    note_outcome(job, world.layout, outcome)
    failure = world.record(small_cell()).failure
    assert failure is not None
    assert (failure.kind, failure.log) == ("storage", "")


def test_why_shards_could_not_be_made_is_remembered_until_they_are(world: SmallWorld, monkeypatch) -> None:
    job = world.job(ShardsWork(stored=small_cell().train_samples.stored))
    path = str(world.write(job))

    def broken(job: Job, context: Context) -> None:
        raise DataError("image a cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr("harness.jobs.shards.run", broken)
        run_job_file(path)
    found = read_failure(world.layout, job.id)
    assert found is not None
    assert (found.kind, found.message) == ("data", "image a cannot be read")
    assert run_job_file(path).failure is None
    assert read_failure(world.layout, job.id) is None


def test_a_job_that_is_made_again_leaves_the_record_from_before(world: SmallWorld) -> None:
    cell = small_cell()
    for job in (world.train_job(cell), world.evaluate_job(cell)):
        assert run_job_file(str(world.write(job))).failure is None
    before, rows = world.record(cell), world.rows(cell)
    anew.begin(world.layout, cell.id, Remake(purpose="train"))
    for job in (world.train_job(cell, anew=(cell.id,)), world.evaluate_job(cell, anew=(cell.id,))):
        assert run_job_file(str(world.write(job))).failure is None
    assert (world.record(cell), world.rows(cell)) == (before, rows)
    anew.swap(world.layout, cell.id)
    assert world.record(cell).attempts != before.attempts
    assert world.rows(cell) == rows


def test_a_job_alone_takes_in_the_cell_that_it_makes_whole(world: SmallWorld, capsys) -> None:
    cell = small_cell()
    train, evaluate = world.train_job(cell, anew=(cell.id,)), world.evaluate_job(cell, anew=(cell.id,))
    for job in (world.train_job(cell), world.evaluate_job(cell)):
        assert run_job_file(str(world.write(job))).failure is None
    (each,) = world.record(cell).evaluations
    asked = tuple((each.id, key) for key in each.metrics)
    anew.begin(world.layout, cell.id, Remake(purpose="train", asked=asked, keeps="asked"))
    assert main([str(world.write(train))]) == 0
    assert f"bench run SUITE --force {cell.id}" in capsys.readouterr().out
    assert main([str(world.write(evaluate))]) == 0
    assert f"cell {cell.id} is whole" in capsys.readouterr().out
    assert not world.layout.anew_cell(cell.id).exists()
    assert len(world.record(cell).attempts) == 2


def test_threads_and_determinism_are_those_of_the_job() -> None:
    settle_process(Run(cpus=2))
    assert torch.get_num_threads() == 2
    settle_process(Run(cpus=1))
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    # The module's stub does not know the property that PyTorch puts on it.
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ("ZeroDivisionError('oh')", "plugin", "angry.py:15: loss angry: ZeroDivisionError: oh"),
        ("MemoryError()", "memory", "MemoryError"),
        ("OSError(28, 'No space left on device')", "storage", "No space left"),
        ("SystemExit(0)", "plugin", "angry.py:15: loss angry: it ends the process (sys.exit, code 0)"),
    ],
)
def test_failures_are_classified_logged_and_put_on_record(world: SmallWorld, tmp_path, error, kind, said) -> None:
    cell, job = angry_job(world, tmp_path, error)
    outcome = run_job_file(str(world.write(job)))
    assert (outcome.failure, outcome.log) == (kind, str(world.layout.job_log(job.id)))
    assert said in outcome.message
    log = world.layout.job_log(job.id).read_text()
    assert "Traceback" in log
    assert "angry.py" in log
    record = world.record(cell)
    assert record.status == "failed"
    assert record.failure is not None
    assert (record.failure.kind, record.failure.log) == (kind, outcome.log)
    assert (record.attempts[-1].outcome, record.attempts[-1].failure) == ("failed", kind)


def test_the_log_of_a_second_attempt_follows_the_first(world: SmallWorld, tmp_path) -> None:
    _, job = angry_job(world, tmp_path, "ZeroDivisionError('oh')")
    for _ in range(2):
        run_job_file(str(world.write(job)))
    log = world.layout.job_log(job.id).read_text()
    assert log.count(f"({job.id})\n") == log.count("ERROR harness.jobs.run: failed: plugin") == 2


def test_an_interruption_is_noted_and_passed_on(world: SmallWorld, tmp_path) -> None:
    ctrl_c = "__import__('harness.core.guests', fromlist=['_']).UserInterrupt()"
    cell, job = angry_job(world, tmp_path, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        run_job_file(str(world.write(job)))
    record = world.record(cell)
    assert (record.attempts[-1].outcome, record.attempts[-1].failure) == ("interrupted", "interrupted")


def test_missing_shards_are_a_data_failure(world: SmallWorld) -> None:
    cell = small_cell(train=PartRef(name="photos", digest="never prepared"))
    outcome = run_job_file(str(world.write(world.train_job(cell))))
    assert outcome.failure == "data"
    assert world.record(cell).status == "failed"


@pytest.mark.parametrize("content", ["", "{}", '{"work": {"kind": "dance"}}'])
def test_a_damaged_job_file_is_an_outcome_too(tmp_path, content: str) -> None:
    path = tmp_path / "train-0123.json"
    path.write_text(content)
    outcome = run_job_file(str(path))
    assert (outcome.job_id, outcome.failure) == ("train-0123", "data")
    assert "not a job file" in outcome.message


def test_an_absent_job_file_is_an_outcome_too(tmp_path) -> None:
    assert "No such file" in run_job_file(str(tmp_path / "gone.json")).message


def test_alone_on_the_command_line(world: SmallWorld, tmp_path, capsys) -> None:
    done = world.write(world.evaluate_job(small_cell(backbone=None)))
    assert main([str(done)]) == 0
    assert "done in" in capsys.readouterr().out
    _, job = angry_job(world, tmp_path, "ZeroDivisionError('oh')")
    failed = world.write(job)
    assert main([str(failed)]) == 1
    printed = capsys.readouterr().err
    assert f"failed (plugin): {tmp_path / 'angry.py'}:15: loss angry: ZeroDivisionError: oh" in printed
    assert str(world.layout.job_log(job.id)) in printed
    with pytest.raises(HarnessError, match="ZeroDivisionError: oh"):
        main([str(failed), "--debug"])
    assert main([str(tmp_path / "gone.json")]) == 1


def test_as_a_module(world: SmallWorld) -> None:
    path = world.write(world.evaluate_job(small_cell(backbone=None)))
    done = subprocess.run(
        [sys.executable, "-m", "harness.jobs", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("evaluate denoise NAFNet base seed 0\ndone in ")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("x"), "data"),
        (MissingWeights("x"), "weights"),
        (HarnessError("x", kind="nan"), "nan"),
        (HarnessError("x"), "suite"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (OSError(errno.EROFS, "Read-only file system"), "storage"),
        (OSError(errno.ENOENT, "No such file"), "bug"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (Exception("IoError: No space left on device (os error 28)"), "storage"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("x"), "bug"),
    ],
)
def test_classes(error: BaseException, kind: str) -> None:
    assert classify(error) == kind


def test_messages_are_valid_text_whatever_a_part_raises() -> None:
    assert message(ValueError(chr(0xD800))) == r"ValueError: \ud800"


def test_messages_keep_the_hint_and_name_the_class_of_bugs() -> None:
    assert message(HarnessError("what", where="here", hint="that")) == "here: what\n  try: that"
    assert message(KeyError("x")) == "KeyError: 'x'"
    assert message(ValueError()) == "ValueError"
