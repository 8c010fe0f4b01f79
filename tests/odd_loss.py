"""A loss that does, in one step of one process, what a test asks for: it kills, freezes or fails its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm
from harness.planning.job import Job
from tests.small_world import RECIPE, RUN, SmallWorld, small_cell

_ODD = '''
import os
import signal
import threading
import time

from torch import nn

from harness.api.loss import LossTraits


class Odd(nn.Module):
    """A plain loss; in the fifth step of process ODD_RANK, if the environment has ODD, it does what that says."""

    traits = LossTraits()

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, restored_BCHW, truth_BCHW):
        self.calls += 1
        if self.calls == 5 and os.environ.get("RANK", "0") == os.environ.get("ODD_RANK", "1"):
            self.act(os.environ.get("ODD"))
        return (restored_BCHW - truth_BCHW).abs().mean()

    def act(self, what):
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if what == "raise":
            raise KeyError("mine")
        if what == "memory":
            raise MemoryError
        if what == "away":
            out = os.environ["ODD_FILE"]
            os.rename(out, out + ".away")
            threading.Timer(0.5, os.rename, [out + ".away", out]).start()
        if what == "wait":
            open(os.environ["ODD_FILE"], "w").close()
            time.sleep(600)


CATALOGUE = (("loss", "odd", "Odd"),)
'''


def odd_job(world: SmallWorld, folder: Path, **run: Any) -> tuple[Job, Cell]:
    """A training with that loss, whose file lies in `folder`, and fields of its `run:`."""
    file = folder / "odd.py"
    file.write_text(_ODD)
    recipe = RECIPE.model_copy(update={"losses": (LossTerm(part=PartRef(name="odd", version="1")),)})
    cell = small_cell(recipe=recipe)
    return world.train_job(cell, plugins=(str(file),), run=RUN.model_copy(update=run)), cell
