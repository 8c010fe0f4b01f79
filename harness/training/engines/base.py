"""What a training asks of the way in which it is divided over processes. Three forms: DDP, FSDP2, DeepSpeed.

All of them go through Accelerate. One process is a gang of one, on the same path. Every method is called by all ranks
in the same order; those that exchange something say so (collective).

What a checkpoint holds does not depend on the form, nor on the number of processes: whole tensors by the names that the
parameters have in the network, without what a form puts before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from harness.api.batch import Restored
from harness.training.passes import MicroBatch, Passes

ModelState = dict[str, Tensor]
"""Whole tensors of a network's state dict by name, on the CPU; empty on all ranks but 0. They may be the very memory
that the next step changes."""
OptimizerState = dict[str, Any]
"""Of rank 0, empty on the others: `state`: parameter name → {`exp_avg`: whole tensor on the CPU, `step`: …}, and
`groups`: the optimizer's groups without parameters, in their order."""


class Engine(Protocol):
    """How one job trains on its processes."""

    @property
    def device(self) -> torch.device: ...

    @property
    def rank(self) -> int: ...

    @property
    def ranks(self) -> int: ...

    def prepare(self, passes: Passes, optimizer: Optimizer) -> None:
        """Takes over the module whose forward gives the loss, with its network on the device, and the optimizer of
        the parameters that train in it (collective).

        Called again by a stage that starts a new optimizer, with the same `passes`: what was prepared before is let go,
        and the weights stay as they are. Which parameters need gradients may change between steps, among those of the
        optimizer; so may `passes.objective`. Raises HarnessError when this form cannot train that network, with what to
        try."""

    def forward(self, part: MicroBatch, *, last: bool = True) -> tuple[Tensor, Restored]:
        """The prepared module's forward: the loss, and the restorations without gradients. `last`: whether the
        gradients of its loss are exchanged afterwards; false for all micro-batches of a step but the last."""

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of the loss that the last `forward` gave (collective when that was the last micro-batch).
        The gradient of a step is the mean over the ranks."""

    def step(self, clip: float | None) -> None:
        """Clips the gradients' norm over the whole network, takes the optimizer's step, and clears the gradients
        (collective). `clip` is the same in all steps."""

    def set_learning_rate(self, value: float) -> None:
        """Of the prepared optimizer, times each group's factor (harness.training.optim)."""

    def model_state(self) -> ModelState:
        """The network's whole state (collective)."""

    def optimizer_state(self) -> OptimizerState:
        """The optimizer's whole state (collective)."""

    def load_optimizer(self, state: OptimizerState) -> None:
        """Puts back what `optimizer_state` gave on any number of processes, under any form, after `prepare`. Every rank
        gives the same state (collective)."""

    def scale_state(self) -> dict[str, Any] | None:
        """The gradient scaler's state, plain values; None without one. The same on all ranks."""

    def load_scale(self, state: Mapping[str, Any]) -> None:
        """Puts back what `scale_state` gave; nothing to do without a scaler."""

    def shares(self) -> dict[str, Tensor]:
        """What this rank holds of every parameter of the network after the last step, by name, on its device, without
        gradients; whole ones where nothing is cut. Called after every step, and so cheap."""

    def cut(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors that belong to parameters, by their names, the same on every rank, as `shares` are cut, placed
        and typed: copies that nobody else changes (collective)."""

    def whole(self, shares: Mapping[str, Tensor]) -> ModelState:
        """Tensors that are cut as `shares` are, as whole ones (collective)."""

    def checksum(self) -> str:
        """A digest of the parameters that this rank holds whole; empty where it holds a share."""

    def mean(self, value: Tensor) -> Tensor:
        """Over the ranks, on the same device (collective)."""

    def gather(self, value: Any) -> list[Any]:
        """One plain value of every rank, in their order (collective)."""

    def spread(self, value: Any) -> Any:
        """What rank 0 gives, on every rank: plain values, and tensors on the CPU, in dicts, lists and tuples
        (collective)."""

    def close(self) -> None:
        """Lets go of all that it holds in this process, so that the next job can begin anew. The process group is
        another's (harness.jobs.run)."""
