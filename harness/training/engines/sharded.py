"""What the forms of an engine that divide weights or moments over processes have in common.

Accelerate chooses its form by environment variables that outlive the job, and for several processes on CPUs it takes
plain DDP without a word. So both forms here let it begin as for DDP, on every device alike, then say which form it is,
and compare what it says afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch import Tensor

from harness.api.running import Seat
from harness.cells.recipe import Recipe
from harness.core.errors import HarnessError
from harness.training.device import forget_accelerator, start_accelerator
from harness.training.engines.accelerated import Accelerated
from harness.training.passes import Passes


def start_sharded(
    recipe: Recipe, gpus: int | Literal["auto"], seat: Seat, form: DistributedType, plugins: Mapping[str, Any]
) -> Accelerator:
    """An Accelerator of the seat's processes that divides by `form`; `plugins`: what its state holds for that form.

    Raises HarnessError for a recipe that this way cannot train, and what `start_accelerator` raises.
    """
    if recipe.precision == "fp16":
        what = "fp16 scales its loss, which is there for strategy ddp alone"
        raise HarnessError(what, where="recipe.precision", hint="precision: bf16, or strategy: ddp")
    accelerator = start_accelerator(recipe.precision, gpus=gpus, seat=seat)
    state = accelerator.state
    state.distributed_type = form
    PartialState._shared_state["distributed_type"] = form
    for name, plugin in plugins.items():
        setattr(state, name, plugin)
    check_form(accelerator, form, seat)
    return accelerator


def check_form(accelerator: Accelerator, form: DistributedType, seat: Seat) -> None:
    """Raises RuntimeError when Accelerate divides otherwise than was asked for, of which it says nothing itself."""
    found = accelerator.distributed_type, accelerator.num_processes
    if found != (form, seat.ranks):
        asked = f"{seat.ranks} processes by {form.value}"
        raise RuntimeError(f"the job asks for {asked}, and Accelerate runs {found[1]} by {found[0].value}")


@contextmanager
def environment_kept() -> Iterator[None]:
    """Plug-ins of Accelerate set variables of the environment, which would choose the form of the process's next job,
    and read others, which nobody meant for this one."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("ACCELERATE_", "FSDP_")):
            del os.environ[name]
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            if name.startswith(("ACCELERATE_", "FSDP_")):
                del os.environ[name]
        os.environ.update(before)


def refuse_scalars(passes: Passes) -> None:
    """Raises HarnessError for parameters without an axis, which neither form can cut."""
    scalars = [name for name, value in passes.model.named_parameters() if value.dim() == 0]
    if scalars:
        what = f"{', '.join(scalars[:3])}: a parameter that is one number without an axis cannot be divided"
        raise HarnessError(what, where="run.strategy", hint="strategy: ddp, or parameters of the shape (1,)")


class Sharded(Accelerated):
    """The part of an engine that is the same for all forms that divide weights or moments."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe) -> None:
        super().__init__(accelerator)
        self.recipe = recipe

    def autocast(self) -> AbstractContextManager[Any]:
        """The recipe's precision. Weights stay in float32, as under DDP."""
        if self.recipe.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def scale_state(self) -> dict[str, Any] | None:
        return None

    def load_scale(self, state: Mapping[str, Any]) -> None:
        """No scaler."""

    def close(self) -> None:
        self.passes = self.optimizer = None
        self.accelerator.free_memory()
        forget_accelerator()

    def kept(self, tensors: Iterable[tuple[str, Callable[[], Tensor]]]) -> dict[str, Tensor]:
        """Whole tensors, on the CPU of rank 0 alone: each is gathered by all and let go before the next one."""
        found = {}
        for name, gathered in tensors:
            value = gathered()
            if self.rank == 0:
                found[name] = value.detach().to("cpu", copy=True).contiguous()
        return found
