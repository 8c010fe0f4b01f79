"""Training jobs of seconds on real photographs: what they leave, and that nothing is done twice."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cells.cell import Variant
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256, sealed
from harness.core.paths import Layout
from harness.jobs import ready, train
from harness.jobs.classify import classify
from harness.models.assemble import build_model
from harness.parts.backbones.drunet import DRUNet
from harness.records import store
from harness.training.checkpoint import write_checkpoint
from harness.training.loop import Training
from harness.training.passes import MicroBatch, Passes
from tests import stored_set
from tests.small_world import RECIPE, RUN, TINY_NAFNET, SmallWorld, low_light, refined_cell, small_cell


def run(world: SmallWorld, cell, **changes) -> None:
    torch.set_num_threads(1)
    train.run(world.train_job(cell, **changes), world.context)


def weights(world: SmallWorld, cell) -> dict[str, torch.Tensor]:
    return load_file(world.layout.checkpoints(cell.id) / "final.safetensors")


def test_what_a_training_leaves(world: SmallWorld) -> None:
    cell = small_cell()
    run(world, cell)
    record = world.record(cell)
    final = world.layout.checkpoints(cell.id) / "final.safetensors"
    assert record.status == "trained"
    assert record.labels == {"task": "denoise", "backbone": "NAFNet", "variant": "base"}
    assert record.training is not None
    assert record.training.checkpoint_sha256 == file_sha256(final)
    assert (record.training.steps, record.training.images) == (12, 48)
    assert record.training.backbone_parameters == sum(value.numel() for value in weights(world, cell).values())
    assert record.training.added_parameters == 0
    assert sorted(path.name for path in final.parent.iterdir()) == ["final.safetensors"]
    assert list(record.provenance.data) == [f"{cell.train_samples.stored.name}/train"]
    assert record.provenance.threads == 1

    curve = world.curve(cell)
    assert [step for step, _, _ in curve] == [3, 6, 9, 12]
    assert curve[-1][1] == record.training.final_loss
    assert curve[-1][1] < curve[0][1]
    assert curve[-1][2] == pytest.approx(RECIPE.lr_min)
    events = store.read_events(world.layout, cell.id)
    assert [line["event"] for line in events if line["event"] != "step"] == ["start", "checkpoint", "checkpoint", "end"]
    assert all(line["job"] == f"train-{cell.id}" for line in events)


@pytest.mark.parametrize("second", ["A100", "H100"])
def test_a_training_that_moved_says_where_it_was(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    cell, look = small_cell(), Training._look

    def cut_off(self: Training, step: int, *given: Any) -> None:
        look(self, step, *given)
        if step == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(ready, "trains_on", lambda: {"machine": "A100", "code": "a"})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "_look", cut_off)
        run(world, cell)
    monkeypatch.setattr(ready, "trains_on", lambda: {"machine": second, "code": "a"})
    run(world, cell)
    trained = world.record(cell).training
    assert trained is not None
    told = [(leg.after, leg.machine, leg.code) for leg in trained.legs]
    assert told == [(0, "A100", "a"), (8, "H100", "a")][: 2 if second == "H100" else 1]


def test_a_finished_cell_is_not_trained_again(world: SmallWorld) -> None:
    cell = small_cell()
    run(world, cell)
    before = store.read_events(world.layout, cell.id)
    stamp = (world.layout.checkpoints(cell.id) / "final.safetensors").stat().st_mtime_ns
    run(world, cell)
    assert store.read_events(world.layout, cell.id) == before
    assert (world.layout.checkpoints(cell.id) / "final.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("loss", ["weights", "record"])
def test_lost_or_changed_results_are_made_again_and_equal(world: SmallWorld, loss: str) -> None:
    cell = small_cell()
    run(world, cell)
    final = world.layout.checkpoints(cell.id) / "final.safetensors"
    content = final.read_bytes()
    if loss == "weights":
        final.write_bytes(content[:-4] + b"\0\0\0\0")
    else:
        world.layout.record(cell.id).write_text("{ not json")
    run(world, cell)
    assert final.read_bytes() == content
    assert world.record(cell).training is not None


def test_the_interval_of_lines_and_checkpoints_changes_no_weight(world: SmallWorld) -> None:
    cell = small_cell()
    run(world, cell, run=RUN.model_copy(update={"checkpoint_every": 5, "log_every": 2}))
    other = SmallWorld(type(world.layout)(world.layout.out / "other", world.layout.data))
    run(other, cell, run=RUN.model_copy(update={"checkpoint_every": 100, "log_every": 100}))
    one, two = weights(world, cell), weights(other, cell)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert [step for step, _, _ in other.curve(cell)] == [12]
    means = [loss for _, loss, _ in world.curve(cell)]
    assert other.curve(cell)[0][1] == pytest.approx(sum(means) / len(means), rel=1e-5)


def test_seeds_give_other_networks(world: SmallWorld) -> None:
    one, two = small_cell(), small_cell(seed=1)
    run(world, one)
    run(world, two)
    assert world.curve(one)[0][1] != world.curve(two)[0][1]


def test_a_network_that_is_told_the_one_noise_level_of_its_task_learns_as_if_it_were_not(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: training at one σ has the same map in every step, whether the images say it or the option."""
    drunet = PartRef(name="drunet", options={"nc": [4, 4, 4, 4], "nb": 1, "sigma": 25.0})
    cell = small_cell(backbone=drunet)
    run(world, cell)
    learnt = weights(world, cell)
    levels: list[object] = []
    forward = DRUNet.forward

    def untold(self: DRUNet, lq_BCHW: torch.Tensor, sigma_B: torch.Tensor | None = None) -> torch.Tensor:
        levels.append(None if sigma_B is None else sigma_B.tolist())
        return forward(self, lq_BCHW)

    monkeypatch.setattr(DRUNet, "forward", untold)
    world.layout.final_weights(cell.id).unlink()
    run(world, cell)
    assert levels == [[25.0] * 4] * 12
    again = weights(world, cell)
    assert all(torch.equal(learnt[key], again[key]) for key in learnt)


