"""Hostile parts in real jobs: contained, told with file and line, and without a trace in what others read."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api.declaration import declaration
from harness.api.prior import PriorTraits
from harness.api.reference import PartRef
from harness.cells.recipe import LossTerm
from harness.core import guests
from harness.core.errors import HarnessError
from harness.jobs.run import run_job_file
from harness.models.priors import encode_exact
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from tests.small_world import RECIPE, SmallWorld, small_cell

LOSS = '''
from torch import nn

from harness.api.loss import LossTraits
import words

class Odd(nn.Module):
    """A loss."""

    traits = LossTraits()

    def __init__(self):
        super().__init__()

    def forward(self, restored_BCHW, truth_BCHW):
        {act}

CATALOGUE = (("loss", "odd", "Odd"),)
'''


def odd_job(world: SmallWorld, folder: Path, act: str, version: str = "1"):
    file = folder / "odd.py"
    file.write_text(LOSS.format(act=act))
    (folder / "words.py").write_text("def say(): return {}['deep']\n")
    term = LossTerm(part=PartRef(name="odd", version=version))
    cell = small_cell(recipe=RECIPE.model_copy(update={"losses": (term,)}))
    return world.train_job(cell, plugins=(str(file),)), file


@pytest.mark.parametrize(
    ("act", "place", "said"),
    [
        ("return words.say()", "words.py:1", "loss odd: KeyError: 'deep'"),
        (
            "truth_BCHW.zero_(); return (restored_BCHW - truth_BCHW).abs().mean()",
            "odd.py:7",
            "Odd changes what it is",
        ),
        ("return (restored_BCHW - truth_BCHW).abs()", "odd.py:7", "try: return one float: .mean()"),
        ("return restored_BCHW.detach().mean()", "odd.py:7", "Odd has no gradient"),
        ("return None", "odd.py:7", "Odd gives a NoneType and not a tensor"),
        ("raise GeneratorExit", "odd.py:16", "loss odd: GeneratorExit"),
    ],
)
def test_a_hostile_loss_is_told_with_its_place(
    world: SmallWorld, tmp_path: Path, act: str, place: str, said: str
) -> None:
    job, _ = odd_job(world, tmp_path, act)
    outcome = run_job_file(str(world.write(job)))
    assert outcome.failure == "plugin"
    assert f"{tmp_path}/{place}" in outcome.message
    assert said in outcome.message


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("act", "place", "said"),
    [
        ("import os; os._exit(0)", "odd.py:16", "os._exit(0)"),
        (
            "import os, threading; t = threading.Thread(target=lambda: os._exit(0)); t.start(); t.join(); "
            "return (restored_BCHW - truth_BCHW).abs().mean()",
            "odd.py:16",
            "a thread ends the process: os._exit(0)",
        ),
        (
            "truth_BCHW.numpy()[:] = 0; return (restored_BCHW - truth_BCHW).abs().mean()",
            "odd.py:7",
            "Odd changes what it is given",
        ),
        (
            "import sys; sys.path.append(__file__[:-6]); name = 'hidden'; __import__('builtins').__import__(name); "
            "return (restored_BCHW - truth_BCHW).abs().mean()",
            "odd.py",
            "hidden.py in a way that cannot be seen",
        ),
    ],
)
def test_a_loss_that_goes_round_the_boundary_is_told(
    world: SmallWorld, tmp_path: Path, act: str, place: str, said: str
) -> None:
    job, _ = odd_job(world, tmp_path, act)
    (tmp_path / "hidden.py").write_text("")
    path = list(sys.path)
    try:
        outcome = run_job_file(str(world.write(job)))
    finally:
        sys.path[:] = path
    assert outcome.failure == "plugin"
    assert f"{tmp_path / place}" in outcome.message
    assert said in outcome.message


def test_an_interrupt_of_its_own_making_ends_its_job_alone(world: SmallWorld, tmp_path: Path) -> None:
    job, _ = odd_job(world, tmp_path, "raise KeyboardInterrupt")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        guests.tell_interrupts()
        outcome = run_job_file(str(world.write(job)))
        assert outcome.failure == "plugin"
        assert "odd.py:16: loss odd: it raises KeyboardInterrupt" in outcome.message
        real, _ = odd_job(world, tmp_path / "..", "import signal; signal.raise_signal(signal.SIGINT)")
        with pytest.raises(guests.UserInterrupt):
            run_job_file(str(world.write(real)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_plug_in_that_changed_since_planning_is_not_run(world: SmallWorld, tmp_path: Path) -> None:
    job, file = odd_job(
        world, tmp_path, "return (restored_BCHW - truth_BCHW).abs().mean()", version="1+0123456789abcdef"
    )
    outcome = run_job_file(str(world.write(job)))
    assert outcome.failure == "suite"
    assert "odd has changed since this job was planned" in outcome.message
    version = declaration(extend(REGISTRY, [str(file)]), "loss", "odd").version
    job, _ = odd_job(world, tmp_path, "return (restored_BCHW - truth_BCHW).abs().mean()", version=version)
    assert run_job_file(str(world.write(job))).failure is None


class Eager:
    """A prior that spoils its input."""

    traits = PriorTraits()
    dim = 3

    def encode(self, lq_BCHW: torch.Tensor) -> torch.Tensor:
        rows = lq_BCHW.mean((2, 3)).clone()
        lq_BCHW.zero_()
        return rows


def test_a_prior_cannot_alter_the_batch() -> None:
    batch = torch.rand(2, 3, 4, 4)
    kept = batch.clone()
    rows = encode_exact(Eager(), batch)  # type: ignore[arg-type]
    assert torch.equal(batch, kept)
    np.testing.assert_allclose(rows.numpy(), kept.numpy().mean((2, 3)), rtol=1e-6)


def test_two_rows_an_image_are_refused() -> None:
    class Twice(Eager):
        def encode(self, lq_BCHW: torch.Tensor) -> torch.Tensor:
            return torch.ones(2, 3)

    with pytest.raises(HarnessError, match="Twice gives 2×3 for 1×3×4×4, and its dim is 3"):
        encode_exact(Twice(), torch.rand(2, 3, 4, 4))  # type: ignore[arg-type]
