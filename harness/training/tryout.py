"""One call of a part of a training, as it is written and as a graph: the same numbers, and how much time.

Nothing of a try stays: no gradients, no statistics, nothing else that a part keeps, no random numbers.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from harness.core.beat import beat
from harness.core.garbage import empty_frames
from harness.core.machine import shortage
from harness.core.text import first_line
from harness.parts.ops import forms
from harness.parts.ops.whole_batch import Pass, passing
from harness.training.kept import CHANGES, Kept, left_alone
from harness.training.outputs import tensors_in

Work = Callable[..., Any]
"""What is called of a part: itself, or a method."""

BACKEND = "inductor"
"""torch's own compiler."""
EXACT, ROUNDED, HALF = 1e-4, 1e-2, 5e-2
"""By how much results and gradients may differ, relative to their own norm: in float32 on a CPU; on a GPU, where
convolutions may round to TF32; under autocast to a half-precision format, which a graph rounds to less often."""
_FLOOR = 0.01
"""Gradients smaller than this, relative to all of them together, are compared with it: those that are zero but for
rounding have no norm of their own."""
_COTANGENT = 0.05
"""Size of the gradients that the results are given: within the range of float16 on the whole way back."""
_WARM, _TIMED = 3, 5
"""Runs on a GPU before time is taken, in which a CUDA graph is recorded; and runs of which the fastest counts."""
_BEAT, _PATIENCE = 10.0, 3600.0
"""Seconds between signs of life while a graph is made, and for how long they go on."""
_LONGEST = 160
"""Characters of a reason."""


@dataclass(frozen=True)
class Call:
    """A call as it was made in a training: of what part, under what settings, with what."""

    part: nn.Module
    work: Work
    given: tuple[Tensor | None, ...]
    """Without gradients; those that had one are in `learned`."""
    learned: tuple[bool, ...]
    place: Pass
    number: int
    """The seed of its random numbers here."""
    gradients: bool
    autocast: tuple[bool, torch.dtype, bool]
    """Of the device: on or off, format, and whether weights are cast once."""

    @classmethod
    def of(cls, part: nn.Module, work: Work, given: Sequence[Tensor | None], place: Pass, number: int) -> Call:
        """The call that is about to be made."""
        return cls(
            part,
            work,
            tuple(None if each is None else each.detach() for each in given),
            tuple(each is not None and each.requires_grad for each in given),
            place,
            number,
            torch.is_grad_enabled(),
            autocast_of(next(each for each in given if each is not None).device),
        )

    @property
    def device(self) -> torch.device:
        return next(each for each in self.given if each is not None).device

    @property
    def tolerance(self) -> float:
        if self.autocast[0]:
            return HALF
        return EXACT if self.device.type == "cpu" else ROUNDED


@dataclass(frozen=True)
class Tried:
    """What came of a try."""

    graph: Work | None
    """What runs in the work's place; None where it runs as written."""
    reason: str
    """Why it runs as written; empty for a graph."""
    seconds: float
    """Until the graph had run once."""
    as_written: float | None = None
    as_graph: float | None = None
    """Seconds of a run with its gradients; None where none was timed."""


def autocast_of(device: torch.device) -> tuple[bool, torch.dtype, bool]:
    """Autocast's settings as they are now."""
    kind = device.type
    return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), torch.is_autocast_cache_enabled()


def tried(call: Call, *, faster: bool, backend: str | None = None) -> Tried:
    """Makes a graph of a call's work and compares it with the work. `faster`: it has to be, or is not used. `backend`:
    of torch.compile, in place of `BACKEND`.

    Raises nothing: whatever goes wrong is the reason why the work runs as written.
    """
    (graph, code), began = _graph(call.work, call.device, backend or BACKEND), time.perf_counter()
    found: dict[str, Tensor | None] = {}
    try:
        with _kept(call) as kept, _beating():
            began = time.perf_counter()
            found |= {name: each if each is None else each.clone() for name, each in _ran(call, graph).items()}
            _wait(call.device)
            seconds = time.perf_counter() - began
            if reason := _difference(_ran(call, call.work), found, call.tolerance):
                return Tried(None, f"the graph gives other numbers: {reason}", seconds)
            found.clear()
            as_written, as_graph = _timed(call, call.work), _timed(call, graph)
            if kept.changes():
                return Tried(None, CHANGES, seconds)
    except Exception as error:  # noqa: BLE001 - the compiler, the parts it traces and the machine may raise anything
        reason = f"{type(error).__name__}: {first_line(str(error), _LONGEST)}"
        if shortage(error) == "memory":
            found.clear()
            del graph
            _let_go(code, error)
        return Tried(None, reason, time.perf_counter() - began)
    if faster and as_graph >= as_written:
        reason = f"the graph is no faster: {1000 * as_graph:.1f} ms, and {1000 * as_written:.1f} as written"
        return Tried(None, reason, seconds, as_written, as_graph)
    return Tried(graph, "", max(0.0, seconds - as_graph), as_written, as_graph)


