"""What DeepSpeed's ZeRO keeps of a network on each rank: read and written whole, by name.

Stages 1 and 2 keep one flat piece of the moments of each group; a parameter lies in the pieces of one rank or several.
Stage 3 cuts every parameter in as many equal pieces as there are ranks, the last ones filled up, and so its moments.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from harness.core.errors import HarnessError

_PLACE = "LOCAL_RANK"
Moments = Mapping[str, Mapping[str, Any]]
"""Parameter name → {`exp_avg`: whole tensor, `step`: …}."""


def begin(device: torch.device) -> None:
    """Makes DeepSpeed ready for a job on this device, in whatever state the last one left it.

    It speaks on the standard output, which is for results, and compiles an operation of its own for CPUs.
    """
    os.environ["DS_ACCELERATOR"] = device.type
    os.environ[_PLACE] = str(device.index or 0)  # it reads its device from this, in passes too
    try:
        import deepspeed
    except ImportError as error:
        what = f"strategy deepspeed needs DeepSpeed, which cannot be imported: {error}"
        raise HarnessError(what, hint="pip install deepspeed (Linux), or strategy: fsdp2") from error
    from deepspeed.accelerator import get_accelerator, set_accelerator

    speaker = logging.getLogger("DeepSpeed")
    speaker.setLevel(logging.ERROR)  # it warns of optimizers and outputs that are right here
    for handler in speaker.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
    if get_accelerator().device_name() != device.type:
        set_accelerator(_accelerator(device.type))
    if device.type == "cpu":
        # Read for that operation alone; otherwise a compiler is tried on every operation that there is.
        deepspeed.ops.__compatible_ops__ = {"deepspeed_shm_comm": False}
    _forget()


def _accelerator(kind: str) -> Any:
    from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator
    from deepspeed.accelerator.cuda_accelerator import CUDA_Accelerator

    return CPU_Accelerator() if kind == "cpu" else CUDA_Accelerator()


def end() -> None:
    """The end of a job."""
    os.environ.pop(_PLACE, None)
    _forget()


def _forget() -> None:
    """Makes DeepSpeed forget the last job's process group, which it would use in the next one."""
    from deepspeed import comm
    from deepspeed.utils import groups

    groups._release_process_group_references(group=None)
    comm.comm.cdb = None


class Read:
    """Which parameters get a gradient in the passes of the first step."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.names = list(parameters)
        self._seen: set[str] = set()
        self._hooks = [value.register_hook(self._hook(name)) for name, value in parameters.items()]

    def _hook(self, name: str) -> Any:
        def seen(_gradient: Tensor) -> None:
            self._seen.add(name)

        return seen

    def missing(self, engine: Any) -> list[str]:
        """Those that no rank has seen a gradient of (collective). The end of looking."""
        self.end()
        seen = set().union(*engine.gather(sorted(self._seen)))
        return [name for name in self.names if name not in seen]

    def end(self) -> None:
        """Stops looking."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def moves(moments: Mapping[str, Any]) -> bool:
    """Whether the moments of a parameter would move it without a gradient."""
    return any(bool(torch.as_tensor(value).any()) for key, value in moments.items() if key != "step")


def is_cut(parameter: Any) -> bool:
    """Whether ZeRO-3 has cut a parameter."""
    return hasattr(parameter, "ds_tensor")


def share(parameter: Any) -> Tensor:
    """What this rank holds of a parameter."""
    held: Tensor = parameter.ds_tensor if is_cut(parameter) else parameter
    return held.detach()


def whole_weight(value: Any) -> Tensor:
    """A whole parameter or buffer (collective)."""
    return whole(share(value), value) if is_cut(value) else value.detach()


def whole(piece: Tensor, parameter: Any) -> Tensor:
    """A tensor that is cut as a parameter is, whole (collective)."""
    if not is_cut(parameter):
        return piece
    on = _device_of(piece)
    own = piece.detach().to(on).reshape(-1).contiguous()
    pieces = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(pieces, own)
    return torch.cat(pieces)[: parameter.ds_numel].reshape(parameter.ds_shape)


def cut(value: Tensor, parameter: Any, rank: int, ranks: int) -> Tensor:
    """This rank's piece of a whole tensor: a copy, placed and typed as its parameter is."""
    held = share(parameter)
    if not is_cut(parameter):
        return value.detach().to(held.device, held.dtype, copy=True)
    return _piece(value, held.numel(), rank, ranks).to(held.device, held.dtype)


