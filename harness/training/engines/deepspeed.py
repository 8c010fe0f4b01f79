"""Training whose moments, gradients (stage 2) and weights (stage 3) DeepSpeed's ZeRO divides, through Accelerate.

DeepSpeed takes one optimizer for one set of parameters, all of which it moves in every step. A stage of a recipe may
let fewer train, without a new optimizer. Then it is begun anew around those, and the moments of the others rest.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, cast

import torch
from accelerate.utils import DeepSpeedPlugin, DistributedType
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.api.batch import Restored
from harness.api.running import Seat
from harness.cells.cell import Cell
from harness.cells.recipe import Recipe
from harness.cells.suite import DeepSpeed, Run
from harness.cells.zero_config import zero_config
from harness.core.errors import HarnessError
from harness.core.machine import is_broken_collective
from harness.training.engines import zero
from harness.training.engines.base import ModelState, OptimizerState
from harness.training.engines.named import digest_of, options_of, take_options
from harness.training.engines.sharded import Sharded, environment_kept, refuse_scalars, start_sharded
from harness.training.optim import RATE
from harness.training.passes import MicroBatch, Passes

_OF_NO_SHAPE = ("size", "shape", "dimension", "must be 2-D", "weight to be")
"""In torch's messages about a weight that is empty."""


def start_deepspeed(cell: Cell, run: Run, seat: Seat) -> DeepSpeedEngine:
    """The engine of one process of several. Raises HarnessError (harness.training.device), also for a configuration
    that does not go with the recipe."""
    return DeepSpeedEngine(cell.recipe, run.deepspeed or DeepSpeed(), run.gpus, seat)


class _Cast(nn.Module):
    """The passes in the recipe's precision: DeepSpeed ends an autocast that it is called in."""

    def __init__(self, passes: Passes, engine: Sharded) -> None:
        super().__init__()
        self.passes = passes
        self._autocast = engine.autocast

    def forward(self, part: MicroBatch) -> tuple[Tensor, Restored]:
        with self._autocast():
            return cast(tuple[Tensor, Restored], self.passes(part))


