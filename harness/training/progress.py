"""How far a training has come: what its checkpoints say beside weights, and what its record is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cells.suite import Run
from harness.training.engines.choose import strategy_of
from harness.training.journal import Pending
from harness.training.resume import Resumed


@dataclass
class Progress:
    """How far training has come. `seconds`: in the loop, over all attempts."""

    step: int = 0
    position: int = 0
    """Samples seen, which is the position in the sample stream: a stage goes on where the one before it ended, so that
    no stage meets the order and the draws of another one again."""
    seconds: float = 0.0
    final_loss: float = math.nan
    processes: int = 1
    """Number of processes, over which every batch is divided."""
    legs: list[dict[str, Any]] = field(default_factory=list)
    """The fields of the record's `Leg` of every part of the training by other processes, this one's last."""
    takes_statistics: bool = False
    """Whether a batch norm of the network or of a loss has normalised by what it saw together."""
    together: int = 1
    """Trainings that took their steps with it behind one pass of the same backbone, at most, itself included."""
    compilation: dict[str, Any] | None = None
    """The fields of the record's `Compilation`, of the last attempt; None where nothing was to be compiled."""
    forms: dict[str, str] = field(default_factory=dict)
    """What the record tells of them (harness.parts.ops.forms)."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    """What every process has told of the graphs (harness.training.verdicts)."""
    pending: Pending = field(default_factory=Pending)

    def told(self) -> dict[str, Any]:
        """What a checkpoint says of it."""
        return {
            "position": self.position,
            "seconds": self.seconds,
            "final_loss": self.final_loss,
            "pending": [list(self.pending.sums), self.pending.steps],
            "legs": self.legs,
            "takes_statistics": self.takes_statistics,
            "together": self.together,
            "compilation": self.compilation,
            "forms": self.forms,
            "verdicts": self.verdicts,
        }


def progress_of(found: Resumed) -> Progress:
    """Where a checkpoint left off."""
    state = found.state
    sums, steps = state["pending"]
    pending = Pending(tuple(sums), steps)
    legs = list(state.get("legs", ()))  # checkpoints of earlier releases tell neither these nor what follows
    return Progress(
        found.step,
        state["position"],
        state["seconds"],
        state["final_loss"],
        processes=legs[-1]["processes"] if legs else 1,
        legs=legs,
        takes_statistics=state.get("takes_statistics", False),
        together=state.get("together", 1),
        compilation=state.get("compilation"),
        forms=state.get("forms", {}),
        verdicts=state.get("verdicts", []),
        pending=pending,
    )


def legs_with(progress: Progress, run: Run, on: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a checkpoint says of who trained so far, with those who go on, where they are others. `on`: the fields of a
    `Leg` that tell their machine and code."""
    own = {"processes": progress.processes, "strategy": strategy_of(run, progress.processes), **on}
    if progress.legs and progress.legs[-1] == {"after": progress.legs[-1]["after"], **own}:
        return progress.legs
    return [*progress.legs, {"after": progress.step, **own}]
