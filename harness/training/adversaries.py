"""Losses with networks of their own, which train beside the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Adam

from harness.api.loss import Adversary, LossInputs
from harness.parts.guard import called, check_loss, differentiated


@dataclass
class Adversaries:
    """The losses with networks of their own, each with its optimizer.

    Their parameters get gradients in `backward` alone. Parameters that a loss has frozen stay frozen.
    """

    losses: Sequence[Adversary]
    parameters: list[list[nn.Parameter]] = field(init=False)
    """The trainable parameters of each loss."""
    optimizers: list[Adam] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = [
            [parameter for parameter in _module(loss).parameters() if parameter.requires_grad] for loss in self.losses
        ]
        self.optimizers = [
            Adam(own, lr=loss.lr, betas=loss.betas, fused=True)
            for loss, own in zip(self.losses, self.parameters, strict=True)
        ]
        for own in self.parameters:
            _train(own, False)

    @property
    def networks(self) -> list[nn.Module]:
        """The losses, which are modules."""
        return [_module(loss) for loss in self.losses]

    def backward(self, loss: Adversary, inputs: LossInputs, factor: float) -> None:
        """Adds the gradients of one adversary's own loss."""
        own = self.parameters[self.losses.index(loss)]
        _train(own, True)
        with called(loss):
            value = loss.own_loss(inputs)
        with differentiated(_module(loss)):
            (factor * check_loss(loss, value, learns=False)).backward()
        _train(own, False)

    def step(self, mean: Callable[[Tensor], Tensor], rate: float) -> None:
        """Takes a step with the gradients that have gathered, at `rate` of the peak rate.

        `mean`: of a tensor, over the processes.
        """
        for loss, own, optimizer in zip(self.losses, self.parameters, self.optimizers, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = loss.lr * rate
            for parameter in own:
                if parameter.grad is not None:
                    parameter.grad = mean(parameter.grad)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """Weights and optimizer of each, for a checkpoint."""
        pairs = zip(self.losses, self.optimizers, strict=True)
        return [{"loss": _module(loss).state_dict(), "optimizer": own.state_dict()} for loss, own in pairs]

    def load(self, states: Sequence[dict[str, Any]]) -> None:
        """Restores what `state` gave."""
        for loss, optimizer, state in zip(self.losses, self.optimizers, states, strict=True):
            _module(loss).load_state_dict(state["loss"])
            optimizer.load_state_dict(state["optimizer"])


def _module(loss: Adversary) -> nn.Module:
    return cast(nn.Module, loss)


def _train(parameters: Sequence[nn.Parameter], train: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(train)
