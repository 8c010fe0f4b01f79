"""One optimizer step: forward, total loss, backward, clip, update.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api.batch import Batch
from harness.core.beat import beat
from harness.core.identity import seed as named_seed
from harness.parts.guard import differentiated
from harness.parts.ops.whole_batch import Pass, passes, take_statistics
from harness.training.alter import Alteration
from harness.training.compiled import Graphs
from harness.training.engines.base import Engine
from harness.training.objective import Images
from harness.training.passes import MicroBatch, Passes
from harness.training.pixels import scaled

EncodeLive = Callable[[Tensor], Tensor]
"""B×3×H×W degraded images to B×D prior rows, for the policy `live`."""


@dataclass(frozen=True)
class Stepper:
    """What an optimizer step needs besides the batch."""

    engine: Engine
    passes: Passes
    """The network and its losses, which the engine has prepared."""
    micro_batch: int | None
    """Images of one process in one pass; all of its share of the batch when None."""
    clip_grad: float | None
    encode_live: EncodeLive | None = None
    alteration: Alteration | None = None
    """What the recipe does to batches; None for nothing."""
    gives_truth: bool = False
    """Whether the model itself sees the truth in training (semantics of the truth, SKF)."""
    tells_settings: bool = False
    """Whether the model is told what its degraded images were made with (harness.api.backbone.Capabilities.told)."""
    group: int | None = None
    """Images that belong together, whatever the number of processes (harness.parts.ops.whole_batch): the recipe's
    micro-batch; the whole batch when None."""
    seed: int = 0
    """The cell's seed, which the random numbers of every step follow from."""
    graphs: Graphs | None = None
    """What the network and its losses run as; None for as they are written."""

    def __call__(self, batch: Batch, step: int = 1, *, rate: float = 1.0) -> Tensor:
        """Takes optimizer step `step` on a rank's batch; gives its loss, detached, without waiting for the device.

        `rate`: the learning rate of this step as a share of its peak, for adversaries.
        """
        engine = self.engine
        batch, seen_BCHW = self.alteration(batch, step) if self.alteration else (batch, batch.lq_BCHW)
        parts = passes(
            len(batch.lq_BCHW), rank=engine.rank, ranks=engine.ranks, group=self.group, most=self.micro_batch
        )
        if self.graphs is not None:
            for place in parts:
                size = (place.images, *seen_BCHW.shape[1:])
                if self.graphs.is_new(size):
                    self.graphs.try_out(size, self._part(batch, seen_BCHW, place, step))
            self.graphs.begin_step()
        total = torch.zeros((), device=engine.device)
        for place in parts:
            beat()  # many parts of large images may take longer than a run is patient
            part = self._part(batch, seen_BCHW, place, step)
            # Gradients of the parts add up locally; only the last part's backward pass exchanges them.
            loss, restored = engine.forward(part, last=place is parts[-1])
            graphs = nullcontext() if self.graphs is None else self.graphs.backwards()
            with differentiated(self.passes.model, *self.passes.objective.modules), graphs:
                engine.backward(loss)
            self.passes.train_adversaries(restored, part)
            total += loss.detach()
        take_statistics(parts[-1])
        engine.step(self.clip_grad)
        self.passes.objective.adversaries.step(engine.mean, rate)
        return total

    def _part(self, batch: Batch, seen_BCHW: Tensor, place: Pass, step: int) -> MicroBatch:
        """A part of a rank's batch.

        `seen_BCHW`: the degraded images that the network sees, where they are others than the losses read.
        """
        start = place.first - place.rank * place.share
        part = slice(start, start + place.images)
        lq_BCHW = shown_BCHW = self._on_device(batch.lq_BCHW, part)
        if seen_BCHW is not batch.lq_BCHW:
            shown_BCHW = self._on_device(seen_BCHW, part)
        images = Images(lq_BCHW, self._moved(batch.gt_BCHW, part), self._moved(batch.clean_BCHW, part))
        return MicroBatch(
            shown_BCHW,
            images,
            self.encode_live(shown_BCHW) if self.encode_live else self._moved(batch.prior_BD, part),
            images.gt_BCHW if self.gives_truth else None,
            self._settings(batch, part) if self.tells_settings else None,
            step=step,
            share=place.images / place.share,
            ranks=self.engine.ranks,
            number=named_seed("train", self.seed, 0, step, place.group.start),
            place=place,
        )

    def _settings(self, batch: Batch, part: slice) -> dict[str, Tensor]:
        return {name: _copied(values_B[part], self.engine.device) for name, values_B in batch.settings.items()}

    def _moved(self, tensor: Tensor | None, part: slice) -> Tensor | None:
        return None if tensor is None else self._on_device(tensor, part)

    def _on_device(self, tensor: Tensor, part: slice) -> Tensor:
        """Images or prior rows of a part of the batch, float32. Pixels travel as they are stored: smaller."""
        return scaled(_copied(tensor[part], self.engine.device))


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; the copy, from memory that stays in its place, waits for nothing that the device has yet to do."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
