"""One micro-batch through the network and its losses: the module that the forms of an engine take over.

The losses are computed inside its forward, so that whoever divides it over processes sees a loss, from which every
gradient of the step follows: what the network gives beside, and what no loss reads, is hidden from them.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.api.batch import Restored
from harness.models.assemble import RestorationModel
from harness.models.boundary import How, as_written
from harness.parts.ops.whole_batch import ALONE, Pass, passing
from harness.training.objective import Images, Objective
from harness.training.outputs import detached


@dataclass(frozen=True)
class MicroBatch:
    """A part of a rank's batch, on the device, float32. One value, so that no engine casts or moves what is in it."""

    seen_BCHW: Tensor
    """What the network sees; `images` are what the losses read."""
    images: Images
    prior_BD: Tensor | None = None
    truth_BCHW: Tensor | None = None
    """Where the network itself sees it."""
    settings: Mapping[str, Tensor] | None = None
    """What the degraded images were made with; None for a network that is not told."""
    step: int = 1
    share: float = 1.0
    """Its share of the rank's images."""
    ranks: int = 1
    number: int = 0
    """The seed of torch's generator before the network, from which those of the losses follow: the same for all parts
    of a group, and another one for each group of a batch."""
    place: Pass = ALONE
    """Which images of the whole batch they are."""


class Passes(nn.Module):
    """A network with the losses of the present stage."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        """No submodule: networks of losses train beside, or not at all."""
        self._how: How = as_written

    def compute(self, how: How) -> None:
        """From now on its networks and losses are computed like that."""
        self._how = how
        if isinstance(self.model, RestorationModel):
            self.model.how = how

    def forward(self, part: MicroBatch) -> tuple[Tensor, Restored]:
        """The loss of a part, a float32 scalar, and what the network gave, without gradients."""
        given = () if part.truth_BCHW is None else (part.truth_BCHW,)
        told = {} if part.settings is None else {"settings": part.settings}
        with passing(part.place):
            # Anew for every part, and just before F: a variant's F drops the same paths as its base.
            torch.manual_seed(part.number)
            restored: Restored = self.model(part.seen_BCHW, part.prior_BD, *given, **told)
            # Losses are computed in float32, whatever the network is computed in.
            with torch.autocast(part.seen_BCHW.device.type, enabled=False):
                loss = self.objective(restored, part.images, how=self._how, **_counted(part))
        return loss, detached(restored)

    def train_adversaries(self, restored: Restored, part: MicroBatch) -> None:
        """Adds the gradients of the adversaries' own losses on what `forward` gave, on this rank alone."""
        with passing(part.place):
            self.objective.train_adversaries(restored, part.images, **_counted(part))


def _counted(part: MicroBatch) -> dict[str, Any]:
    """How the losses of a part count."""
    return {"step": part.step, "share": part.share, "ranks": part.ranks, "number": part.number}