def test_the_refiner_trains_with_cached_vectors(world: SmallWorld) -> None:
    cell = refined_cell()
    run(world, cell)
    record = world.record(cell)
    assert record.training is not None
    assert record.training.added_parameters > 100_000
    assert record.training.prior_saw == "no image", "random vectors"
    assert record.training.forms.items() >= {"ptg_rm": "plain", "dynamic_filter": "lean"}.items(), "32 pixels wide"
    assert f"features of {cell.train_samples.name}/train" in record.provenance.data
    assert any(key.startswith("refiner.") for key in weights(world, cell))


def test_frozen_moves_only_the_refiner_and_from_base_moves_both(world: SmallWorld) -> None:
    base = small_cell()
    run(world, base)
    start = weights(world, base)
    moved = {}
    for regime in ("frozen", "from_base"):
        cell = refined_cell(regime=regime).model_copy(update={"base": base})
        run(world, cell)
        after = weights(world, cell)
        moved[regime] = any(not torch.equal(start[key], after[key]) for key in start)
        assert world.record(cell).provenance.weights == {
            f"cell {base.id}": world.record(base).training.checkpoint_sha256  # type: ignore[union-attr]
        }
    assert moved == {"frozen": False, "from_base": True}


def test_a_missing_base_is_a_checkpoint_failure(world: SmallWorld) -> None:
    cell = refined_cell(regime="frozen").model_copy(update={"base": small_cell()})
    with pytest.raises(HarnessError, match=r"final\.safetensors") as caught:
        run(world, cell)
    assert caught.value.kind == "checkpoint"


def test_live_equals_cached_bit_for_bit(world: SmallWorld) -> None:
    """The same prior, encoded during training instead of before it; features of the crops of a grid."""
    from tests.small_world import prepare

    recipe = RECIPE.model_copy(update={"steps": 4, "augment": "none", "crop": "grid", "stride": 320})
    variants = [
        Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss"), features=policy)
        for policy in ("crop", "live")
    ]
    cells = [small_cell(task=low_light(), recipe=recipe, variant=variant) for variant in variants]
    prepare(world, cells[0])
    losses = []
    for cell in cells:
        # The same initial weights: they are drawn under the cell's id, which the policy is part of.
        losses.append(_first_loss(world, cell, like=cells[0]))
    assert math.isfinite(losses[0])
    assert losses[0] == losses[1]


def _first_loss(world: SmallWorld, cell, *, like) -> float:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ready, "build_model", lambda given, registry, width: build_model(like, registry, width))
        run(world, cell)
    return world.curve(cell)[-1][1]


def test_derived_priors_cannot_be_live(world: SmallWorld) -> None:
    with pytest.raises(HarnessError, match="derived from cached vectors"):
        run(world, refined_cell(features="live"))


