"""What a cell rests on is checked when it is read: the weights of its base and of its prior's network, its vectors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.data.features import open_features
from harness.jobs import evaluate, features, train
from harness.planning.job import FeaturesWork
from harness.records import store
from tests.small_world import SmallWorld, held_out, prepare, refined_cell, small_cell

BASE = small_cell()
FROZEN = refined_cell(regime="frozen").model_copy(update={"base": BASE})


def run(world: SmallWorld, cell: Cell) -> None:
    train.run(world.train_job(cell), world.context)


def reader(source: Cell, policy: str = "image") -> Cell:
    """A cell whose prior is the network of another cell."""
    prior = PartRef(name="restoration", digest=source.id)
    variant = Variant(refiner=PartRef(name="ptg_rm"), prior=prior, features=policy)
    return small_cell(variant=variant, prior_source=source)


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def train_otherwise(world: SmallWorld, cell: Cell) -> None:
    """Leaves other weights and the record of them, as a training on another machine would."""
    path = world.layout.final_weights(cell.id)
    state = load_file(path)
    save_file({name: value + 0.01 for name, value in state.items()}, path)
    record = world.record(cell)
    training = record.training.model_copy(update={"checkpoint_sha256": file_sha256(path)})
    store.save(world.layout, record.model_copy(update={"training": training}))


def test_flipped_bytes_in_a_base_are_refused(world: SmallWorld) -> None:
    run(world, BASE)
    flip(world.layout.final_weights(BASE.id))
    with pytest.raises(DataError, match="its trained weights are damaged") as caught:
        run(world, FROZEN)
    assert caught.value.kind == "checkpoint"
    assert f"cell {BASE.id}: {world.layout.final_weights(BASE.id)}" == caught.value.where
    assert caught.value.hint == "bench run SUITE trains it again"


@pytest.mark.parametrize("policy", ["image", "live"])
def test_flipped_bytes_in_a_priors_network_are_refused(world: SmallWorld, policy: str) -> None:
    run(world, BASE)
    flip(world.layout.final_weights(BASE.id))
    cell = reader(BASE, policy)
    with pytest.raises(DataError, match="its trained weights are damaged") as caught:
        prepare(world, cell)
    assert caught.value.kind == "checkpoint"
    if policy == "live":
        with pytest.raises(DataError, match="its trained weights are damaged"):
            run(world, cell)


def test_the_weights_behind_a_live_prior_are_on_record(world: SmallWorld) -> None:
    run(world, BASE)
    cell = reader(BASE, "live")
    run(world, cell)
    found = world.record(cell).provenance.weights
    assert found[f"cell {BASE.id}"] == file_sha256(world.layout.final_weights(BASE.id))


def stop_before_the_end(world: SmallWorld, cell: Cell) -> None:
    """Trains a cell and leaves its checkpoints, as a kill in the last moment does."""

    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run(world, cell)


@pytest.mark.parametrize("changed", [False, True])
def test_a_checkpoint_of_another_base_is_not_gone_on_from(world: SmallWorld, changed: bool) -> None:
    run(world, BASE)
    stop_before_the_end(world, FROZEN)
    if changed:
        train_otherwise(world, BASE)
    run(world, FROZEN)
    events = store.read_events(world.layout, FROZEN.id)
    starts = [event["step"] for event in events if event["event"] == "start"]
    said = [event["message"] for event in events if event["event"] == "warning"]
    if not changed:
        assert (starts[-1], said) == (8, [])
        return
    assert starts[-1] == 0
    assert said == [f"checkpoint of step 8 dropped: it was trained from other cell {BASE.id}"]
    base, after = load_file(world.layout.final_weights(BASE.id)), load_file(world.layout.final_weights(FROZEN.id))
    assert all(torch.equal(after[name], base[name]) for name in base)


def test_vectors_follow_the_network_and_a_mix_is_refused(world: SmallWorld) -> None:
    run(world, BASE)
    cell = reader(BASE)
    prepare(world, cell)
    run(world, cell)
    rows = cell.train_features(0)
    assert rows is not None
    before = open_features(rows, world.layout.data)
    stamp = (rows.folder(world.layout.data) / "manifest.json").stat().st_mtime_ns
    encode = world.job(FeaturesWork(features=rows, prior_source=BASE))
    features.run(encode, world.context)
    assert (rows.folder(world.layout.data) / "manifest.json").stat().st_mtime_ns == stamp  # the same weights

    train_otherwise(world, BASE)
    with pytest.raises(HarnessError, match=f"mixes two states of cell {BASE.id}"):
        run(world, cell.model_copy(update={"seed": 5}))
    tests = cell.test_features(held_out(cell))
    assert tests is not None
    features.run(world.job(FeaturesWork(features=tests, prior_source=BASE)), world.context)
    with pytest.raises(DataError, match=f"mixes two states of cell {BASE.id}"):
        evaluate.run(world.evaluate_job(cell), world.context)
    assert all("psnr" not in each.metrics for each in world.record(cell).evaluations)

    features.run(encode, world.context)
    after = open_features(rows, world.layout.data)
    assert after.manifest["weights"] == {f"cell {BASE.id}": file_sha256(world.layout.final_weights(BASE.id))}
    assert after.manifest_sha256 != before.manifest_sha256
