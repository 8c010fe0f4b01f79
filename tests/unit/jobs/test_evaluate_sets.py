"""What one test set, protocol, metric, image or strip costs the others: nothing."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from harness.api.protocols import RGB_UINT8, SIDD
from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.paths import storage_error
from harness.core.registry import Entry
from harness.evaluation import samples as strips
from harness.jobs import evaluate, leaks
from harness.records import store
from harness.records.job_failures import note_failure
from harness.records.model import Failure
from harness.training.journal import Journal
from tests.report_world import cell_of, context, held_out, prepare, refused, trained, world
from tests.small_metrics import plain_metric
from tests.small_world import SmallWorld

__all__ = ["world"]


def by_set(world: SmallWorld, cell: Cell) -> dict[str, tuple[set[str], str]]:
    """Which metrics each test set has on record, and the one reason why others are left out."""
    found = {}
    for each in world.record(cell).evaluations:
        whys = set(each.left_out.values())
        assert len(whys) <= 1
        found[each.dataset] = (set(each.metrics), next(iter(whys), ""))
    return found


BOTH = {"psnr", "ssim"}


def test_a_set_that_leaks_or_is_not_there_leaves_the_others_on_record(world: SmallWorld) -> None:
    cell = trained(world)
    sets = held_out(cell, "elsewhere", "gray", "plain", "twins")
    prepare(world, sets[0], sets[2], sets[3])
    jobs = tuple((f"shards-{name}",) for name in ("elsewhere", "gray", "plain", "twins"))
    note = Failure(kind="data", message="image 'gray': the image is gray\n  try: repeat it", log="gray.log")
    note_failure(world.layout, "shards-gray", note)
    error = refused(world, world.evaluate_job(cell, tests=sets).model_copy(update={"tests": jobs}))
    found = by_set(world, cell)
    assert {name: metrics for name, (metrics, _) in found.items()} == {
        "elsewhere": set(), "gray": set(), "plain": BOTH, "twins": BOTH
    }  # fmt: skip
    leak = found["elsewhere"][1]
    assert leak.startswith("data sets plain and elsewhere: train image 'a' of plain and test image 'same' of elsewhere")
    assert "mirrored" in leak
    assert found["gray"][1] == "test set gray: image 'gray': the image is gray · try: repeat it"
    assert error.kind == "data"
    assert all(why in error.what for _, why in found.values())
    assert {row["dataset"] for row in world.rows(cell)} == {"plain", "twins"}


def test_the_input_is_scored_on_the_sets_that_are_there(world: SmallWorld) -> None:
    cell = cell_of(backbone=None)
    sets = held_out(cell, "gray", "elsewhere", "plain")
    prepare(world, *sets[1:])
    damaged = next(sets[1].stored.folder(world.layout.data).glob("*.tar"))
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    refused(world, world.evaluate_job(cell, tests=sets))
    found = by_set(world, cell)
    assert {name: metrics for name, (metrics, _) in found.items()} == {"gray": set(), "elsewhere": set(), "plain": BOTH}
    assert "does not exist" in found["gray"][1]
    assert "truncated or changed" in found["elsewhere"][1]
    prepare(world, *held_out(cell, "twins"))
    refused(world, world.evaluate_job(cell, tests=(*sets, *held_out(cell, "twins"))))
    assert by_set(world, cell)["twins"][0] == BOTH


BREAKS = '''
import sys
from harness.api.metric import MetricTraits

class Breaks:
    """The mean pixel, but not of every image."""

    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol, *, way: str = "raise"):
        self.way = way

    def __call__(self, restored, truth):
        restored *= 0
        if restored.shape[0] == 48:
            return 1.0
        if self.way == "exit":
            sys.exit(3)
        if self.way == "text":
            return "high"
        raise IndexError("windows are larger")
'''


def test_a_metric_that_breaks_on_one_image_costs_itself_on_that_set_alone(world: SmallWorld, tmp_path: Path) -> None:
    file = tmp_path / "breaks.py"
    file.write_text(BREAKS)
    entry = Entry("metric", "breaks", f"{file}:Breaks")
    own = [plain_metric("breaks")]
    for way in ("exit", "text"):
        part = own[0].part.model_copy(update={"options": {"way": way}})
        own.append(own[0].model_copy(update={"part": part, "key": f"breaks({way})"}))
    cell = cell_of(backbone=None)
    sets = held_out(cell, "sliver", "plain")
    prepare(world, *sets)
    refused(world, world.evaluate_job(cell, tests=sets, metrics=(*own, "psnr"), protocols=(RGB_UINT8, SIDD)), entry)
    every = {"breaks", "breaks(exit)", "breaks(text)"}
    for each in world.record(cell).evaluations:
        assert set(each.metrics) == {"psnr", *(every if each.dataset == "plain" else ())}
        if each.dataset == "sliver":
            where = f"image sliver of sliver (height 8, width 30) under {each.protocol}"
            assert "IndexError: windows are larger" in each.left_out["breaks"]
            assert all(each.left_out[key].startswith(f"{where}: {key}") for key in every)
    psnr = {(row["dataset"], row["key"]): row["value"] for row in world.rows(cell) if row["metric"] == "psnr"}
    assert 19 < psnr["plain", "t"] < 22  # a metric that alters its images does not alter the next one's


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MemoryError("8 GiB"), "memory", "out of memory while this image was restored (MemoryError: 8 GiB)"),
        (RuntimeError("[enforce fail] can't allocate memory: 9 bytes"), "memory", "out of memory"),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 9 bytes"), "memory", "out of memory"),
        (RuntimeError("sizes of tensors must match"), "bug", "could not be restored: RuntimeError: sizes of tensors"),
        (HarnessError("needs 16 rows", kind="suite"), "suite", "could not be restored: needs 16 rows"),
    ],
)
def test_an_image_that_cannot_be_restored_leaves_its_set_out_with_image_size_and_cell(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, words: str
) -> None:
    cell = trained(world)
    sets = held_out(cell, "sliver", "plain")
    prepare(world, *sets)

    def failing(model: Any, lq: np.ndarray, *others: Any) -> np.ndarray:
        if lq.shape[0] == 8:
            raise error
        return lq

    monkeypatch.setattr(evaluate, "restore", failing)
    job = world.evaluate_job(cell, tests=sets, metrics=("psnr",))
    raised = refused(world, job)
    found = by_set(world, cell)
    assert found["plain"] == ({"psnr"}, "")
    metrics, why = found["sliver"]
    assert metrics == set()
    assert why.startswith(f"image sliver of sliver (height 8, width 30) in cell {cell.id}: ")
    assert words in why
    assert ("a machine with more memory" in why) == (kind == "memory")
    assert raised.kind == kind
    kinds = {each.dataset: each.left_out_kinds for each in world.record(cell).evaluations}
    assert kinds == {"plain": {}, "sliver": {"psnr": kind}}

    monkeypatch.setattr(evaluate, "restore", lambda model, lq, *others: lq)
    evaluate.run(job, context(world))  # it is tried again
    assert by_set(world, cell) == {"sliver": ({"psnr"}, ""), "plain": ({"psnr"}, "")}


def test_a_kill_in_the_middle_keeps_the_sets_that_were_done(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = trained(world)
    sets = held_out(cell, "plain", "long_keys", "twins")
    prepare(world, *sets)
    restored: list[int] = []

    def killed(model: Any, lq: np.ndarray, *others: Any) -> np.ndarray:
        if len(restored) == 3:
            raise KeyboardInterrupt
        restored.append(lq.shape[0])
        return lq

    monkeypatch.setattr(evaluate, "restore", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(world.evaluate_job(cell, tests=sets), context(world))
    assert by_set(world, cell) == {"plain": (BOTH, "")}
    assert world.record(cell).status == "trained"
    kept = world.rows(cell)

    def noted(model: object, lq: np.ndarray, *others: object) -> np.ndarray:
        restored.append(lq.shape[0])
        return lq

    monkeypatch.setattr(evaluate, "restore", noted)
    evaluate.run(world.evaluate_job(cell, tests=sets), context(world))
    assert len(restored) == 3 + 5 + 3  # the two images of `plain` are not restored again
    assert [row for row in world.rows(cell) if row["dataset"] == "plain"] == kept
    assert world.record(cell).status == "done"


def test_the_set_that_killed_a_worker_comes_last_when_it_is_tried_again(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = trained(world)
    sets = held_out(cell, "long_keys", "plain")
    prepare(world, *sets)

    def killed(model: Any, lq: np.ndarray, *others: Any) -> np.ndarray:
        sizes.append(lq.shape[0])
        if len(sizes) in (1, 4):  # the first image of `long_keys`, each time
            raise KeyboardInterrupt
        return lq

    sizes: list[int] = []
    monkeypatch.setattr(evaluate, "restore", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate.run(world.evaluate_job(cell, tests=sets), context(world))
    assert by_set(world, cell) == {"plain": (BOTH, "")}


def test_what_a_metric_refused_is_not_tried_again_on_the_same_images(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = trained(world)
    sets = held_out(cell, "sliver")
    prepare(world, *sets)
    first = refused(world, world.evaluate_job(cell, tests=sets))
    assert "SSIM needs at least 11×11 pixels, the image has 30×8" in first.what
    before = world.record(cell)

    def forbidden(*given: Any) -> Any:
        raise AssertionError("restored again")

    monkeypatch.setattr(evaluate, "restore", forbidden)
    again = refused(world, world.evaluate_job(cell, tests=sets))
    assert again.what == first.what
    assert world.record(cell).evaluations[0].left_out == before.evaluations[0].left_out
    assert world.rows(cell) == store.load_images(world.layout, cell.id).to_pylist()
    shard = next(sets[0].stored.folder(world.layout.data).glob("*.tar"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert "truncated" in refused(world, world.evaluate_job(cell, tests=sets)).what
    shard.write_bytes(content)
    monkeypatch.setattr(evaluate, "restore", lambda model, lq, *others: lq)
    assert refused(world, world.evaluate_job(cell, tests=sets)).what == first.what
    newer = plain_metric("ssim").part.model_copy(update={"version": "2"})
    metrics = ("psnr", plain_metric("ssim").model_copy(update={"part": newer}))
    calls: list[int] = []

    def noted(model: object, lq: np.ndarray, *others: object) -> np.ndarray:
        calls.append(1)
        return lq

    monkeypatch.setattr(evaluate, "restore", noted)
    refused(world, world.evaluate_job(cell, tests=sets, metrics=metrics))
    assert len(calls) == 2


def _fails(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException) -> None:
    def fails(*given: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(owner, name, fails)


@pytest.mark.parametrize("what", ["folder", "encoder", "disk", "surprise", "events"])
def test_a_strip_or_an_event_costs_no_score(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    cell = trained(world)
    sets = held_out(cell, "plain")
    prepare(world, *sets)
    full = storage_error(OSError(errno.ENOSPC, "no space left"), Path("x"))
    if what == "folder":
        world.layout.samples(cell.id).write_text("a file where the folder belongs")
    elif what == "encoder":
        monkeypatch.setattr("cv2.imencode", lambda *given: (False, None))
    elif what == "disk":
        _fails(monkeypatch, strips, "write_bytes", full)
    elif what == "surprise":
        _fails(monkeypatch, evaluate, "write_strip", ZeroDivisionError("who knows"))
    else:
        _fails(monkeypatch, Journal, "write", full)
    evaluate.run(world.evaluate_job(cell, tests=sets), context(world))
    assert by_set(world, cell) == {"plain": (BOTH, "")}
    assert any("was not written" in line.message for line in caplog.records)


def test_long_and_alike_keys_give_short_names_of_their_own(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = trained(world)
    sets = held_out(cell, "long_keys")
    prepare(world, *sets)
    monkeypatch.setattr(evaluate, "restore", lambda model, lq, *others: lq)
    run = world.evaluate_job(cell).run.model_copy(update={"samples": 5})
    evaluate.run(world.evaluate_job(cell, tests=sets, run=run), context(world))
    names = sorted(path.name for path in world.layout.samples(cell.id).iterdir())
    assert len({name.lower() for name in names}) == 5
    assert all(len(name.encode()) <= 255 - 15 and name.startswith("long_keys.") for name in names)
    assert "long_keys.img_1.png" in names
    assert any(name.startswith("long_keys.IMG_1~") for name in names)
    assert sum(name.startswith("long_keys.低光照增强真实场景测试集") for name in names) == 2
    assert len({row["key"] for row in world.rows(cell)}) == 5


def test_a_leak_that_is_found_later_takes_all_values_of_its_set(world: SmallWorld, monkeypatch) -> None:
    cell = trained(world)
    sets = held_out(cell, "elsewhere", "plain")
    prepare(world, *sets)
    with monkeypatch.context() as before:
        before.setattr(evaluate, "audit_test", lambda *given: leaks.TestSetAudit(None))
        evaluate.run(world.evaluate_job(cell, tests=sets, metrics=("psnr",)), context(world))
    refused(world, world.evaluate_job(cell, tests=sets))
    leaked, clean = world.record(cell).evaluations
    assert (leaked.metrics, set(leaked.left_out), set(clean.metrics)) == ({}, BOTH, BOTH)
    assert {row["dataset"] for row in world.rows(cell)} == {"plain"}