def _graph(work: Work, device: torch.device, backend: str) -> tuple[Work, CodeType]:
    """The work as one graph, which is made at its first call; a CUDA graph where there is a GPU. With the code by which
    the compiler keeps it.

    The compiler keeps graphs by the code object of a function, and stops after a few for one. So each has its own.
    """

    def graph(*given: Tensor | None) -> Any:
        return work(*given)

    own = FunctionType(graph.__code__.replace(), graph.__globals__, graph.__name__, None, graph.__closure__)
    mode = "reduce-overhead" if device.type == "cuda" else None
    made: Work = torch.compile(own, fullgraph=True, dynamic=False, backend=backend, mode=mode)
    return made, own.__code__


def _let_go(code: CodeType, error: BaseException) -> None:
    """Empties memory of a graph for which it did not suffice, and of what was computed when it ran out."""
    from torch._C._dynamo.eval_frame import reset_code

    empty_frames(error)
    reset_code(code)
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def _kept(call: Call) -> Iterator[Kept]:
    """Puts back what the call's part keeps of its runs, and random states; the forms of operations are not noted."""
    with left_alone(call.device, call.part) as kept, torch.set_grad_enabled(call.gradients), forms.noting():
        yield kept


@contextmanager
def _beating() -> Iterator[None]:
    """Signs of life while a graph is made, which may take longer than a run is patient; up to an end."""
    done = threading.Event()

    def go_on() -> None:
        until = time.monotonic() + _PATIENCE
        while not done.wait(_BEAT) and time.monotonic() < until:
            beat()

    threading.Thread(target=go_on, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _ran(call: Call, work: Work) -> dict[str, Tensor | None]:
    """The results of a run by name, and the gradients of all that learns; None where one gets none.

    They are to be read before the next run, which may give others in the same memory.
    """
    begin_step(call.device)
    given = [
        None if each is None else each.detach().requires_grad_(learns)
        for each, learns in zip(call.given, call.learned, strict=True)
    ]
    on, dtype, cached = call.autocast
    with passing(call.place), torch.autocast(call.device.type, dtype=dtype, enabled=on, cache_enabled=cached):
        torch.manual_seed(call.number)
        results = tensors_in(work(*given))
    wanted = {f"of input {number}": each for number, each in enumerate(given) if each is not None}
    wanted |= {f"of {name}": each for name, each in call.part.named_parameters()}
    wanted = {name: each for name, each in wanted.items() if each.requires_grad}
    traced = [each for each in results if each.requires_grad]
    found: dict[str, Tensor | None] = {f"result {number}": each.detach() for number, each in enumerate(results)}
    if traced and wanted:
        gradients = torch.autograd.grad(traced, list(wanted.values()), list(map(_cotangent, traced)), allow_unused=True)
        found |= {f"the gradient {name}": each for name, each in zip(wanted, gradients, strict=True)}
    return found


def _cotangent(result: Tensor) -> Tensor:
    """A gradient for a result, the same in every run."""
    generator = torch.Generator(result.device).manual_seed(0)
    drawn = torch.randn(result.shape, generator=generator, device=result.device)
    return (_COTANGENT * drawn).to(result.dtype)


def _difference(written: dict[str, Tensor | None], found: dict[str, Tensor | None], tolerance: float) -> str:
    """Which of two runs' results or gradients differs most, beyond the tolerance, and by how much; empty for none."""
    if written.keys() != found.keys():
        return f"{len(found)} of them, and {len(written)} as written"
    pairs = {name: (written[name], found[name]) for name in written}
    norms = {name: _norm(one) for name, (one, _) in pairs.items()}
    whole = sum(norm**2 for name, norm in norms.items() if name.startswith("the gradient")) ** 0.5
    worst, worst_by = "", tolerance
    for name, (one, other) in pairs.items():
        least = _FLOOR * whole if name.startswith("the gradient") else 0.0
        by = _apart(one, other) / max(norms[name], least, torch.finfo(torch.float32).tiny)
        if not by <= worst_by:  # NaN as well
            worst, worst_by = f"{name} by {by:.1e}", by
    return worst


def _norm(value: Tensor | None) -> float:
    return 0.0 if value is None else float(value.double().norm())


def _apart(one: Tensor | None, other: Tensor | None) -> float:
    """The norm of the difference; no gradient is like one of zeros."""
    if one is None or other is None:
        return _norm(one) + _norm(other)
    return float((one.double() - other.double()).norm()) if one.shape == other.shape else float("inf")


def _timed(call: Call, work: Work) -> float:
    """Seconds of the fastest of some runs."""
    gpu = call.device.type == "cuda"
    taken = []
    for _ in range(_WARM + _TIMED if gpu else 1):
        _wait(call.device)
        began = time.perf_counter()
        _ran(call, work)
        _wait(call.device)
        taken.append(time.perf_counter() - began)
    return min(taken[-_TIMED:])


def begin_step(device: torch.device) -> None:
    """Says that what the CUDA graphs of the step before have given is not read any more."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
