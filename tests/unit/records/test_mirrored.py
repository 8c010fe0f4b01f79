"""Results on a store: what is made again replaces the old on all machines at once, whatever moment a kill chooses."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import fsspec
import pytest

from harness.core.paths import Layout
from harness.records import anew, store
from harness.records.job_failures import clear_failure, note_failure, read_failure
from harness.records.mirrored import (
    bring_outcome,
    bring_outcomes,
    bring_results,
    bring_whole,
    job_place,
    send_attempt,
    send_cell,
    send_failure,
)
from harness.records.model import Failure
from harness.records.remake import Remake
from harness.storage import reach
from harness.storage.mirror import shown
from harness.storage.store import Store
from tests.unit.records import made
from tests.unit.records.made import cell, values
from tests.unit.storage.conftest import Machines

OLD, NEW = values([20.0], [0.5]), values([30.0], [0.9])


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setattr(reach, "WAITS", (0.01,))
    yield Machines(tmp_path, monkeypatch)
    fsspec.filesystem("memory").store.clear()


def layout_on(machines: Machines, name: str) -> Layout:
    copy = machines(name)
    return Layout(copy.files, copy.files / "data")


def psnr(layout: Layout, cell_id: str) -> float:
    table = store.load_images(layout, cell_id).to_pylist()
    return next(float(row["value"]) for row in table if row["metric"] == "psnr")


def seen_from(machines: Machines, name: str, cell_id: str) -> float:
    layout = layout_on(machines, name)
    bring_results(layout)
    return psnr(layout, cell_id)


def made_again(machines: Machines, name: str) -> tuple[Layout, str]:
    """A finished cell, and beside it its whole replacement, both on the store."""
    layout, content = layout_on(machines, name), cell()
    made.finish(layout, content, OLD)
    send_cell(layout, content.id)
    anew.begin(layout, content.id, Remake(purpose="train"))
    made.finish(Layout(layout.out, layout.data, frozenset([content.id])), content, NEW)
    anew.mark_whole(layout, content.id)
    return layout, content.id


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int, function: Callable[[], object]) -> bool:
    """Runs until the rename here or the write there of that number; False when there are fewer."""
    left = [step]

    def counted(plain: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return plain(*arguments)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", counted(os.rename))
        for name in ("write", "put", "remove"):
            patched.setattr(Store, name, counted(getattr(Store, name)))
        try:
            function()
        except Killed:
            return True
    return False


def test_a_kill_at_any_step_of_a_swap_is_ended_by_the_next_run_on_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    for step in count(1):
        machines = Machines(tmp_path / str(step), monkeypatch)
        layout, cell_id = made_again(machines, "one")
        assert seen_from(machines, "reader", cell_id) == 20.0
        if not killed_at(monkeypatch, step, partial(anew.swap, layout, cell_id)):
            break
        steps += 1
        assert seen_from(machines, "reader", cell_id) in (20.0, 30.0)
        next_run = layout_on(machines, "one" if step % 2 else "two")
        bring_results(next_run)
        anew.recover(next_run)
        assert psnr(next_run, cell_id) == 30.0
        assert seen_from(machines, "third", cell_id) == 30.0
        assert not [key for key in machines.objects() if ".anew" in key or ".old" in key]
        assert not anew.waiting(next_run)
    assert steps >= 5
    assert seen_from(machines, "reader", cell_id) == 30.0


def test_the_driver_swaps_what_it_has_only_the_records_of(machines: Machines) -> None:
    layout, cell_id = made_again(machines, "worker")
    driver = layout_on(machines, "driver")
    bring_results(driver)
    anew.swap(driver, cell_id)
    other = layout_on(machines, "other")
    bring_whole(other, cell_id)
    assert psnr(other, cell_id) == 30.0
    assert (other.final_weights(cell_id).is_file(), layout.final_weights(cell_id).is_file()) in (
        (True, True),
        (False, False),
    )


def test_an_empty_replacement_is_dropped_everywhere(machines: Machines) -> None:
    layout, content = layout_on(machines, "one"), cell()
    made.finish(layout, content, OLD)
    send_cell(layout, content.id)
    anew.begin(layout, content.id, Remake(purpose="train"))
    assert any(".anew" in key for key in machines.objects())
    anew.drop_empty(layout, content.id)
    assert not any(".anew" in key for key in machines.objects())
    assert seen_from(machines, "two", content.id) == 20.0


def test_rescoring_begins_with_the_weights_that_another_machine_made(machines: Machines) -> None:
    worker, content = layout_on(machines, "worker"), cell()
    made.finish(worker, content, OLD)
    worker.final_weights(content.id).parent.mkdir(exist_ok=True)
    worker.final_weights(content.id).write_bytes(b"weights")
    send_cell(worker, content.id)
    driver = layout_on(machines, "driver")
    bring_results(driver)
    assert not driver.final_weights(content.id).exists()
    anew.begin(driver, content.id, Remake(purpose="rescore"))
    other = layout_on(machines, "other")
    bring_whole(other, content.id)
    assert (other.anew_cell(content.id) / "checkpoint" / "final.safetensors").read_bytes() == b"weights"


def test_the_driver_has_what_a_job_left_elsewhere(machines: Machines) -> None:
    worker, driver, content = layout_on(machines, "worker"), layout_on(machines, "driver"), cell()
    made.finish(worker, content, OLD)
    send_cell(worker, content.id)
    bring_outcome(driver, "train-x", content.id, failed=False)
    assert psnr(driver, content.id) == 20.0
    note_failure(worker, "shards-x", Failure(kind="data", message="no image", log=""))
    send_failure(worker, "shards-x")
    bring_outcome(driver, "shards-x", None, failed=True)
    found = read_failure(driver, "shards-x")
    assert found is not None
    assert found.message == "no image"
    clear_failure(worker, "shards-x")
    send_failure(worker, "shards-x")
    bring_results(driver, shown)
    assert read_failure(driver, "shards-x") is None


def test_the_driver_brings_what_several_jobs_left_at_the_same_time(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, driver, cells = (
        layout_on(machines, "worker"),
        layout_on(machines, "driver"),
        [cell(seed) for seed in (1, 2)],
    )
    for each in cells:
        made.finish(worker, each, OLD)
        send_cell(worker, each.id)
    note_failure(worker, "shards-x", Failure(kind="data", message="no image", log=""))
    send_failure(worker, "shards-x")
    read, firsts, together = Store.read, {each.id for each in cells} | {"shards-x"}, threading.Barrier(3)

    def awaiting(self: Store, key: str) -> bytes | None:
        """Of each, the first object comes when all three are asked for."""
        if (name := key.rpartition("/")[2].partition(".")[0]) in firsts:
            firsts.remove(name)
            together.wait(60)
        return read(self, key)

    monkeypatch.setattr(Store, "read", awaiting)
    jobs = [("train-1", cells[0].id, False), ("evaluate-1", cells[0].id, False), ("train-2", cells[1].id, False)]
    bring_outcomes(driver, [*jobs, ("shards-x", None, True)])
    assert [psnr(driver, each.id) for each in cells] == [20.0, 20.0]
    assert read_failure(driver, "shards-x") is not None
    assert not firsts


def test_workers_find_a_job_by_its_url_and_in_plain_folders_by_its_path(machines: Machines, tmp_path: Path) -> None:
    layout = layout_on(machines, "one")
    layout.job_file("train-x").parent.mkdir()
    layout.job_file("train-x").write_text("{}")
    layout.job_attempt("train-x").write_text("token")
    assert job_place(layout, "train-x") == f"{machines.url}/jobs/train-x.json"
    send_attempt(layout, "train-x")
    assert json.loads(Store(machines.url).read("jobs/train-x.json") or b"") == {"attempt": "token"}
    assert machines.objects() == ["jobs/train-x.json"]
    plain = Layout(tmp_path / "out", tmp_path / "data")
    assert job_place(plain, "train-x") == str(plain.job_file("train-x"))
    send_cell(plain, "0123456789ab")
    bring_results(plain)
