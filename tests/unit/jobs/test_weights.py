"""Cells whose network comes with published weights: nothing is trained, and refiners start from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.jobs import evaluate, train
from harness.models.published import take_in
from harness.records import store
from harness.weights.catalogue import find
from tests.small_weights import state, use_registry
from tests.small_world import RANDOM, TINY_NAFNET, SmallWorld, small_cell


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    use_registry(monkeypatch, tmp_path)
    file = tmp_path / "net.pth"
    torch.save({"params": state()}, file)
    digest = file_sha256(take_in(file, find("small/net")).path)
    return small_cell(backbone=TINY_NAFNET.model_copy(update={"weights": "small/net", "digest": digest}))


def test_the_cell_holds_the_published_weights(world: SmallWorld, base: Cell) -> None:
    train.run(world.train_job(base), world.context)
    final = load_file(world.layout.final_weights(base.id))
    for name, value in state().items():
        assert torch.equal(final[f"backbone.{name}"], value)
    record = world.record(base)
    assert record.status == "trained"
    assert record.training is not None
    assert (record.training.steps, record.training.images, record.training.final_loss) == (0, 0, None)
    assert base.backbone is not None
    assert record.provenance.weights == {"small/net": base.backbone.digest}
    assert record.provenance.data == {}
    store.save(world.layout, record)  # which checks it against the schema
    evaluate.run(world.evaluate_job(base), world.context)
    assert world.record(base).status == "done"


def test_a_refiner_on_a_frozen_network_leaves_it_as_published(world: SmallWorld, base: Cell) -> None:
    variant = Variant(refiner=PartRef(name="ptg_rm"), prior=RANDOM, regime="frozen")
    cell = small_cell(backbone=base.backbone, variant=variant, base=base)
    for each in (base, cell):
        train.run(world.train_job(each), world.context)
    final = load_file(world.layout.final_weights(cell.id))
    for name, value in state().items():
        assert torch.equal(final[f"backbone.{name}"], value)
    training = world.record(cell).training
    assert training is not None
    assert training.steps == 12


def test_a_file_that_was_exchanged_is_refused(world: SmallWorld, base: Cell) -> None:
    place = find("small/net").path
    place.write_bytes(place.read_bytes() + b"!")
    with pytest.raises(DataError) as failure:
        train.run(world.train_job(base), world.context)
    assert failure.value.kind == "weights"
    assert not world.layout.final_weights(base.id).exists()
