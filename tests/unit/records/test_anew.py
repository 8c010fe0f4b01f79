"""Cells that are made again: old results stay until the new ones are whole, whatever moment a kill chooses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from harness.api.protocols import RGB_UINT8, SIDD
from harness.core.outlast import outlasting
from harness.core.paths import Layout, write_bytes
from harness.records import anew, store
from harness.records.model import Failure
from harness.records.remake import Outdated, Remake
from tests.unit.records import made
from tests.unit.records.made import cell, degraded, values

OLD, NEW = values([20.0], [0.5]), values([30.0], [0.9])


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "data")


def making(layout: Layout, cell_id: str) -> Layout:
    return Layout(layout.out, layout.data, frozenset([cell_id]))


def psnr(layout: Layout, cell_id: str) -> float:
    table = store.load_images(layout, cell_id).to_pylist()
    return next(row["value"] for row in table if row["metric"] == "psnr")


def made_again(layout: Layout) -> str:
    """A finished cell, and beside it its whole replacement."""
    content = cell()
    made.finish(layout, content, OLD)
    anew.begin(layout, content.id, Remake(purpose="train"))
    made.finish(making(layout, content.id), content, NEW)
    return content.id


def leftovers(layout: Layout) -> list[str]:
    return sorted(path.name for path in (layout.out / "cells").iterdir() if path.name.startswith("."))


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, function: Callable[[], object], *, after: bool) -> bool:
    """Runs until the rename of that number, which still happens if `after`; False when there are fewer."""
    real, count = os.rename, 0

    def rename(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        nonlocal count
        count += 1
        if count == number and not after:
            raise Killed
        real(source, target)
        if count == number:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename)
        try:
            function()
        except Killed:
            return True
    return False


def test_a_swap_waits_for_a_disk_that_is_away(layout):
    cell_id = made_again(layout)
    aside = layout.out.with_name("aside")
    with outlasting(*layout.roots):
        layout.out.rename(aside)
        timer = threading.Timer(0.3, aside.rename, [layout.out])
        timer.start()
        anew.swap(layout, cell_id)
        timer.join()
    assert psnr(layout, cell_id) == 30.0
    assert leftovers(layout) == []


def test_the_old_cell_is_read_until_the_swap_and_jobs_read_the_new_one(layout):
    cell_id = made_again(layout)
    assert psnr(layout, cell_id) == 20.0
    assert psnr(making(layout, cell_id), cell_id) == 30.0
    anew.swap(layout, cell_id)
    assert (psnr(layout, cell_id), psnr(making(layout, cell_id), cell_id)) == (30.0, 30.0)
    assert leftovers(layout) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_at_any_rename_of_a_swap_loses_nothing(layout, monkeypatch, number, after):
    cell_id = made_again(layout)
    anew.mark_whole(layout, cell_id)
    assert killed_at(monkeypatch, number, lambda: anew.swap(layout, cell_id), after=after)
    assert psnr(layout, cell_id) in (20.0, 30.0)  # a table that is shown now is whole
    assert anew.waiting(layout)
    anew.recover(layout)
    assert psnr(layout, cell_id) == 30.0
    assert leftovers(layout) == []
    assert not anew.waiting(layout)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 4))
def test_a_kill_during_the_recovery_is_recovered_from(layout, monkeypatch, number, after):
    cell_id = made_again(layout)
    anew.mark_whole(layout, cell_id)
    assert killed_at(monkeypatch, 2, lambda: anew.swap(layout, cell_id), after=False)
    killed_at(monkeypatch, number, lambda: anew.recover(layout), after=after)
    assert psnr(layout, cell_id) in (20.0, 30.0)
    anew.recover(layout)
    assert psnr(layout, cell_id) == 30.0
    assert leftovers(layout) == []


def test_a_half_made_cell_stays_beside_and_is_gone_on_with(layout):
    content = cell()
    made.finish(layout, content, OLD)
    anew.begin(layout, content.id, Remake(purpose="train"))
    step = making(layout, content.id).checkpoints(content.id) / "step-00000004"
    step.mkdir(parents=True)
    assert not anew.waiting(layout)
    assert anew.recover(layout) == []
    anew.begin(layout, content.id, Remake(purpose="train"))
    assert step.is_dir()
    assert psnr(layout, content.id) == 20.0


def test_a_whole_new_cell_that_a_kill_left_is_swapped_in(layout):
    cell_id = made_again(layout)
    assert anew.recover(layout) == []
    anew.mark_whole(layout, cell_id)
    assert anew.recover(layout) == [cell_id]
    assert psnr(layout, cell_id) == 30.0


def test_what_an_earlier_release_was_killed_at_is_swept(layout):
    leftover = layout.out / "cells" / f".{cell().id}.0123abcd.tmp"
    leftover.mkdir(parents=True)
    (leftover / "record.json").write_text("{}")
    anew.recover(layout)
    assert leftovers(layout) == []


def test_evaluations_alone_are_made_again_from_the_training_on_record(layout):
    content = cell()
    old = made.finish(layout, content, OLD)
    store.append_event(layout, content.id, {"event": "step", "step": 1})
    strip = layout.samples(content.id) / "photos a.png"
    write_bytes(strip, b"a strip")
    gone = Outdated(evaluations=tuple(each.id for each in old.evaluations))
    anew.begin(layout, content.id, Remake(purpose="rescore", outdated=gone))
    new = making(layout, content.id)
    record = store.load(new, content.id)
    assert record is not None
    assert (record.training, record.evaluations, record.status) == (old.training, (), "trained")
    assert new.final_weights(content.id).read_bytes() == layout.final_weights(content.id).read_bytes()
    assert (new.samples(content.id) / strip.name).read_bytes() == b"a strip"
    assert not new.images(content.id).exists()
    store.append_event(new, content.id, {"event": "step", "step": 2})
    assert [event["step"] for event in store.read_events(layout, content.id)] == [1]
    assert store.load(layout, content.id) == old
    assert psnr(layout, content.id) == 20.0


def test_evaluations_that_are_not_outdated_stay_with_their_rows(layout):
    content = cell()
    old = made.finish(layout, content, OLD, protocols=(RGB_UINT8, SIDD), data={"photos": "1", "others": "2"})
    first, second = old.evaluations
    gone = Outdated(evaluations=(first.id,), data=("photos",))
    anew.begin(layout, content.id, Remake(purpose="rescore", outdated=gone))
    record = store.load(making(layout, content.id), content.id)
    assert record is not None
    assert (record.evaluations, record.provenance.data) == ((second,), {"others": "2"})
    rows = store.load_images(making(layout, content.id), content.id).to_pylist()
    assert rows == [row for row in store.load_images(layout, content.id).to_pylist() if row["evaluation"] == second.id]


def test_no_value_is_taken_over_from_a_damaged_table(layout):
    content = cell()
    made.finish(layout, content, OLD)
    layout.images(content.id).write_bytes(b"PAR1")
    anew.begin(layout, content.id, Remake(purpose="rescore"))
    record = store.load(making(layout, content.id), content.id)
    assert record is not None
    assert (record.evaluations, record.images_sha256) == ((), None)


def test_a_folder_of_another_purpose_or_of_an_earlier_state_is_begun_afresh(layout):
    content = cell()
    made.finish(layout, content, OLD)
    new = making(layout, content.id)
    anew.begin(layout, content.id, Remake(purpose="train"))
    new.checkpoints(content.id).mkdir()
    anew.begin(layout, content.id, Remake(purpose="rescore"))
    assert new.final_weights(content.id).is_file()
    anew.begin(layout, content.id, Remake(purpose="train"))
    assert not new.checkpoints(content.id).exists()
    assert store.load(new, content.id) is None
    anew.begin(layout, content.id, Remake(purpose="rescore"))
    made.finish(layout, content, NEW)  # by another suite, in place
    anew.begin(layout, content.id, Remake(purpose="rescore"))
    assert psnr(new, content.id) == 30.0


def test_nothing_is_rescored_without_a_training(layout):
    content = cell()
    made.fail(layout, content)
    anew.begin(layout, content.id, Remake(purpose="rescore"))
    assert not layout.anew_cell(content.id).exists()


def asked(layout: Layout, content) -> tuple[tuple[str, str], ...]:
    record = store.load(layout, content.id)
    assert record is not None
    return tuple((each.id, key) for each in record.evaluations for key in each.metrics)


def test_a_new_folder_that_holds_all_that_is_asked_is_whole_without_a_mark(layout):
    content = cell()
    made.finish(layout, content, OLD)
    anew.begin(layout, content.id, Remake(purpose="train", asked=asked(layout, content), keeps="asked"))
    made.finish(making(layout, content.id), content)  # trained, and then killed
    assert not anew.waiting(layout)
    assert anew.recover(layout) == []
    made.finish(making(layout, content.id), content, NEW)
    assert anew.waiting(layout)
    assert anew.recover(layout) == [content.id]
    assert psnr(layout, content.id) == 30.0
    assert leftovers(layout) == []
    assert not list(layout.placed_cell(content.id).glob(".*"))


def test_a_new_folder_that_lacks_a_good_value_is_not_whole(layout):
    content = cell()
    made.finish(layout, content, OLD)
    wanted = asked(layout, content)
    anew.begin(layout, content.id, Remake(purpose="rescore", asked=wanted, keeps="all"))
    made.finish(making(layout, content.id), content, values([30.0]))
    assert anew.recover(layout) == []
    assert psnr(layout, content.id) == 20.0


def attempt_at(layout: Layout, content, kind: str) -> None:
    anew.note_attempt(
        making(layout, content.id),
        cell_id=content.id,
        cell=content.model_dump(mode="json"),
        labels={},
        attempt=made.ATTEMPT.model_copy(update={"outcome": "failed", "failure": kind, "message": "it broke"}),
        failure=Failure(kind=kind, message="it broke", log="jobs/x.log"),
        provenance=made.PROVENANCE,
    )


@pytest.mark.parametrize("content", [cell(), degraded()])
def test_a_failure_is_noted_on_the_old_record_whose_results_stay(layout, content):
    old = made.finish(layout, content, OLD)
    anew.begin(layout, content.id, Remake(purpose="train"))
    attempt_at(layout, content, "nan")
    found = store.load(layout, content.id)
    assert found is not None
    assert found.failure == Failure(kind="nan", message="it broke", log="jobs/x.log")
    assert (found.training, found.evaluations, found.images_sha256) == (
        old.training,
        old.evaluations,
        old.images_sha256,
    )
    assert psnr(layout, content.id) == 20.0
    assert found.status == old.status == "done"  # it is as complete as before


def test_a_failure_leaves_a_damaged_old_record_as_it_is(layout):
    content = cell()
    made.finish(layout, content, OLD)
    layout.record(content.id).write_text("{")
    anew.begin(layout, content.id, Remake(purpose="train"))
    attempt_at(layout, content, "nan")
    assert layout.record(content.id).read_text() == "{"
    assert store.load(making(layout, content.id), content.id) is not None


def test_a_file_in_the_place_of_a_cell_makes_room(layout):
    content = cell()
    layout.placed_cell(content.id).parent.mkdir(parents=True)
    layout.placed_cell(content.id).write_text("not a folder")
    anew.begin(layout, content.id, Remake(purpose="train"))
    made.finish(making(layout, content.id), content, NEW)
    anew.swap(layout, content.id)
    assert psnr(layout, content.id) == 30.0
    assert leftovers(layout) == []