class DeepSpeedEngine(Sharded):
    """The form `deepspeed` (harness.training.engines.base.Engine)."""

    def __init__(self, recipe: Recipe, asked: DeepSpeed, gpus: int | Literal["auto"], seat: Seat) -> None:
        self._config = zero_config(asked, recipe, seat.ranks)
        self._engine: Any = None
        self._groups: list[tuple[dict[str, Any], list[str]]] = []
        """The optimizer's groups as the recipe makes them: options, and names of parameters."""
        self._resting: dict[str, dict[str, Any]] = {}
        """Moments of parameters that do not train at present, whole, by name; on every rank."""
        self._trained: tuple[bool, ...] = ()
        self._read: zero.Read | None = None
        self._aim: object = None
        """The losses of which it is known what they read."""
        self._at_rest: set[str] = set()
        """Parameters that no loss has read so far: they have no moments that would move them."""
        super().__init__(start_sharded(recipe, gpus, seat, DistributedType.DEEPSPEED, {}), recipe)
        zero.begin(self.device)

    def prepare(self, passes: Passes, optimizer: Optimizer) -> None:
        refuse_scalars(passes)
        self._let_go()
        self.passes, self.optimizer = passes, optimizer
        names = {id(value): name for name, value in self.network.named_parameters()}
        groups = optimizer.param_groups
        self._groups = [(options_of(group), [names[id(value)] for value in group["params"]]) for group in groups]
        self._resting = {}
        self._at_rest = {name for _, own in self._groups for name in own}
        self._wrap()

    def forward(self, part: MicroBatch, *, last: bool = True) -> tuple[Tensor, Restored]:
        if self._trained != self._training():
            self._rest()
        assert self.passes is not None
        if self._aim is not self.passes.objective:
            self._look()
        self._engine.set_gradient_accumulation_boundary(last)
        with self._refused():
            return cast(tuple[Tensor, Restored], self._engine(part))

    def backward(self, loss: Tensor) -> None:
        with self._refused():
            self._engine.backward(loss)

    def step(self, clip: float | None) -> None:
        if self._read is not None:
            self._refuse_unread(self._read)
            self._read = None
        # What the training says counts, whatever the configuration does.
        self._engine.optimizer.clip_grad = clip or 0.0
        self._engine.step()

    def set_learning_rate(self, value: float) -> None:
        assert self.optimizer is not None, "nothing is prepared"
        for options, _ in self._groups:
            options["lr"] = value * options[RATE]
        super().set_learning_rate(value)

    def model_state(self) -> ModelState:
        state = self.network.state_dict(keep_vars=True)
        return self.kept((name, partial(zero.whole_weight, value)) for name, value in state.items())

    def optimizer_state(self) -> OptimizerState:
        moving = zero.moments(self._engine, self._names())
        if self.rank:
            return {}
        state = {name: own for name, own in (moving | self._resting).items() if own}
        ordered = {name: state[name] for _, names in self._groups for name in names if name in state}
        return {"state": ordered, "groups": [copy.copy(options) for options, _ in self._groups]}

    def load_optimizer(self, state: OptimizerState) -> None:
        for (options, _), saved in zip(self._groups, state["groups"], strict=True):
            take_options(options, saved)
        self._resting = {name: dict(own) for name, own in state["state"].items()}
        self._at_rest -= {name for name, own in self._resting.items() if zero.moves(own)}
        self._wrap()

    def shares(self) -> dict[str, Tensor]:
        return {name: zero.share(value) for name, value in self.network.named_parameters()}

    def cut(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = dict(self.network.named_parameters())
        return {name: zero.cut(value, own[name], self.rank, self.ranks) for name, value in tensors.items()}

    def whole(self, shares: Mapping[str, Tensor]) -> ModelState:
        own = dict(self.network.named_parameters())
        return self.kept((name, partial(zero.whole, value, own[name])) for name, value in shares.items())

    def checksum(self) -> str:
        return "" if self._stage == 3 else digest_of(self.shares())

    def close(self) -> None:
        self._let_go()
        zero.end()
        super().close()

    @property
    def _stage(self) -> int:
        return int(self._config["zero_optimization"]["stage"])

    def _names(self) -> dict[int, str]:
        return {id(value): name for name, value in self.network.named_parameters()}

    def _training(self) -> tuple[bool, ...]:
        return tuple(value.requires_grad for value in self.network.parameters())

    def _let_go(self) -> None:
        if self._read is not None:
            self._read.end()
        if self._engine is not None:
            self._engine.destroy()
        self._engine = self._read = None
        self.accelerator.free_memory()

    def _rest(self) -> None:
        """Begins DeepSpeed anew around the parameters that train now; the moments of the others rest."""
        self._resting = self.spread(self.optimizer_state())["state"]
        self._wrap()

    def _wrap(self) -> None:
        """Begins DeepSpeed around the parameters that train now, with those moments of theirs that rest."""
        self._let_go()
        assert self.optimizer is not None
        assert self.passes is not None
        self._trained = self._training()
        self.optimizer.param_groups[:] = self._present_groups()
        self.optimizer.state = defaultdict(dict)
        with environment_kept():
            plugin = DeepSpeedPlugin(hf_ds_config=copy.deepcopy(self._config), zero3_init_flag=False)
            self.accelerator.state.deepspeed_plugins = plugin
            self.accelerator.deepspeed_engine_wrapped = None
            try:
                self._engine, _ = self.accelerator.prepare(_Cast(self.passes, self), self.optimizer)
            except (ValueError, AssertionError) as error:
                if is_broken_collective(error):
                    raise
                what = f"DeepSpeed does not begin: {error}"
                raise HarnessError(what, where="run.deepspeed", hint="another `config`, or strategy: fsdp2") from error
        if self._engine.zero_optimization_stage() != self._stage:
            raise RuntimeError(f"DeepSpeed divides by stage {self._engine.zero_optimization_stage()}")
        names = self._names()
        zero.put_moments(self._engine, names, self._resting)
        trained = {name for name, value in self.network.named_parameters() if value.requires_grad}
        self._resting = {name: own for name, own in self._resting.items() if name not in trained}
        self._look()

    def _look(self) -> None:
        """Begins to look which parameters the present losses read."""
        assert self.passes is not None
        if self._read is not None:
            self._read.end()
        self._aim = self.passes.objective
        trained = {name: value for name, value in self.network.named_parameters() if value.requires_grad}
        self._read = zero.Read(trained)

    def _present_groups(self) -> list[dict[str, Any]]:
        """The recipe's groups of what trains now, divided by the number of steps that parameters have taken: DeepSpeed
        counts them once a group."""
        own = dict(self.network.named_parameters())
        found = []
        for options, names in self._groups:
            apart: dict[float, list[nn.Parameter]] = {}
            for name in names:
                if own[name].requires_grad:
                    apart.setdefault(float(self._resting.get(name, {}).get("step", 0)), []).append(own[name])
            found += [{**options, "params": parameters} for parameters in apart.values()]
        return found

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Tells of a network whose weights ZeRO-3 has not brought where they are read."""
        try:
            yield
        except (RuntimeError, ValueError, TypeError) as error:
            shape = any(words in str(error) for words in _OF_NO_SHAPE)
            if self._stage != 3 or not shape or isinstance(error, torch.OutOfMemoryError):
                raise
            if is_broken_collective(error):
                raise
            what = f"this network cannot be trained under ZeRO-3, which cuts its weights: {error}"
            raise HarnessError(what, where="run.deepspeed", hint="stage: 2, or strategy: fsdp2") from error

    def _refuse_unread(self, read: zero.Read) -> None:
        """DeepSpeed takes a gradient that is not there for zero, so that weights which no loss reads decay, or go on by
        the moments that another loss left."""
        missing = read.missing(self)
        decays = {name for options, names in self._groups if options.get("weight_decay") for name in names}
        unread = [name for name in missing if name in decays or name not in self._at_rest]
        self._at_rest -= set(read.names) - set(missing)
        if unread:
            shown = ", ".join(unread[:3]) + (f" and {len(unread) - 3} more" if len(unread) > 3 else "")
            what = f"no loss reads {shown}, and DeepSpeed would change them all the same"
            raise HarnessError(what, where="run.strategy", hint="strategy: ddp or fsdp2, or weight_decay: 0")
