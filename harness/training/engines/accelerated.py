"""What all forms of an engine have in common: each is one process of Accelerate's, and trains one network."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.training.engines import exchange
from harness.training.optim import set_learning_rate
from harness.training.passes import Passes


class Accelerated:
    """The part of an engine (harness.training.engines.base.Engine) that does not depend on its form."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.passes: Passes | None = None
        self.optimizer: Optimizer | None = None

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    @property
    def ranks(self) -> int:
        return self.accelerator.num_processes

    @property
    def network(self) -> nn.Module:
        assert self.passes is not None, "nothing is prepared"
        return self.passes.model

    def set_learning_rate(self, value: float) -> None:
        assert self.optimizer is not None, "nothing is prepared"
        set_learning_rate(self.optimizer, value)

    def mean(self, value: Tensor) -> Tensor:
        return exchange.mean(value)

    def gather(self, value: Any) -> list[Any]:
        return exchange.gather(value)

    def spread(self, value: Any) -> Any:
        return exchange.spread(value, self.device)
