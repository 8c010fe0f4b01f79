"""Pictures that a cell is trained on and tested on, and pictures that a test set has twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api.reference import PartRef
from harness.cells.overlaps import trained_on
from harness.core.errors import HarnessError
from harness.data import overlaps
from harness.data.audit import Same, same_pictures
from harness.data.images import open_dataset
from harness.data.overlaps import Overlap
from harness.data.prints import Prints, keep_prints, prints_of
from harness.jobs import evaluate, train
from harness.jobs.leaks import _leak, audit_test
from harness.planning.job import TrainWork
from tests.report_sets import dataset, report_registry
from tests.report_world import cell_of, context, held_out, prepare, trained, world
from tests.small_world import SmallWorld

__all__ = ["world"]


def test_twins_of_a_test_set_are_a_warning_on_record(world: SmallWorld) -> None:
    cell = cell_of(backbone=None)
    sets = held_out(cell, "twins", "plain")
    prepare(world, *sets)
    evaluate.run(world.evaluate_job(cell, tests=sets), context(world))
    pair = "test images '926_10' and '926_10(1)' of twins are identical pixels: its means count the picture twice"
    assert {each.dataset: each.warnings for each in world.record(cell).evaluations} == {"twins": (pair,), "plain": ()}


def test_the_training_images_of_base_and_prior_source_are_compared_through_chains(world: SmallWorld) -> None:
    source = cell_of("plain")
    base = cell_of("twins", base=None, prior_source=source)
    cell = cell_of("sliver", base=base)
    assert [ref.name for ref in trained_on(cell)] == ["sliver", "twins", "plain"]
    assert trained_on(cell_of(backbone=None)) == ()
    here = context(world)
    assert audit_test(cell_of("plain"), dataset("elsewhere"), "test", here).leak is not None
    chained = cell_of("plain", base=cell_of("plain", seed=4))
    leak = audit_test(chained, dataset("elsewhere"), "test", here).leak
    assert leak is not None
    assert leak.where == "data sets plain and elsewhere"


def test_pictures_are_compared_once_for_all_cells_and_a_damaged_verdict_again(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, compared = context(world), []
    compare = same_pictures

    def counted(*given: Prints) -> Iterator[Same]:
        compared.append(given)
        return compare(*given)

    def found(seed: int) -> list[object]:
        cell = cell_of("plain", seed=seed)
        audits = [audit_test(cell, dataset(name), "test", here) for name in ("elsewhere", "plain", "twins")]
        return [(str(audit.leak), audit.warnings) for audit in audits]

    monkeypatch.setattr(overlaps, "same_pictures", counted)
    first = found(0)
    assert len(compared) == 3
    monkeypatch.setattr("harness.jobs.leaks.kept_prints", lambda *given: pytest.fail("prints are read"))
    assert found(1) == first
    assert len(compared) == 3
    monkeypatch.undo()
    monkeypatch.setattr(overlaps, "same_pictures", counted)
    for path in (world.layout.data / "prints").glob("*.json"):
        text = path.read_text()
        path.write_text(text.replace('"count": 1', '"count": 2').replace('"overlap": null', '"overlap": 1'))
    assert found(2) == first
    assert len(compared) == 6


def test_a_verdict_is_of_the_pictures_that_it_compared(world: SmallWorld) -> None:
    """Another fingerprint is another question, and so are other rules and the other split of a set."""
    here, cell = context(world), cell_of("plain")
    assert audit_test(cell, dataset("plain"), "test", here).leak is None
    assert audit_test(cell, dataset("plain"), "train", here).leak is not None
    assert audit_test(cell, dataset("elsewhere"), "test", here).leak is not None


def test_a_set_that_cannot_be_read_here_is_a_warning_and_no_verdict(world: SmallWorld) -> None:
    found = audit_test(cell_of("plain"), dataset("gray"), "test", context(world))
    assert found.leak is None
    assert found.warnings[0].startswith("not compared with the test images of gray, which cannot be read: ")


def test_training_is_refused_when_any_test_set_leaks(world: SmallWorld) -> None:
    cell = cell_of()
    prepare(world, cell.train_samples)
    for tests in (("elsewhere",), ("elsewhere", "plain"), ("plain", "elsewhere")):
        work = TrainWork(cell=cell, tests=tuple(map(dataset, tests)))
        with pytest.raises(HarnessError, match="train image 'a' of plain and test image 'same' of elsewhere") as caught:
            train.run(world.job(work), context(world))
        assert caught.value.kind == "data"
        assert "allow_overlap: true" in caught.value.hint
    assert not world.layout.final_weights(cell.id).exists()


def test_what_the_suite_allows_is_trained_scored_and_told(world: SmallWorld, caplog: pytest.LogCaptureFixture) -> None:
    cell = cell_of()
    sets = held_out(cell, "elsewhere", "plain")
    prepare(world, cell.train_samples, *sets)
    work = TrainWork(cell=cell, tests=(dataset("elsewhere"), dataset("plain")))
    train.run(world.job(work, allow_overlap=True), context(world))
    assert any("the suite allows it" in line.message for line in caplog.records)
    job = world.evaluate_job(cell, tests=sets)
    evaluate.run(job.model_copy(update={"allow_overlap": True}), context(world))
    record = world.record(cell)
    assert record.status == "done"
    told = {each.dataset: (each.overlap, sorted(each.metrics)) for each in record.evaluations}
    near = "nearly the same picture, mirrored: 0 of 64 hash bits differ, correlation 0.999"
    leak = f"train image 'a' of plain and test image 'same' of elsewhere are {near}"
    assert told == {"elsewhere": (leak, ["psnr", "ssim"]), "plain": ("", ["psnr", "ssim"])}


def test_a_leaking_set_of_a_cell_that_was_trained_before_is_left_out_and_scored_once_allowed(
    world: SmallWorld,
) -> None:
    cell = trained(world)
    sets = held_out(cell, "elsewhere", "plain")
    prepare(world, *sets)
    job = world.evaluate_job(cell, tests=sets)
    with pytest.raises(HarnessError, match=r"not scored: .*test image 'same' of elsewhere"):
        evaluate.run(job, context(world))
    found = {each.dataset: each for each in world.record(cell).evaluations}
    assert not found["elsewhere"].metrics
    assert sorted(found["plain"].metrics) == ["psnr", "ssim"]
    evaluate.run(job.model_copy(update={"allow_overlap": True}), context(world))
    found = {each.dataset: each for each in world.record(cell).evaluations}
    assert sorted(found["elsewhere"].metrics) == ["psnr", "ssim"]
    assert found["elsewhere"].overlap
    assert not found["elsewhere"].left_out


def test_the_kept_prints_of_the_library_spare_reading_the_images(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    monkeypatch.setenv("PRIORBENCH_DATA", str(library))
    monkeypatch.setattr("harness.jobs.leaks.take_prints", lambda *given: pytest.fail("images are read"))
    for name, split in (("plain", "train"), ("elsewhere", "test")):
        ref = dataset(name)
        keep_prints(prints_of(open_dataset(ref, report_registry()).images(split)), ref, split, library)
    assert audit_test(cell_of("plain"), dataset("elsewhere"), "test", context(world)).leak is not None


def test_two_sets_of_one_name_are_told_by_their_places() -> None:
    train, test = (PartRef(name="folder", files={"gt": place, "lq": "/dark"}) for place in ("/a/gt", "/b/gt"))
    leak = _leak(train, test, "test", Overlap(one="x", other="y", how="identical pixels", count=1))
    assert leak.where == "data sets folder (/a/gt) and folder (/b/gt)"
