"""`run.deterministic`: what it sets, and what is said of an operation that has no deterministic form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.jobs import determinism
from harness.jobs.classify import classify
from harness.jobs.determinism import refusals_told, settle_determinism
from harness.jobs.run import run_job_file
from harness.parts.losses.charbonnier import Charbonnier
from harness.training.compiler import compiler
from tests.small_world import SmallWorld, small_cell

SETTINGS = (torch.get_deterministic_debug_mode, lambda: torch.backends.cudnn.deterministic)
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(WORKSPACE, raising=False)
    mode, cudnn = torch.get_deterministic_debug_mode(), torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    yield
    torch.set_deterministic_debug_mode(mode)
    cudnn.deterministic, cudnn.benchmark = before


def settled(run: Run, *, trains: bool) -> tuple[int, bool, bool, bool]:
    settle_determinism(run, trains=trains)
    cudnn = torch.backends.cudnn
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    return torch.get_deterministic_debug_mode(), cudnn.deterministic, cudnn.benchmark, filled


@pytest.mark.parametrize(
    ("gpu", "fixed", "trains", "expected"),
    [
        (False, False, True, (1, False, False, False)),
        (False, False, False, (1, False, False, False)),
        (False, True, True, (2, True, False, False)),
        (True, False, True, (0, False, True, False)),
        (True, False, False, (0, False, False, False)),
        (True, True, True, (2, True, False, False)),
        (True, True, False, (2, True, False, False)),
    ],
)
def test_what_is_set(monkeypatch: pytest.MonkeyPatch, gpu, fixed, trains, expected) -> None:
    """One job after the other in one process, whatever the job before had set."""
    monkeypatch.setattr(determinism, "on_gpu", lambda run: gpu)
    for before in (Run(deterministic=not fixed), Run(deterministic=fixed)):
        settle_determinism(before, trains=not trains)
        assert settled(Run(deterministic=fixed), trains=trains) == expected
        assert os.environ[WORKSPACE] == ":4096:8"


def test_the_compiler_is_told(tmp_path: Path) -> None:
    for fixed in (True, False):
        settle_determinism(Run(deterministic=fixed), trains=True)
        with compiler(tmp_path, 1):
            from torch._inductor import config

            assert config.deterministic is fixed


def test_a_workspace_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for own, fixed, expected in ((":16:8", True, ":16:8"), (":0:0", False, ":0:0"), (":0:0", True, ":4096:8")):
        monkeypatch.setenv(WORKSPACE, own)
        settle_determinism(Run(deterministic=fixed), trains=True)
        assert os.environ[WORKSPACE] == expected


def refuse(operation: str) -> None:
    """As torch does, in C++."""
    torch.set_deterministic_debug_mode("error")
    torch._C._get_deterministic_algorithms()
    torch.ops.aten.put_(torch.zeros(2), torch.tensor([0]), torch.ones(1), False)


class Loose(Charbonnier):
    """A loss with an operation that torch refuses on CPUs as well."""

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        refuse("put_")
        return restored_BCHW.sum()


Loose.__module__ = "harness.parts.losses.loose"


def test_a_refused_operation_is_told_with_its_part() -> None:
    with pytest.raises(HarnessError) as caught, refusals_told():
        nn.Sequential(nn.Identity())(torch.zeros(1))
        Loose()(torch.zeros(1), torch.zeros(1))
    told = str(caught.value)
    assert told.startswith("loss Loose: torch has no deterministic form of put_")
    assert "try: run.deterministic: false" in told
    assert classify(caught.value) == "suite"


class _Refusing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        refuse("put_")
        return gradient


def test_one_of_the_gradients_is_told_without() -> None:
    x = torch.zeros(1, requires_grad=True)
    with pytest.raises(HarnessError, match=r"the gradients of the network or a loss: .* put_"), refusals_told():
        _Refusing.apply(x).sum().backward()


def test_it_is_told_whatever_was_made_of_it() -> None:
    with pytest.raises(HarnessError, match="deterministic form of put_") as caught, refusals_told():
        try:
            refuse("put_")
        except RuntimeError as error:
            raise HarnessError("a part's fault", kind="plugin") from error
    assert caught.value.kind == "suite"


def test_any_other_error_stays() -> None:
    for error in (RuntimeError("oh"), HarnessError("ah"), ValueError("x does not have a deterministic implementation")):
        with pytest.raises(type(error)) as caught, refusals_told():
            raise error
        assert caught.value is error


def test_a_process_that_began_otherwise_is_told() -> None:
    said = "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or ..."
    with pytest.raises(HarnessError, match="cuBLAS") as caught, refusals_told():
        raise RuntimeError(said)
    assert WORKSPACE in caught.value.hint


@pytest.mark.parametrize("fixed", [False, True])
def test_a_training_tells_what_was_asked(world: SmallWorld, fixed: bool) -> None:
    cell = small_cell()
    job = world.train_job(cell)
    job = job.model_copy(update={"run": job.run.model_copy(update={"deterministic": fixed})})
    assert run_job_file(str(world.write(job))).failure is None
    training = world.record(cell).training
    assert training is not None
    assert training.deterministic is fixed
