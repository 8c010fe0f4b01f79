"""What numbers depend on beside weights and images: kept through the calls of parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.core.errors import HarnessError
from harness.core.running import import_file
from harness.parts.guard import called

PART = import_file(str(Path(__file__).with_name("guest.py"))).Guest()


def test_settings_that_a_part_changes_are_put_back(caplog: pytest.LogCaptureFixture) -> None:
    before = (torch.get_num_threads(), torch.get_deterministic_debug_mode(), os.getcwd())
    for _ in range(2):
        with called(PART):
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(before[0] + 1)
            torch.set_grad_enabled(False)
            torch.set_deterministic_debug_mode("default" if before[1] else "warn")
            torch.set_default_device("meta")
            np.seterr(all="raise")
            os.chdir("/")
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert torch.zeros(1).device.type == "cpu"
    assert np.geterr()["divide"] == "warn"
    assert (torch.get_num_threads(), torch.get_deterministic_debug_mode(), os.getcwd()) == before
    assert caplog.text.count("Guest changes settings of torch") == 1


BACKENDS: Any = torch.backends  # stubs see the modules, and not the objects that torch puts in their places


@pytest.mark.parametrize(
    "change",
    [
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True),
        lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
        lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
        lambda: setattr(BACKENDS.cudnn, "fp32_precision", "tf32"),
        lambda: setattr(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
        lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
        lambda: setattr(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: setattr(BACKENDS.cudnn, "benchmark", not BACKENDS.cudnn.benchmark),
        lambda: setattr(BACKENDS.cudnn, "deterministic", not BACKENDS.cudnn.deterministic),
        lambda: setattr(BACKENDS.cudnn, "enabled", False),
        lambda: setattr(BACKENDS.mkldnn, "enabled", False),
        lambda: torch.set_flush_denormal(True),
        lambda: BACKENDS.cuda.enable_math_sdp(False),
        lambda: torch.set_autocast_enabled("cpu", True),
    ],
)
def test_settings_that_numbers_depend_on_are_put_back(change: Callable[[], Any]) -> None:
    before = state()
    with called(PART):
        change()
        assert state() != before
    assert state() == before


def state() -> tuple[Any, ...]:
    """Read one by one: a test of the table of settings by that table would see nothing that it lacks."""
    precision: list[Any] = []
    for read in (torch.get_float32_matmul_precision, lambda: BACKENDS.cuda.matmul.allow_tf32):
        try:
            precision.append(read())
        except RuntimeError:  # torch's word for a mixture of its older and newer names
            precision.append("mixed")
    precision += [
        BACKENDS.fp32_precision, BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.conv.fp32_precision,
        BACKENDS.cudnn.rnn.fp32_precision, BACKENDS.cudnn.fp32_precision, BACKENDS.mkldnn.matmul.fp32_precision,
    ]  # fmt: skip
    cudnn = (BACKENDS.cudnn.enabled, BACKENDS.cudnn.benchmark, BACKENDS.cudnn.deterministic)
    attention = (BACKENDS.cuda.math_sdp_enabled(), BACKENDS.mkldnn.enabled, torch.is_autocast_enabled("cpu"))
    keeps_denormals = bool((torch.tensor([1e-40]) * 1).item())
    return (*precision, *cudnn, *attention, keeps_denormals)


def test_who_seeds_torch_changes_nobody_elses_draws() -> None:
    torch.manual_seed(11)
    first = torch.rand(2)
    undisturbed = torch.rand(3)
    torch.manual_seed(11)
    assert torch.equal(torch.rand(2), first)
    with called(PART):
        torch.manual_seed(0)
        torch.rand(5)
    assert (torch.initial_seed(), torch.equal(torch.rand(3), undisturbed)) == (11, True)


def test_draws_without_a_seed_go_on_where_they_end() -> None:
    torch.manual_seed(11)
    drawn = torch.rand(5)
    torch.manual_seed(11)
    with called(PART):
        assert torch.equal(torch.rand(2), drawn[:2])
    assert torch.equal(torch.rand(3), drawn[2:])


def test_a_change_that_cannot_be_undone_is_the_parts_fault() -> None:
    device = torch.device("meta")
    try:
        with (
            pytest.raises(HarnessError, match=r"Guest leaves settings of torch .*: default device") as caught,
            called(PART),
        ):
            device.__enter__()
        assert caught.value.kind == "plugin"
    finally:
        device.__exit__(None, None, None)
    assert torch.zeros(1).device.type == "cpu"