def _piece(value: Tensor, numel: int, rank: int, ranks: int) -> Tensor:
    padded = torch.zeros(numel * ranks, dtype=value.dtype, device=value.device)
    padded[: value.numel()] = value.detach().reshape(-1)
    return padded.narrow(0, numel * rank, numel).clone()


def moments(engine: Any, names: Mapping[int, str]) -> dict[str, dict[str, Tensor]]:
    """The optimizer's state of every parameter that has one, by name; tensors whole on the CPU of rank 0, and empty
    dicts on the others (collective)."""
    optimizer, state = engine.optimizer, engine.optimizer.optimizer.state
    first, found = dist.get_rank() == 0, {}
    for flat, parameters in _groups(optimizer):
        own = state.get(flat, {})
        for parameter in parameters:
            entry = found[names[id(parameter)]] = dict[str, Tensor]()
            for key, value in own.items():
                each = torch.as_tensor(value)
                gathered = _gathered(optimizer, parameter, each) if each.shape == flat.shape else each
                if first:
                    entry[key] = gathered.detach().to("cpu", copy=True)
    return found


def put_moments(engine: Any, names: Mapping[int, str], given: Moments) -> None:
    """Gives a fresh engine the moments of its parameters, as far as they are given, the same on every rank."""
    optimizer, base = engine.optimizer, engine.optimizer.optimizer
    for flat, parameters in _groups(optimizer):
        entries = {parameter: given.get(names[id(parameter)]) for parameter in parameters}
        like = next(filter(None, entries.values()), None)
        if like is None:
            continue
        own = {key: _fresh(key, value, flat, base.defaults) for key, value in like.items()}
        for parameter, entry in entries.items():
            for key, value in (entry or {}).items():
                if key != "step":
                    _fill(optimizer, parameter, own[key], value)
        base.state[flat] = own


def _fresh(key: str, value: Any, flat: Tensor, options: Mapping[str, Any]) -> Tensor:
    """A moment of a flat piece before it is filled, or the number of steps."""
    if key != "step":
        return torch.zeros_like(flat)
    number = torch.as_tensor(value, dtype=torch.float32).clone()
    return number.to(flat.device) if options.get("fused") else number


def _groups(optimizer: Any) -> Iterator[tuple[Tensor, list[nn.Parameter]]]:
    """The flat pieces that the optimizer moves, each with the parameters that lie in it."""
    if hasattr(optimizer, "fp32_partitioned_groups_flat"):
        yield from zip(optimizer.fp32_partitioned_groups_flat, optimizer.fp16_groups, strict=True)
    else:
        yield from zip(optimizer.single_partition_of_fp32_groups, optimizer.bit16_groups, strict=True)


def _gathered(optimizer: Any, parameter: Any, flat: Tensor) -> Tensor:
    """A parameter's whole moment, from all ranks' flat pieces."""
    if is_cut(parameter):
        return whole(_place(optimizer, parameter, flat), parameter)
    total = torch.zeros(parameter.numel(), dtype=flat.dtype, device=parameter.device)
    if (mapped := parameter._hp_mapping) is not None:
        to, at = mapped.lp_fragment_address, mapped.hp_fragment_address
        total.narrow(0, to.start, to.numel).copy_(flat.narrow(0, at.start, at.numel))
    dist.all_reduce(total)  # every number comes from one rank, and zero from the others
    return total.reshape(parameter.shape)


def _fill(optimizer: Any, parameter: Any, flat: Tensor, value: Tensor) -> None:
    """Writes this rank's share of a parameter's whole moment into its flat piece."""
    if is_cut(parameter):
        place = _place(optimizer, parameter, flat)
        place.copy_(_piece(value, place.numel(), dist.get_rank(), dist.get_world_size()))
    elif (mapped := parameter._hp_mapping) is not None:
        of, at = mapped.lp_fragment_address, mapped.hp_fragment_address
        flat.narrow(0, at.start, at.numel).copy_(value.reshape(-1).narrow(0, of.start, of.numel))


def _place(optimizer: Any, parameter: Any, flat: Tensor) -> Tensor:
    """Where a parameter's piece lies in a flat piece."""
    _, start, numel = optimizer.grad_position[optimizer.get_param_id(parameter)]
    return flat.narrow(0, start, numel)


def _device_of(value: Tensor) -> torch.device:
    """Where the group can exchange it: what is kept in the machine's memory travels through the GPU."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else value.device