def test_more_gpus_than_processes_is_refused(world: SmallWorld) -> None:
    with pytest.raises(HarnessError, match="the job is for 2 processes, and 1 began it"):
        run(world, small_cell(), run=RUN.model_copy(update={"gpus": 2}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_gpu_that_is_not_there_is_no_cpu(world: SmallWorld) -> None:
    with pytest.raises(HarnessError, match="asks for a GPU, and this process sees none"):
        run(world, small_cell(), run=RUN.model_copy(update={"gpus": 1}))


def test_half_the_micro_batch_is_the_same_training_and_noted(world: SmallWorld) -> None:
    """The driver hands a job out so when memory ran out."""
    cell = small_cell()
    whole = SmallWorld(Layout(world.layout.out / "whole", world.layout.data))
    sizes: list[int] = []
    real = Passes.forward

    def watched(self: Passes, part: MicroBatch) -> Any:
        sizes.append(len(part.seen_BCHW))
        return real(self, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passes, "forward", watched)
        run(whole, cell)
        assert set(sizes) == {4}
        sizes.clear()
        run(world, cell, halved=1)
        assert set(sizes) == {2}
    training, before = world.record(cell).training, whole.record(cell).training
    assert training is not None
    assert before is not None
    assert (training.halved, before.halved, training.processes, training.images) == (1, 0, 1, before.images)
    losses, expected = ([loss for _, loss, _ in each.curve(cell)] for each in (world, whole))
    assert losses == pytest.approx(expected, rel=1e-5)


def test_a_network_with_batch_norm_is_not_trained_by_half_of_what_it_normalises_together(world: SmallWorld) -> None:
    cell = small_cell(backbone=PartRef(name="sci", options={"stage": 1}))
    with pytest.raises(HarnessError, match="2 of 4 images at once would be another training: batch norm") as caught:
        run(world, cell, halved=1)
    assert classify(caught.value) == "memory"


def test_one_image_at_a_time_cannot_be_halved(world: SmallWorld) -> None:
    cell = small_cell(recipe=RECIPE.model_copy(update={"micro_batch": 2}))
    with pytest.raises(HarnessError, match="one image at a time already") as caught:
        run(world, cell, halved=2)
    assert classify(caught.value) == "memory"


def test_a_checkpoint_of_another_release_is_said_and_not_read(world: SmallWorld) -> None:
    """It is as whole as ever; training begins anew, and ends as it would have without."""
    cell = small_cell()
    whole = SmallWorld(Layout(world.layout.out / "whole", world.layout.data))
    run(whole, cell)
    folder = world.layout.checkpoints(cell.id)
    state = {"position": 32, "optimizer": {"state": {}}, "ranks": [{"random": {}}]}
    write_checkpoint(folder, 8, {"weight": torch.zeros(3)}, state, {})
    manifest = json.loads((folder / "step-00000008/manifest.json").read_text())
    old = {name: value for name, value in manifest.items() if name not in ("format", "sealed")}
    (folder / "step-00000008/manifest.json").write_text(json.dumps(sealed(old)))
    run(world, cell)
    warnings = [line for line in store.read_events(world.layout, cell.id) if line["event"] == "warning"]
    assert [line["step"] for line in warnings] == [0]
    assert "checkpoint of step 8 dropped: it was written by another release" in warnings[0]["message"]
    assert world.curve(cell) == whole.curve(cell)
    assert world.layout.final_weights(cell.id).read_bytes() == whole.layout.final_weights(cell.id).read_bytes()


def test_bfloat16_trains(world: SmallWorld) -> None:
    cell = small_cell(recipe=RECIPE.model_copy(update={"precision": "bf16"}))
    run(world, cell)
    assert world.curve(cell)[-1][1] < world.curve(cell)[0][1]
    assert all(value.dtype == torch.float32 for value in weights(world, cell).values())


def test_fp16_on_a_cpu_is_refused_with_advice(world: SmallWorld) -> None:
    with pytest.raises(HarnessError, match="fp16") as caught:
        run(world, small_cell(recipe=RECIPE.model_copy(update={"precision": "fp16"})))
    assert "bf16" in caught.value.hint


def stored_cell(world: SmallWorld, backbone: PartRef = TINY_NAFNET, **images: int | None):
    """A cell of one step on a set of three stored samples. `images`: channels of their degraded and clean images."""
    name = "-".join(f"{side}{channels}" for side, channels in images.items())
    stored = PreparedSet(dataset=PartRef(name=name), split="train")
    if not stored.folder(world.layout.data).exists():
        given = {side: channels for side, channels in images.items() if channels}
        samples = [
            {"key": f"k{n}", "scene": f"k{n}"}
            | {side: stored_set.picture(n, 40, 40, channels) for side, channels in given.items()}
            for n in range(3)
        ]
        stored_set.store(stored, samples, world.layout.data)
    recipe = RECIPE.model_copy(update={"steps": 1})
    return small_cell(task=PartRef(name="low_light"), train=stored.dataset, backbone=backbone, recipe=recipe)


def gray(channels: int) -> PartRef:
    return TINY_NAFNET.model_copy(update={"options": {**TINY_NAFNET.options, "img_channel": channels}})


def test_images_that_the_network_does_not_read_are_refused_before_training(world: SmallWorld) -> None:
    run(world, stored_cell(world, gray(1), lq=1, gt=1))
    cell = stored_cell(world, gray(3), lq=1, gt=1)
    with pytest.raises(DataError, match="reads images of 3 channels, and degraded images here have 1") as caught:
        run(world, cell)
    assert caught.value.where == "samples " + cell.train_samples.name + "/train"
    assert "img_channel: 1" in caught.value.hint
    assert not world.layout.checkpoints(cell.id).exists()


def test_losses_that_read_pairs_need_pairs(world: SmallWorld) -> None:
    with pytest.raises(DataError, match="the loss charbonnier reads pairs, and no image here has both forms"):
        run(world, stored_cell(world, lq=3, gt=None))
