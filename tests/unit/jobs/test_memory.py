"""What jobs say when memory gives out."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.cells.cell import Variant
from harness.core.errors import HarnessError
from harness.data import prepare as data_prepare
from harness.jobs import features, train
from harness.planning.job import FeaturesWork
from tests.report_world import cell_of, context, held_out, prepare, world
from tests.small_world import SmallWorld, low_light

__all__ = ["world"]


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        (train, "train", "out of memory while batches of 2 crops of 32×32 pixels were trained on (MemoryError: 9 GiB)"),
        (
            features,
            "encode_exact",
            "out of memory while it saw 2 images of height 48 and width 40 (MemoryError: 9 GiB)",
        ),
    ],
)
def test_other_jobs_say_what_did_not_fit_into_memory(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, module: ModuleType, function: str, words: str
) -> None:
    cell = cell_of(variant=Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss")))
    wanted = cell.test_features(*held_out(cell, "plain"))
    assert wanted is not None
    prepare(world, cell.train_samples, wanted.samples)
    job = world.job(FeaturesWork(features=wanted)) if module is features else world.train_job(cell_of())

    def fails(*given: Any, **options: Any) -> None:
        raise MemoryError("9 GiB")

    monkeypatch.setattr(module, function, fails)
    with pytest.raises(HarnessError) as caught:
        module.run(job, context(world))
    assert (caught.value.kind, caught.value.what) == ("memory", words)
    assert "a machine with more memory" in caught.value.hint


def test_preparation_says_which_image_did_not_fit(world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> None:
        raise MemoryError("9 GiB")

    monkeypatch.setattr(data_prepare, "degrade", fails)
    with pytest.raises(HarnessError) as caught:
        prepare(world, *held_out(cell_of(task=low_light()), "plain"))
    assert caught.value.kind == "memory"
    assert str(caught.value).startswith("image 't' of plain (height 48, width 40): out of memory while this image was")
