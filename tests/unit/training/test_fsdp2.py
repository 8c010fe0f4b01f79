"""FSDP2 on two processes equals one plain process, and what it leaves is whole, by name, for any other form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.sharded import differences, run_both
from tests.unit.training.sharded_gang import Task

pytestmark = pytest.mark.xdist_group("fsdp2")  # its trainings are made once, for all tests

CLIPPED: dict[str, Any] = {"clip": 0.05, "micro": 1}
RESTART: dict[str, Any] = {"restart": 2, "rates": {"backbone.intro": 0.1}, "optimizer": "sgd"}
PLAIN = [
    Task("clipped", steps=3, **CLIPPED),
    Task("unclipped", steps=3),
    Task("restart", steps=4, **RESTART),
    Task("tiny", steps=4, odd="tiny"),
    Task("first", steps=2),
    Task("whole", steps=4),
]
CUT = [
    Task("cut-clipped", "fsdp2", steps=3, **CLIPPED),
    Task("cut-restart", "fsdp2", steps=4, **RESTART),
    Task("cut-tiny", "fsdp2", steps=4, odd="tiny"),
    Task("cut-first", "fsdp2", steps=2),
    Task("plain-then-cut", "fsdp2", steps=2, first=2, load="first"),
    Task("halves", "fsdp2", steps=1, precision="fp16"),
    Task("scalar", "fsdp2", steps=1, odd="scalar"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all results lie."""
    then = Task("cut-then-plain", steps=2, first=2, load="cut-first")
    return run_both(tmp_path_factory.mktemp("fsdp2"), PLAIN, CUT, [then])


def test_clipping_micro_batches_and_the_average_are_those_of_one_process(folder: Path) -> None:
    found = differences(folder, "cut-clipped", "clipped")
    assert max(found.loss, found.weights, found.average, found.moments) < 1e-6
    assert differences(folder, "unclipped", "clipped").moments > 1e-4


def test_a_second_stage_with_rates_of_its_own_and_sgd_without_its_fused_step(folder: Path) -> None:
    found = differences(folder, "cut-restart", "restart")
    assert found.loss < 1e-6
    assert max(found.weights, found.average) < 1e-6
    assert found.moments < 2e-5


def test_parameters_of_fewer_numbers_than_processes(folder: Path) -> None:
    found = differences(folder, "cut-tiny", "tiny")
    assert max(found.loss, found.weights, found.average, found.moments) < 1e-6


@pytest.mark.parametrize("resumed", ["cut-then-plain", "plain-then-cut"])
def test_a_training_goes_on_under_another_form_and_number_of_processes(folder: Path, resumed: str) -> None:
    found = differences(folder, resumed, "whole", since=2)
    assert max(found.loss, found.weights, found.average, found.moments) < 1e-6


def test_what_it_cannot_train_is_told_with_what_to_try(folder: Path) -> None:
    halves = torch.load(folder / "halves.pt", weights_only=True)["refused"]
    assert halves.startswith("recipe.precision: fp16")
    assert "try: precision: bf16, or strategy: ddp" in halves
    scalar = torch.load(folder / "scalar.pt", weights_only=True)["refused"]
    assert scalar.startswith("run.strategy: inner.gain: a parameter that is one number without an axis")
    assert "try: strategy: ddp" in scalar
