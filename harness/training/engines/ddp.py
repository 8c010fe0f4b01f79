"""Every process holds all weights; gradients are averaged. Also the form of a job that is one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.api.batch import Restored
from harness.api.running import Seat
from harness.training.device import ALONE, forget_accelerator, start_accelerator
from harness.training.engines import exchange
from harness.training.engines.base import ModelState, OptimizerState
from harness.training.engines.named import digest_of, load_named, named_state
from harness.training.optim import set_learning_rate
from harness.training.passes import MicroBatch, Passes

UNUSED = DistributedDataParallelKwargs(find_unused_parameters=True)
"""A loss may leave parameters out, of a stage or of a network; looking for them costs less than 2 % of a step."""
FORMS = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def start_ddp(
    precision: Literal["fp32", "bf16", "fp16"], *, gpus: int | Literal["auto"], seat: Seat = ALONE
) -> DdpEngine:
    """The engine of one process. Raises HarnessError (harness.training.device)."""
    return DdpEngine(start_accelerator(precision, gpus=gpus, seat=seat, kwargs_handlers=[UNUSED]))


class DdpEngine:
    """torch's DistributedDataParallel, through Accelerate."""

    def __init__(self, accelerator: Accelerator) -> None:
        """`accelerator`: begun with `kwargs_handlers=[UNUSED]` (harness.training.device)."""
        if accelerator.distributed_type not in FORMS:
            raise RuntimeError(f"Accelerate trains by {accelerator.distributed_type}, and not by DDP")
        self._accelerator = accelerator
        self._passes: Passes | None = None
        self._wrapped: nn.Module | None = None
        self._optimizer: Optimizer | None = None
        self._stepped: Any = None
        self._shares: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        return self._accelerator.device

    @property
    def rank(self) -> int:
        return self._accelerator.process_index

    @property
    def ranks(self) -> int:
        return self._accelerator.num_processes

    def prepare(self, passes: Passes, optimizer: Optimizer) -> None:
        """Every parameter that needs gradients now is exchanged after every step."""
        self._let_go()
        self._wrapped, self._stepped = self._accelerator.prepare(passes, optimizer)
        self._passes, self._optimizer = passes, optimizer
        self._shares = {name: value.detach() for name, value in passes.model.named_parameters()}
        if self.ranks > 1 and not isinstance(self._wrapped, nn.parallel.DistributedDataParallel):
            raise RuntimeError("Accelerate has not divided the training over its processes")

    def forward(self, part: MicroBatch, *, last: bool = True) -> tuple[Tensor, Restored]:
        assert self._wrapped is not None
        found: tuple[Tensor, Restored]
        if last:
            found = self._wrapped(part)
        else:
            # What counts for DDP is whether the forward pass is to be followed by an exchange.
            with self._accelerator.no_sync(self._wrapped):
                found = self._wrapped(part)
        return found

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def step(self, clip: float | None) -> None:
        model = self._network
        if clip is not None:
            self._accelerator.clip_grad_norm_(model.parameters(), clip)
        self._stepped.step()
        # Not the wrapped optimizer's zero_grad, which inspects its own signature at every call.
        model.zero_grad(set_to_none=True)

    def set_learning_rate(self, value: float) -> None:
        assert self._optimizer is not None
        set_learning_rate(self._optimizer, value)

    def model_state(self) -> ModelState:
        if self.rank:
            return {}
        return {name: value.detach().cpu() for name, value in self._network.state_dict().items()}

    def optimizer_state(self) -> OptimizerState:
        assert self._optimizer is not None
        return named_state(self._optimizer, self._network) if self.rank == 0 else {}

    def load_optimizer(self, state: OptimizerState) -> None:
        assert self._optimizer is not None
        load_named(self._optimizer, self._network, state)

    def scale_state(self) -> dict[str, Any] | None:
        scaler = self._accelerator.scaler
        return scaler.state_dict() if scaler else None

    def load_scale(self, state: Mapping[str, Any]) -> None:
        if self._accelerator.scaler:
            self._accelerator.scaler.load_state_dict(dict(state))

    def shares(self) -> dict[str, Tensor]:
        return self._shares

    def cut(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.device, copy=True) for name, value in tensors.items()}

    def whole(self, shares: Mapping[str, Tensor]) -> ModelState:
        return {name: value.detach().cpu() for name, value in shares.items()} if self.rank == 0 else {}

    def checksum(self) -> str:
        return digest_of(self._shares)

    def mean(self, value: Tensor) -> Tensor:
        return exchange.mean(value)

    def gather(self, value: Any) -> list[Any]:
        return exchange.gather(value)

    def spread(self, value: Any) -> Any:
        return exchange.spread(value, self.device)

    def close(self) -> None:
        self._let_go()
        forget_accelerator()

    @property
    def _network(self) -> nn.Module:
        assert self._passes is not None, "nothing is prepared"
        return self._passes.model

    def _let_go(self) -> None:
        """Frees what was prepared; the module is as it was before Accelerate took it."""
        if self._passes is not None:
            for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
                self._passes.__dict__.pop(name, None)
        self._passes = self._wrapped = self._optimizer = self._stepped = None
        self._shares = {}
        self._accelerator.free_memory()
