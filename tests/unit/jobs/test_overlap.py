"""Reading, restoring and scoring at the same time gives what one image after the other gives, to the byte.

A machine with a GPU works so; here the CPU is made to.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.api.metric import MetricTraits
from harness.api.protocols import LOL_GTMEAN, NOISE_SEED0, RGB_FLOAT, RGB_UINT8, RGB_UINT8_SCENES, SIDD
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet, Samples
from harness.api.task import EvaluationProtocol, Sides
from harness.cells.cell import Cell
from harness.core.errors import DataError, HarnessError
from harness.core.guests import UserInterrupt
from harness.core.registry import Entry
from harness.data.samples import OpenSamples, open_samples
from harness.evaluation.batches import Batches
from harness.evaluation.infer import Seen, restore_together
from harness.evaluation.score import goes_beside
from harness.jobs import evaluate, overlap, train
from harness.jobs.context import Context
from harness.jobs.evaluate import Restorer, settings_of
from harness.jobs.inputs import Inputs
from harness.jobs.overlap import Beside, Overlap, Wanted
from harness.jobs.scoring import Evaluation, Scored, Scoring
from harness.parts.catalogue import REGISTRY
from harness.parts.metrics.psnr import PSNR
from harness.records.images import ImageRow
from tests.small_metrics import plain_metric
from tests.small_world import SmallWorld, held_out, low_light, refined_cell, small_cell
from tests.small_world import prepare as prepare_world
from tests.stored_set import picture, store
from tests.unit.jobs.test_evaluate import FUSSY, WIDE

CPU = torch.device("cpu")
READ = EvaluationProtocol("read", 1, read=(24, 32))
THROUGH = EvaluationProtocol("through", 1, through=(16, 48))
TEST = PreparedSet(dataset=PartRef(name="arrays"), split="test")
WAYS = (1, 3)
"""Images of a batch."""


def beside(together: Any, batch: int, threads: int = 3) -> Beside:
    return Beside(CPU, Batches(together, lambda sides: batch), threads)


def read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are read, in their threads, before anything is restored from now on: batches are as full as can be."""
    own = Overlap._begun

    def begun(self: Overlap, pool: ThreadPoolExecutor, row: int) -> Any:
        found = own(self, pool, row)
        found.exception()
        return found

    monkeypatch.setattr(Overlap, "_begun", begun)


def overlapped(monkeypatch: pytest.MonkeyPatch, batch: int = 3) -> None:
    """Jobs work as they do on a GPU from now on, with batches of so many images."""
    read_first(monkeypatch)

    def of(self: Restorer, inputs: Inputs) -> Beside | None:
        if self.cell.backbone is None:
            return None
        model, told = self._network(inputs), settings_of(inputs.opened)
        return beside(lambda images, through: restore_together(model, images, CPU, told, through), batch)

    monkeypatch.setattr(Restorer, "beside", of)


def results(world: SmallWorld, cell: Cell) -> tuple[Any, ...]:
    """All that an evaluation leaves, but how long it took."""
    record = world.record(cell)
    each = [evaluation.model_copy(update={"seconds": 0.0}) for evaluation in record.evaluations]
    strips = {path.name: path.read_bytes() for path in sorted(world.layout.samples(cell.id).iterdir())}
    return world.layout.images(cell.id).read_bytes(), each, strips, record.status


def evaluated(world: SmallWorld, cell: Cell, context: Context | None = None, **asked: Any) -> tuple[Any, ...]:
    """What the evaluation of a trained cell leaves, begun anew, and the error that it ends with."""
    torch.set_num_threads(1)
    said = ""
    try:
        evaluate.run(world.evaluate_job(cell, **asked), context or world.context)
    except HarnessError as error:
        said = str(error)
    found = (*results(world, cell), said)
    record = world.record(cell)
    from harness.records import store as records

    records.save(world.layout, record.model_copy(update={"evaluations": (), "images_sha256": None}))
    for path in (world.layout.images(cell.id), *world.layout.samples(cell.id).iterdir()):
        path.unlink()
    return found


