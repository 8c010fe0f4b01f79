"""ZeRO on two processes equals one plain process, and what it leaves is whole, by name, for any other form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.reference import PartRef
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import DeepSpeed
from harness.cells.zero_config import zero_config, zero_conflicts
from harness.cells.zero_keys import COUNTS, FLAGS
from tests.unit.training.sharded import Differences, differences, run_both
from tests.unit.training.sharded_gang import Task

pytestmark = pytest.mark.xdist_group("deepspeed")  # its trainings are made once, for all tests

CLIPPED: dict[str, Any] = {"clip": 0.05, "micro": 1}
RESTART: dict[str, Any] = {"restart": 2, "rates": {"backbone.intro": 0.1}}
THEN: dict[str, Any] = {"trains": ("backbone.intro", "backbone.ending"), "then": ("backbone.ending",)}
CUT_ALL = json.dumps({"zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0}})
"""ZeRO-3 that cuts small weights as well, which it keeps whole otherwise."""
PLAIN = [
    Task("clipped", steps=3, **CLIPPED),
    Task("restart", steps=4, **RESTART),
    Task("then", steps=4, **THEN),
    Task("tiny", steps=4, odd="tiny"),
    Task("whole", steps=4),
]
SHARDED = [
    Task("two-clipped", "deepspeed2", steps=3, **CLIPPED),
    Task("three-restart", "deepspeed3", steps=4, config=CUT_ALL, **RESTART),
    Task("one-then", "deepspeed1", steps=4, **THEN),
    Task("three-tiny", "deepspeed3", steps=4, config=CUT_ALL, odd="tiny"),
    Task("three-first", "deepspeed3", steps=2, config=CUT_ALL),
    Task("three-then-one", "deepspeed1", steps=2, first=2, load="three-first"),
    Task("unread", "deepspeed2", steps=1, odd="unread"),
]
ALMOST = 1e-6


def small(found: Differences) -> bool:
    return max(found.loss, found.weights, found.average, found.moments) < ALMOST


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all results lie."""
    then = Task("three-then-plain", steps=2, first=2, load="three-first")
    return run_both(tmp_path_factory.mktemp("deepspeed"), PLAIN, SHARDED, [then])


@pytest.mark.slow
def test_clipping_micro_batches_and_the_average_are_those_of_one_process(folder: Path) -> None:
    assert small(differences(folder, "two-clipped", "clipped"))


def test_a_second_stage_begins_a_second_engine(folder: Path) -> None:
    assert small(differences(folder, "three-restart", "restart"))


def test_what_no_longer_trains_neither_moves_nor_forgets(folder: Path) -> None:
    assert small(differences(folder, "one-then", "then"))


def test_padded_shares_are_put_together(folder: Path) -> None:
    assert small(differences(folder, "three-tiny", "tiny"))


@pytest.mark.parametrize("resumed", ["three-then-plain", "three-then-one"])
def test_a_training_goes_on_under_another_form_and_number_of_processes(folder: Path, resumed: str) -> None:
    assert small(differences(folder, resumed, "whole", since=2))


def test_weights_are_compared_over_ranks_where_each_has_them_whole(folder: Path) -> None:
    two = torch.load(folder / "two-clipped.pt", weights_only=True)["checksums"]
    assert len(two) == 2
    assert len(two[0]) == 64
    assert two[0] == two[1]
    assert torch.load(folder / "three-first.pt", weights_only=True)["checksums"] == ["", ""]


def test_weights_that_no_loss_reads_are_refused_before_they_decay(folder: Path) -> None:
    said = torch.load(folder / "unread.pt", weights_only=True)["refused"]
    assert "no loss reads inner.unread.weight, inner.unread.bias" in said
    assert "try: strategy: ddp or fsdp2, or weight_decay: 0" in said


def test_it_says_nothing_on_the_standard_output(folder: Path) -> None:
    assert "DeepSpeed" not in (folder / "rank0.log").read_text().replace("sharded", "")


RECIPE = Recipe(
    steps=4, batch=8, patch=16, micro_batch=2, clip_grad=0.5, losses=(LossTerm(part=PartRef(name="l1")),)
)  # fmt: skip


def test_the_recipe_decides_over_a_file() -> None:
    content = {
        "zero_optimization": {"stage": 2, "overlap_comm": True, "reduce_bucket_size": "auto"},
        "gradient_clipping": 0.5,
        "train_batch_size": 8,
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 2,
        "optimizer": {"type": RECIPE.optimizer, "params": {"lr": "auto", "weight_decay": RECIPE.weight_decay}},
        "fp16": {"enabled": False},
        "wall_clock_breakdown": False,
    }
    own = zero_config(DeepSpeed(config=json.dumps(content)), RECIPE, 2)
    assert own["zero_optimization"] == {"stage": 2, "overlap_comm": True, "reduce_bucket_size": 50_000_000}
    assert (own["gradient_clipping"], own["train_batch_size"]) == (0.5, 2)
    assert not {"optimizer", "fp16"} & own.keys()


def test_all_that_a_file_says_otherwise_is_listed() -> None:
    content = {
        "zero_optimization": {"stage": 2},
        "gradient_clipping": 1.0,
        "train_batch_size": 16,
        "train_micro_batch_size_per_gpu": 8,
        "gradient_accumulation_steps": 1,
        "optimizer": {"type": "Lamb"},
        "bf16": {"enabled": True},
        "tensor_parallel": {"autotp_size": 2},
    }
    found = zero_conflicts(DeepSpeed(config=json.dumps(content)), RECIPE, 2)
    assert len(found) == 7
    assert "gradient_clipping is 1.0, and the recipe's clip_grad is 0.5" in found
    assert len(zero_conflicts(DeepSpeed(config=json.dumps(content)), RECIPE, None)) == 5


def test_every_key_that_a_file_may_have_is_one_of_deepspeed() -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    offloads = {
        "offload_optimizer": {"device": "cpu", "buffer_count": 1}
        | dict.fromkeys(("pin_memory", "pipeline_read", "pipeline_write", "fast_init"), False),
        "offload_param": {"device": "cpu", "pin_memory": False, "buffer_count": 1, "buffer_size": 1, "max_in_cpu": 1},
    }
    section = {"stage": 3} | dict.fromkeys(FLAGS, False) | dict.fromkeys(COUNTS, 1) | offloads
    asked = DeepSpeed(config=json.dumps({"zero_optimization": section}))
    own = zero_config(asked, RECIPE, 2)["zero_optimization"]
    assert own == section
    DeepSpeedZeroConfig(**own)  # refuses unknown keys
