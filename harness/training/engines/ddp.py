"""Every process holds all weights; gradients are averaged. Also the form of a job that is one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.api.batch import Restored
from harness.api.running import Seat
from harness.training.device import ALONE, forget_accelerator, start_accelerator
from harness.training.engines.accelerated import Accelerated
from harness.training.engines.base import ModelState, OptimizerState
from harness.training.engines.named import digest_of, load_named, named_state
from harness.training.passes import MicroBatch, Passes

UNUSED = DistributedDataParallelKwargs(find_unused_parameters=True)
"""A loss may leave parameters out, of a stage or of a network; looking for them costs less than 2 % of a step."""
FORMS = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def start_ddp(
    precision: Literal["fp32", "bf16", "fp16"], *, gpus: int | Literal["auto"], seat: Seat = ALONE
) -> DdpEngine:
    """The engine of one process. Raises HarnessError (harness.training.device)."""
    return DdpEngine(start_accelerator(precision, gpus=gpus, seat=seat, kwargs_handlers=[UNUSED]))


class DdpEngine(Accelerated):
    """torch's DistributedDataParallel, through Accelerate."""

    def __init__(self, accelerator: Accelerator) -> None:
        """`accelerator`: begun with `kwargs_handlers=[UNUSED]` (harness.training.device)."""
        if accelerator.distributed_type not in FORMS:
            raise RuntimeError(f"Accelerate trains by {accelerator.distributed_type}, and not by DDP")
        super().__init__(accelerator)
        self._wrapped: nn.Module | None = None
        self._stepped: Any = None
        self._shares: dict[str, Tensor] = {}

    def prepare(self, passes: Passes, optimizer: Optimizer) -> None:
        """Every parameter that needs gradients now is exchanged after every step."""
        self._let_go()
        self._wrapped, self._stepped = self.accelerator.prepare(passes, optimizer)
        self.passes, self.optimizer = passes, optimizer
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
            with self.accelerator.no_sync(self._wrapped):
                found = self._wrapped(part)
        return found

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def step(self, clip: float | None) -> None:
        model = self.network
        if clip is not None:
            self.accelerator.clip_grad_norm_(model.parameters(), clip)
        self._stepped.step()
        # Not the wrapped optimizer's zero_grad, which inspects its own signature at every call.
        model.zero_grad(set_to_none=True)

    def model_state(self) -> ModelState:
        if self.rank:
            return {}
        return {name: value.detach().cpu() for name, value in self.network.state_dict().items()}

    def optimizer_state(self) -> OptimizerState:
        assert self.optimizer is not None
        return named_state(self.optimizer, self.network) if self.rank == 0 else {}

    def load_optimizer(self, state: OptimizerState) -> None:
        assert self.optimizer is not None
        load_named(self.optimizer, self.network, state)

    def scale_state(self) -> dict[str, Any] | None:
        scaler = self.accelerator.scaler
        return scaler.state_dict() if scaler else None

    def load_scale(self, state: Mapping[str, Any]) -> None:
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(dict(state))

    def shares(self) -> dict[str, Tensor]:
        return self._shares

    def cut(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.device, copy=True) for name, value in tensors.items()}

    def whole(self, shares: Mapping[str, Tensor]) -> ModelState:
        return {name: value.detach().cpu() for name, value in shares.items()} if self.rank == 0 else {}

    def checksum(self) -> str:
        return digest_of(self._shares)

    def close(self) -> None:
        self._let_go()
        forget_accelerator()

    def _let_go(self) -> None:
        """Frees what was prepared; the module is as it was before Accelerate took it."""
        if self.passes is not None:
            for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
                self.passes.__dict__.pop(name, None)
        self.passes = self._wrapped = self.optimizer = self._stepped = None
        self._shares = {}
        self.accelerator.free_memory()
