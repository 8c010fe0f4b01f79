"""What a training asks of the way in which it is divided over processes. Three forms: DDP, FSDP2, DeepSpeed.

All of them go through Accelerate. One process is a gang of one, on the same path. Every method is called by all ranks
in the same order; those that exchange something say so (collective).

What a checkpoint holds does not depend on the form, nor on the number of processes: whole tensors by the names that the
parameters have in the network.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

ModelState = dict[str, Tensor]
"""Whole tensors of a network's state dict by name, on the CPU; empty on all ranks but 0."""
OptimizerState = dict[str, Any]
"""Of rank 0, empty on the others: `state`: parameter name → {`exp_avg`: whole tensor on the CPU, `step`: …}, and
`groups`: the optimizer's groups without parameters, in their order."""


class Engine(Protocol):
    """How one job trains on its processes."""

    device: torch.device
    rank: int
    ranks: int

    def prepare(self, passes: nn.Module, optimizer: Optimizer) -> None:
        """Takes over a module whose forward gives the loss (harness.training.passes) and the optimizer of the
        parameters that train in it. Called again by a stage that starts a new optimizer: what was prepared before is
        let go. Raises HarnessError when this form cannot train that network, with what to try."""

    def forward(self, *args: Any, last: bool = True, **kwargs: Any) -> Any:
        """The prepared module's forward. `last`: whether the gradients of its loss are exchanged afterwards; false for
        all micro-batches of a step but the last."""

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of the loss that the last `forward` gave (collective when that was the last micro-batch).
        The gradient of a step is the mean over the ranks."""

    def step(self, clip: float | None) -> None:
        """Clips the gradients' norm over the whole network, takes the optimizer's step, and clears the gradients
        (collective)."""

    def set_learning_rate(self, value: float) -> None:
        """Of the prepared optimizer, times each group's factor (harness.training.optim)."""

    def model_state(self) -> ModelState:
        """The network's whole state (collective)."""

    def optimizer_state(self) -> OptimizerState:
        """The optimizer's whole state (collective)."""

    def load_optimizer(self, state: OptimizerState) -> None:
        """Puts back what `optimizer_state` gave on any number of processes, under any form. Every rank gives the same
        state (collective)."""

    def whole(self, tensors: dict[str, Tensor]) -> ModelState:
        """Tensors that belong to parameters, by their names and cut as those are, as whole ones (collective)."""

    def checksum(self) -> str:
        """A digest of the weights that this rank holds whole; empty where it holds a share."""

    def mean(self, value: Tensor) -> Tensor:
        """Over the ranks (collective)."""

    def gather(self, value: Any) -> list[Any]:
        """One plain value of every rank, in their order (collective)."""

    def precision(self) -> AbstractContextManager[None]:
        """The recipe's precision, for what is computed beside `forward`."""

    def close(self) -> None:
        """Lets go of all that it holds in this process, so that the next job can begin anew."""