@pytest.mark.parametrize("batch", WAYS)
@pytest.mark.parametrize("cell", [small_cell(), refined_cell()], ids=["base", "prior"])
def test_a_job_leaves_the_same_to_the_byte(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, cell: Cell, batch: int
) -> None:
    """Drawn noise, told settings and prior rows; several protocols, one of floats and one that draws otherwise."""
    train.run(world.train_job(cell), world.context)
    protocols = (RGB_UINT8, SIDD, RGB_FLOAT, NOISE_SEED0, RGB_UINT8_SCENES, WIDE)
    asked: dict[str, Any] = {"metrics": ("psnr", "ssim", "mae"), "protocols": protocols}
    asked["tests"] = (held_out(cell), cell.test_set(cell.train).samples("seed0"))
    if cell.variant.prior is not None:
        asked["tests"], asked["protocols"] = asked["tests"][:1], (RGB_UINT8, SIDD, RGB_FLOAT, WIDE)
    expected = evaluated(world, cell, **asked)
    overlapped(monkeypatch, batch)
    assert evaluated(world, cell, **asked) == expected
    assert len(expected[1]) == len(protocols) if cell.variant.prior is None else 4
    assert "cuts 400 pixels" in expected[-1]


def test_stored_images_are_read_in_threads_and_drawn_ones_too(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []
    own = OpenSamples.pair

    def pair(self: OpenSamples, row: int) -> Any:
        seen.append(threading.current_thread().name)
        return own(self, row)

    cell = small_cell()
    train.run(world.train_job(cell), world.context)
    monkeypatch.setattr(OpenSamples, "pair", pair)
    overlapped(monkeypatch)
    evaluated(world, cell)
    assert len(seen) == 3
    assert all(name.startswith("scoring") for name in seen)


GUESTS = """
import threading

import numpy as np

from harness.api.degradation import DegradationTraits
from harness.api.metric import MetricTraits
from harness.parts.metrics.psnr import PSNR

SEEN = []


class Mine(PSNR):
    traits = MetricTraits(higher_is_better=True, masked=True)

    def __init__(self, protocol):
        super().__init__(protocol)

    def __call__(self, restored, truth, mask=None):
        SEEN.append(("metric", threading.current_thread() is threading.main_thread(), float(restored.mean())))
        return super().__call__(restored, truth, mask)


class Noise:
    traits = DegradationTraits(quantised=False)

    def __call__(self, clean, random):
        SEEN.append(("noise", threading.current_thread() is threading.main_thread(), 0.0))
        return clean + random.normal(0, 0.1, clean.shape).astype(np.float32)
"""


def test_what_users_bring_runs_in_the_main_thread_and_in_the_order_of_the_images(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "guests.py"
    file.write_text(GUESTS)
    registry = REGISTRY.extended(
        [Entry("metric", "mine", f"{file}:Mine"), Entry("degradation", "mine", f"{file}:Noise")]
    )
    mine = registry.load("metric", "mine")
    assert not goes_beside(mine(RGB_UINT8)), "what it inherits says nothing of it"
    assert goes_beside(PSNR(RGB_UINT8))
    seen = __import__("sys").modules[mine.__module__].SEEN
    cell = small_cell()
    train.run(world.train_job(cell), world.context)
    noise = PartRef(name="mine", drawn=True)
    samples = held_out(cell).model_copy(update={"noise": noise})
    asked: dict[str, Any] = {"metrics": ("psnr", plain_metric("mine")), "tests": (samples,)}
    expected = evaluated(world, cell, Context(world.layout, registry), **asked)
    order = [value for what, _, value in seen if what == "metric"]
    seen.clear()
    overlapped(monkeypatch)
    assert evaluated(world, cell, Context(world.layout, registry), **asked) == expected
    assert [value for what, _, value in seen if what == "metric"] == order
    assert all(in_main for _, in_main, _ in seen)
    assert {what for what, _, _ in seen} == {"metric", "noise"}


def test_the_harnesss_metrics_are_computed_in_threads(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    own = PSNR.__call__

    def call(self: PSNR, *images: np.ndarray) -> float:
        seen.append(threading.current_thread().name)
        return own(self, *images)

    cell = small_cell()
    train.run(world.train_job(cell), world.context)
    monkeypatch.setattr(PSNR, "__call__", call)
    evaluated(world, cell)
    assert set(seen) == {threading.main_thread().name}, "nothing changes on a CPU"
    seen.clear()
    overlapped(monkeypatch)
    evaluated(world, cell)
    assert len(seen) == 3
    assert all(name.startswith("scoring") for name in seen)


def test_a_metric_that_refuses_an_image_is_told_the_same_and_not_asked_again(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "fussy.py"
    file.write_text(FUSSY.replace('raise DataError("only cats")', 'raise ZeroDivisionError("only cats")'))
    registry = REGISTRY.extended([Entry("metric", "fussy", f"{file}:Fussy")])
    refuses = plain_metric("fussy").model_copy(
        update={"part": PartRef(name="fussy", options={"refuses": True}), "key": "fussy(refuses)"}
    )
    cell = small_cell()
    train.run(world.train_job(cell), world.context)
    asked: dict[str, Any] = {"metrics": (refuses, "psnr", plain_metric("fussy")), "protocols": (RGB_UINT8, SIDD)}
    expected = evaluated(world, cell, Context(world.layout, registry), **asked)
    logged = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    overlapped(monkeypatch)
    assert evaluated(world, cell, Context(world.layout, registry), **asked) == expected
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == logged
    assert logged.count("metric fussy(refuses) is left out") == 2, "under two protocols, once each"
    assert "image coffee of photos" in expected[-1]


SIZES = ((20, 30), (30, 20), (20, 30), (20, 30), (30, 20), (9, 40), (20, 30), (30, 20), (20, 30), (30, 20))
"""Two orientations in turn, and one image that is too small for SSIM."""


def opened(folder: Path, sizes: Sequence[Sides] = SIZES) -> Inputs:
    samples = [
        {"key": f"k{n}", "scene": f"s{n % 3}", "lq": picture(n, *size), "gt": picture(99 + n, *size)}
        for n, size in enumerate(sizes)
    ]
    store(TEST, samples, folder)
    named = Samples(stored=TEST)
    return Inputs(named, open_samples(named, REGISTRY, folder))


def inverted(images: Sequence[Seen], through: Sides | None) -> Tensor:
    return torch.from_numpy(np.stack([np.float32(1) - image.lq_HWC for image in images]))


def begun(inputs: Inputs, way: Beside | None, together: Any = inverted) -> Scoring:
    protocols = (RGB_UINT8, READ, LOL_GTMEAN, THROUGH, RGB_FLOAT)
    parts = {name: PartRef(name=name) for name in ("ssim", "psnr", "mae")}
    evaluations = [Evaluation(protocol.name, protocol, parts, None) for protocol in protocols]

    def restore(lq: np.ndarray, prior: Any, truth: Any, through: Sides | None) -> np.ndarray:
        return together([Seen(lq, prior, truth)], through)[0].numpy()

    return Scoring.begin(small_cell(), inputs, evaluations, restore, REGISTRY, "arrays", way)


def scored(inputs: Inputs, way: Beside | None, **more: Any) -> tuple[dict[str, Scored], list[Any]]:
    strips: list[Any] = []

    def write(name: str, images: tuple[np.ndarray, ...]) -> None:
        strips.append((name, [image.tobytes() for image in images]))

    return begun(inputs, way).score(strips=2, write=write, **more), strips


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("held", [1, 2000, 2**24])
def test_images_of_mixed_sizes_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, held: int
) -> None:
    monkeypatch.setattr(overlap, "HELD_PIXELS", held)
    read_first(monkeypatch)
    inputs = opened(tmp_path)
    seen: list[int] = []

    def together(images: Sequence[Seen], through: Sides | None) -> Tensor:
        seen.append(len(images))
        return inverted(images, through)

    expected, strips = scored(inputs, None)
    assert scored(inputs, beside(together, batch)) == (expected, strips)
    keys = [row.key for row in expected["rgb_uint8"].rows if row.metric == "psnr"]
    assert keys == [f"k{n}" for n in range(len(SIZES))]
    assert "image k5 of arrays" in expected["rgb_uint8"].left_out["ssim"].why
    assert (max(seen) > 1) == (batch > 1 and held > 2000), seen


@pytest.mark.parametrize("sizes", [SIZES, ((20, 30),) * 10], ids=["a metric fails meanwhile", "none fails"])
def test_values_that_are_there_are_kept_and_nothing_is_restored_for_them(
    tmp_path: Path, sizes: Sequence[Sides]
) -> None:
    seen: list[Seen] = []
    inputs = opened(tmp_path, sizes)

    def together(images: Sequence[Seen], through: Sides | None) -> Tensor:
        seen.extend(images)
        return inverted(images, through)

    whole, _ = scored(inputs, None)
    ready: dict[str, list[ImageRow]] = {}
    for each in whole.values():
        for row in each.rows:
            if row.key in ("k1", "k2", "k8"):
                ready.setdefault(row.key, []).append(row._replace(value=row.value + 1))
    ready["k7"] = [row for row in whole["rgb_uint8"].rows if row.key == "k7"]  # under one protocol of five
    expected, strips = scored(inputs, None, ready=ready)
    assert scored(inputs, beside(together, 1), ready=ready) == (expected, strips)
    assert expected != whole
    assert seen
    for number in (1, 2, 8) if sizes != SIZES else ():  # what lacks only the values of a metric that fails is restored
        there = inputs.opened.pair(number).lq.astype(np.float32) / np.float32(255)
        assert not any(np.array_equal(image.lq_HWC, there) for image in seen), f"k{number}"


def test_a_part_of_the_images_has_the_rows_of_these(tmp_path: Path) -> None:
    inputs = opened(tmp_path)
    expected = list(begun(inputs, None).part(range(3, 8)))
    assert list(begun(inputs, beside(inverted, 2)).part(range(3, 8))) == expected
    assert len(expected) == 5


def fails_at(key: int, inputs: Inputs, how: Any) -> Any:
    """A network that does `how` to the image of this number."""
    sought = inputs.opened.pair(key).lq.astype(np.float32) / np.float32(255)

    def together(images: Sequence[Seen], through: Sides | None) -> Tensor:
        restored = inverted(images, through)
        for place, image in enumerate(images):
            if image.lq_HWC.shape == sought.shape and np.array_equal(image.lq_HWC, sought):
                how(restored[place])
        return restored

    return together


def raises(restored: Tensor) -> None:
    raise ValueError("not this one")


def runs_out(restored: Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def leaves_nan(restored: Tensor) -> None:
    restored[3, 3] = torch.nan


@pytest.mark.parametrize("how", [raises, runs_out, leaves_nan])
@pytest.mark.parametrize("batch", [1, 4])
def test_an_image_that_cannot_be_scored_is_named_when_its_turn_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, batch: int
) -> None:
    read_first(monkeypatch)
    inputs = opened(tmp_path)
    told, rows = [], []
    for way in (None, beside(fails_at(6, inputs, how), batch)):
        scoring = begun(inputs, way, fails_at(6, inputs, how))
        found: list[Any] = []
        with pytest.raises(HarnessError) as caught:
            found.extend(scoring.part(range(len(SIZES))))
        told.append((str(caught.value), caught.value.kind))
        rows.append(found)
    assert told[0] == told[1]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 6
    assert "k6" in told[0][0]


def test_an_image_that_cannot_be_read_is_named_when_its_turn_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, own = opened(tmp_path), OpenSamples.pair

    def pair(self: OpenSamples, row: int) -> Any:
        if row == 4:
            raise DataError("it is damaged", where="image k4")
        return own(self, row)

    monkeypatch.setattr(OpenSamples, "pair", pair)
    found: list[Any] = []
    with pytest.raises(DataError, match="it is damaged"):
        found.extend(begun(inputs, beside(inverted, 2)).part(range(len(SIZES))))
    assert len(found) == 4


def threads() -> Iterator[str]:
    return (each.name for each in threading.enumerate() if each.name.startswith("scoring"))


def test_ctrl_c_ends_it_with_its_threads(tmp_path: Path) -> None:
    inputs = opened(tmp_path)

    def interrupted(restored: Tensor) -> None:
        raise UserInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(begun(inputs, beside(fails_at(3, inputs, interrupted), 1)).part(range(len(SIZES))))
    assert list(threads()) == []


def test_no_more_images_are_held_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that does not end until told holds up the first image: only so many are read behind it."""
    inputs, own, read = opened(tmp_path, ((20, 30),) * 10), OpenSamples.pair, []
    go_on = threading.Event()

    def pair(self: OpenSamples, row: int) -> Any:
        read.append(row)
        return own(self, row)

    def together(images: Sequence[Seen], through: Sides | None) -> Tensor:
        restored_at.append(len(read))
        if len(restored_at) == 3:
            go_on.set()
        return inverted(images, through)

    restored_at: list[int] = []
    monkeypatch.setattr(OpenSamples, "pair", pair)
    monkeypatch.setattr(overlap, "HELD_PIXELS", 3 * 600)
    monkeypatch.setattr(PSNR, "__call__", lambda *given: float(go_on.wait(60)))
    parts = {"psnr": PartRef(name="psnr")}
    scoring = Scoring.begin(
        small_cell(), inputs, [Evaluation("e", RGB_UINT8, parts, None)], lambda *given: given[0], REGISTRY, "arrays",
        beside(together, 1),
    )  # fmt: skip
    assert len(list(scoring.part(range(10)))) == 10
    assert max(restored_at[:3]) <= 3, "three are held, and the first is not scored before the third is restored"
    assert go_on.is_set()


def reads_when(monkeypatch: pytest.MonkeyPatch, row: int, told: threading.Event) -> list[bool]:
    """The image of this row, and those behind it, are read when it is told; gives whether it was, one by one."""
    own, found = OpenSamples.pair, []

    def pair(self: OpenSamples, number: int) -> Any:
        if number >= row:
            found.append(told.wait(5))
        return own(self, number)

    monkeypatch.setattr(OpenSamples, "pair", pair)
    return found


def test_the_first_images_are_restored_while_others_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, launched = opened(tmp_path, ((20, 30),) * 6), threading.Event()
    expected = list(begun(inputs, None).part(range(6)))
    in_time = reads_when(monkeypatch, 1, launched)

    def together(images: Sequence[Seen], through: Sides | None) -> Tensor:
        launched.set()
        return inverted(images, through)

    assert list(begun(inputs, beside(together, 2)).part(range(6))) == expected
    assert in_time == [True] * 5


class Event:
    """When a device has done its work: now, or not yet."""

    def __init__(self, done: bool) -> None:
        self.done = done

    def query(self) -> bool:
        return self.done


@pytest.mark.parametrize(("done", "full"), [(True, False), (False, True)])
def test_a_fuller_batch_is_waited_for_only_while_the_device_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool, full: bool
) -> None:
    inputs, told = opened(tmp_path, ((20, 30),) * 3), threading.Event()
    reads_when(monkeypatch, 2, told)
    way = Overlap(begun(inputs, beside(inverted, 3)), beside(inverted, 3))
    way._last = Event(done)  # type: ignore[assignment]
    with ThreadPoolExecutor(3) as pool:
        assert way._fill(pool, iter([Wanted(row) for row in range(3)]), None) is None
        *read, last = way._held
        views = [image.views() for image in read]  # waits for these
        size = views[0][0].size
        if full:
            told.set()
        found = list(way._alike(size))
        told.set()
    assert found == [view for image in (way._held if full else read) for view in image.views() if view.size == size]
    assert last.is_read


class Counted(deque[Any]):
    """Counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


def test_what_is_known_is_neither_held_back_nor_counted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values hold no pixels, whatever its size; and many images do not go through all others for each."""
    inputs = opened(tmp_path, ((20, 30), *((30, 40),) * 9))
    expected, _ = scored(inputs, None)
    known: dict[int, list[ImageRow]] = {row: [] for row in range(1, 9)}
    for each in (row for found in expected.values() for row in found.rows if row.key not in ("k0", "k9")):
        known[int(each.key[1:])].append(each)
    monkeypatch.setattr(overlap, "HELD_PIXELS", 20 * 30)
    way = Overlap(begun(inputs, beside(inverted, 1)), beside(inverted, 1))
    way._held = held = Counted()
    with ThreadPoolExecutor(1) as pool:
        left = way._fill(pool, iter([Wanted(row, ready=known.get(row, ())) for row in range(10)]), None)
    assert left == Wanted(9), "beside the first one there is no room for its pixels"
    assert len(held) == 9, "those between hold none"
    assert held.times == 0
    way._held.clear()
    way._pixels = 0
    found = list(way.images(iter([Wanted(row, ready=known.get(row, ())) for row in range(10)])))
    assert [rows[0].key for rows in found] == [f"k{row}" for row in range(10)]
    assert way._pixels == 0


class Twice:
    """A metric of this package's that is asked in the main thread."""

    traits = MetricTraits(higher_is_better=True)


def test_only_metrics_that_say_so_go_beside() -> None:
    assert not goes_beside(Twice())  # type: ignore[arg-type]
    beside_ = {name for name in ("psnr", "ssim", "mae") if goes_beside(REGISTRY.load("metric", name)(RGB_UINT8))}
    assert beside_ == {"psnr", "ssim", "mae"}


def test_stored_degraded_images(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = small_cell(task=low_light())
    prepare_world(world, cell)
    train.run(world.train_job(cell), world.context)
    expected = evaluated(world, cell)
    overlapped(monkeypatch)
    assert evaluated(world, cell) == expected
