"""Training whose weights, gradients and moments are cut over the processes: PyTorch's FSDP2, through Accelerate.

All parameters form one group. Groups of their own for inner modules would save memory, and do not work for networks
that call other methods of a module than its forward, or read a neighbour's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, cast

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, ParallelismConfig
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer

from harness.api.batch import Restored
from harness.api.running import Seat
from harness.cells.cell import Cell
from harness.cells.recipe import Recipe
from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.core.machine import is_broken_collective
from harness.training.engines.base import ModelState, OptimizerState
from harness.training.engines.named import options_of, take_options
from harness.training.engines.sharded import Sharded, environment_kept, refuse_scalars, start_sharded
from harness.training.passes import MicroBatch, Passes

_ITS_WORDS = ("fully_shard", "FSDP", "DTensor", "sharding strategy", "__class__ assignment")
"""Of its messages about networks that it cannot cut."""


def start_fsdp2(cell: Cell, run: Run, seat: Seat) -> Fsdp2Engine:
    """The engine of one process of several. Raises HarnessError (harness.training.device)."""
    return Fsdp2Engine(cell.recipe, run.gpus, seat)


class Fsdp2Engine(Sharded):
    """The form `fsdp2` (harness.training.engines.base.Engine)."""

    def __init__(self, recipe: Recipe, gpus: int | Literal["auto"], seat: Seat) -> None:
        """Raises HarnessError (harness.training.engines.sharded.start_sharded)."""
        with environment_kept():
            plugin = FullyShardedDataParallelPlugin(
                fsdp_version=2, reshard_after_forward=True, auto_wrap_policy="no_wrap"
            )
        accelerator = start_sharded(recipe, gpus, seat, DistributedType.FSDP, {"fsdp_plugin": plugin})
        if not accelerator.is_fsdp2:
            raise RuntimeError("Accelerate divides by the first FSDP, and not by FSDP2")
        # Otherwise FSDP2 looks for the machine's own device, and would move a training on CPUs to a GPU.
        division = ParallelismConfig(dp_shard_size=seat.ranks)
        accelerator.state.parallelism_config = division
        accelerator.state.device_mesh = division.build_device_mesh(accelerator.device.type)
        self._shares: dict[str, Tensor] = {}
        super().__init__(accelerator, recipe)

    def prepare(self, passes: Passes, optimizer: Optimizer) -> None:
        _without_fused_sgd(optimizer)
        self._shares = {}
        if isinstance(passes, FSDPModule):  # a later stage: the optimizer was built over what is cut already
            assert passes is self.passes, "one engine trains one network"
            self._reshard()
            self.optimizer = optimizer
            return
        refuse_scalars(passes)
        names = {id(value): name for name, value in passes.named_parameters()}
        order = [[names[id(value)] for value in group["params"]] for group in optimizer.param_groups]
        for value in passes.parameters():  # a network may keep its weights in another layout, which cannot be cut
            value.data = value.data.contiguous()
        try:
            self.accelerator.prepare(passes, optimizer)
        except (ValueError, TypeError, NotImplementedError) as error:
            _refuse(error)
            raise
        self.passes, self.optimizer = passes, optimizer
        # Accelerate finds the new parameters by where the old ones lay, which several of no length share.
        new = dict(passes.named_parameters())
        for group, own in zip(optimizer.param_groups, order, strict=True):
            group["params"] = [new[name] for name in own]
        uncut = [name for name, value in new.items() if not isinstance(value, DTensor)]
        if uncut or not isinstance(passes, FSDPModule):
            raise HarnessError(f"FSDP2 has left parameters whole: {', '.join(uncut[:3])}", hint="strategy: ddp")

    def forward(self, part: MicroBatch, *, last: bool = True) -> tuple[Tensor, Restored]:
        assert self.passes is not None, "nothing is prepared"
        self._root.set_requires_gradient_sync(last)
        with self.autocast():
            try:
                return cast(tuple[Tensor, Restored], self.passes(part))
            except (AssertionError, RuntimeError, TypeError) as error:
                _refuse(error)
                raise

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, clip: float | None) -> None:
        assert self.optimizer is not None
        assert self.passes is not None
        if clip is not None:
            clip_grad_norm_([value for value in self.passes.parameters() if value.grad is not None], clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def model_state(self) -> ModelState:
        self._reshard()
        state = self.network.state_dict()
        return self.kept((name, partial(_whole, value)) for name, value in state.items())

    def optimizer_state(self) -> OptimizerState:
        assert self.optimizer is not None
        names = self._names()
        states = {}
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                own = self.optimizer.state.get(parameter, {})
                items = [(key, partial(_whole, torch.as_tensor(value))) for key, value in own.items()]
                states[names[id(parameter)]] = self.kept(items)
        if self.rank:
            return {}
        groups = [options_of(group) for group in self.optimizer.param_groups]
        return {"state": {name: own for name, own in states.items() if own}, "groups": groups}

    def load_optimizer(self, state: OptimizerState) -> None:
        assert self.optimizer is not None
        names = self._names()
        for group, saved in zip(self.optimizer.param_groups, state["groups"], strict=True):
            take_options(group, saved)
            for parameter in group["params"]:
                own = state["state"].get(names[id(parameter)])
                if own:
                    self.optimizer.state[parameter] = {
                        key: _placed(key, value, parameter, fused=bool(group.get("fused")))
                        for key, value in own.items()
                    }

    def shares(self) -> dict[str, Tensor]:
        self._reshard()
        if not self._shares:  # the optimizer changes them where they are
            self._shares = {name: _local(value.detach()) for name, value in self.network.named_parameters()}
        return self._shares

    def cut(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parameters = self._cut_parameters()
        return {name: _local(_like(value, parameters[name])).clone() for name, value in tensors.items()}

    def whole(self, shares: Mapping[str, Tensor]) -> ModelState:
        parameters = self._cut_parameters()

        def gathered(name: str, share: Tensor) -> Tensor:
            of = parameters[name]
            return _whole(DTensor.from_local(share, of.device_mesh, of.placements, shape=of.shape, stride=of.stride()))

        return self.kept((name, partial(gathered, name, share)) for name, share in shares.items())

    def checksum(self) -> str:
        return ""

    @property
    def _root(self) -> FSDPModule:
        assert isinstance(self.passes, FSDPModule), "nothing is prepared"
        return self.passes

    def _reshard(self) -> None:
        """After a forward pass without a backward pass the parameters are whole."""
        self._root.reshard()

    def _names(self) -> dict[int, str]:
        self._reshard()
        return {id(value): name for name, value in self.network.named_parameters()}

    def _cut_parameters(self) -> dict[str, DTensor]:
        self._reshard()
        return {name: cast(DTensor, value) for name, value in self.network.named_parameters()}


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def _like(value: Tensor, parameter: DTensor) -> DTensor:
    """A whole tensor, the same on all ranks, cut as a parameter is, without exchanging anything."""
    moved = value.to(parameter.device, parameter.dtype)
    return distribute_tensor(moved, parameter.device_mesh, parameter.placements, src_data_rank=None)


def _placed(key: str, value: Any, parameter: nn.Parameter, *, fused: bool) -> Any:
    """One value of an optimizer's state as the optimizer itself would have made it."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == parameter.shape and key != "step":
        return _like(value, cast(DTensor, parameter))
    return value.to(parameter.device, copy=True) if fused else value.clone()


def _without_fused_sgd(optimizer: Optimizer) -> None:
    """The fused step of SGD, alone of all, is not written for cut tensors. The plain one differs by rounding."""
    if isinstance(optimizer, SGD):
        for group in (*optimizer.param_groups, optimizer.defaults):
            group["fused"] = False


def _refuse(error: Exception) -> None:
    """Raises HarnessError for an error of FSDP2's about the network; others are not its."""
    if any(word in str(error) for word in _ITS_WORDS) and not is_broken_collective(error):
        what = f"this network cannot be trained under FSDP2: {error}"
        hint = "strategy: deepspeed with stage: 2, or strategy: ddp"
        raise HarnessError(what, where="run.strategy", hint=hint) from error
