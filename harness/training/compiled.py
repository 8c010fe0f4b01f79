"""The networks and losses of a training as graphs that torch.compile makes, each with its gradients (`run.compile`).

One graph for each part, and size of what it is given; the checks around parts stay outside. Before the first step with
a new size every part is tried (harness.training.tryout): what cannot be compiled, or gives other numbers, runs as it is
written. The optimizer is no part of it: torch's fused one takes a few kernels for all parameters as it is.

Every process of a gang tries for itself: gradients are exchanged all the same, and so weights stay the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.cells.suite import Run
from harness.core.machine import is_of_machine
from harness.core.text import first_line
from harness.models.assemble import RestorationModel
from harness.parts.ops import forms
from harness.parts.ops.whole_batch import follows_groups, trying
from harness.training.engines.choose import strategy_of
from harness.training.passes import MicroBatch, Passes
from harness.training.tryout import Call, Tried, Work, autocast_of, begin_step, buffers_kept, tried

log = logging.getLogger(__name__)

WORTH = 2000
"""Steps that a stage has left from which on `compile: auto` compiles. A guess: graphs take a minute or two to make, and
steps on an H100 gain 15 to 80 ms (measured with graphs by hand); to be measured there with these."""
SIZES = 4
"""Sizes of what the network is given, in one stage, that get graphs of their own."""

Key = tuple[Any, ...]


@dataclass
class Made:
    """What of a training's steps runs as graphs, over its stages."""

    parts: dict[str, str] = field(default_factory=dict)
    """`compiled`, or why a part runs as written; in any of the stages and sizes."""
    seconds: float = 0.0
    as_written: float = 0.0
    """Seconds of all parts, on the batches that they were tried with; and those of what then ran in their place."""
    as_it_runs: float = 0.0

    def add(self, name: str, found: Tried) -> None:
        """Takes note of a try."""
        self.seconds += found.seconds
        if found.as_written is not None and found.as_graph is not None:
            self.as_written += found.as_written
            self.as_it_runs += found.as_graph if found.graph else found.as_written
        self.tell(name, found.reason)

    def tell(self, name: str, reason: str) -> None:
        """Takes note of a part that runs as written, for a reason; of a compiled one without."""
        if reason or name not in self.parts:
            self.parts[name] = reason or "compiled"

    def record(self) -> dict[str, Any]:
        """The fields of the record's `Compilation`."""
        speedup = self.as_written / self.as_it_runs if self.as_it_runs else None
        return {"parts": dict(self.parts), "seconds": self.seconds, "speedup": speedup}


def compiles(run: Run, device: torch.device, ranks: int) -> bool:
    """Whether a training on these processes may be compiled. One line in the log where a suite could expect it."""
    if run.compile == "off" or (run.compile == "auto" and device.type != "cuda"):
        return False
    if strategy_of(run, ranks) in ("fsdp2", "deepspeed"):
        log.info("not compiled: strategy %s cuts weights between the layers of a graph", run.strategy)
        return False
    return True


def worth(mode: Literal["auto", "off", "on"], steps: int) -> bool:
    """Whether a stage with so many steps left is compiled, where its training may be."""
    if mode == "auto" and steps < WORTH:
        log.info("not compiled: %d steps do not repay it", steps)
        return False
    return True


class Graphs:
    """The graphs of one stage.

    `faster`: a graph is used only where it is faster than the part as written.
    """

    def __init__(self, passes: Passes, device: torch.device, made: Made, *, faster: bool) -> None:
        self._passes, self._device, self._made, self._faster = passes, device, made, faster
        self._graphs: dict[Key, Work | None] = {}
        """None for what runs as written."""
        self._sizes: set[tuple[int, ...]] = set()
        self._names = _names(passes)
        self._written = _reasons(passes)
        self._look: _Look | None = None
        for name, reason in self._written.items():
            self._tell(name, reason)

    def how(self, part: nn.Module, work: Work) -> Work:
        """What runs in the place of a part's work (harness.models.boundary.How)."""
        return work if self._name(part) in self._written else partial(self._run, part, work)

    def is_new(self, size: tuple[int, ...]) -> bool:
        """Whether nothing was tried with images of a size (B, C, H, W) yet."""
        return size not in self._sizes

    def try_out(self, size: tuple[int, ...], part: MicroBatch) -> None:
        """Tries all parts of the training on some images of a size; numbers of the training stay as they are."""
        self._sizes.add(size)
        if len(self._sizes) > SIZES:
            if len(self._sizes) == SIZES + 1:
                log.info("images of further sizes than %d run as written", SIZES)
            return
        with forms.noting():  # of the training is noted how it goes on, and not how it is tried
            for key, (call, reason) in self._calls(part).items():
                if reason:
                    self._keep(key, call.part, reason)
                else:
                    self._try(key, call)
        begin_step(self._device)

    def _try(self, key: Key, call: Call) -> None:
        name, found = self._name(call.part), tried(call, faster=self._faster)
        self._graphs[key] = found.graph
        if found.graph is None:
            self._tell(name, found.reason)
        elif found.as_written is not None and found.as_graph:
            speedup = found.as_written / found.as_graph
            log.info("%s is compiled in %.1f s, and %.2f times as fast", name, found.seconds, speedup)
        self._made.add(name, found)

    def begin_step(self) -> None:
        """A step begins: nothing reads any more what graphs gave in the one before.

        All that stays of a step is in other memory: weights, the optimizer's and the average's state, and sums of
        losses, which are new tensors.
        """
        begin_step(self._device)

    def _calls(self, part: MicroBatch) -> dict[Key, tuple[Call, str]]:
        """The different calls of a pass."""
        self._look = look = _Look(part)
        devices = [self._device] if self._device.type == "cuda" else []
        parts = (self._passes.model, *self._passes.objective.modules)
        try:
            with buffers_kept(*parts), torch.random.fork_rng(devices=devices), trying(part.place, look.sums):
                self._passes(part)
        finally:
            self._look = None
        return look.seen

    def _run(self, part: nn.Module, work: Work, *given: Tensor | None) -> Any:
        key = _key(part, work, given)
        if self._look is not None:
            return self._look(key, part, work, given)
        graph = self._graphs.get(key)
        if graph is None:
            if key not in self._graphs and len(self._sizes) <= SIZES:
                self._keep(key, part, "it was not tried with what it is given here")
            return work(*given)
        try:
            with torch.compiler.set_stance("fail_on_recompile"):
                return graph(*given)
        except RuntimeError as error:
            if is_of_machine(error):
                raise
            self._keep(key, part, first_line(str(error)))
        return work(*given)

    def _keep(self, key: Key, part: nn.Module, reason: str) -> None:
        """Lets a call run as written from now on."""
        self._graphs[key] = None
        self._tell(self._name(part), reason)

    def _tell(self, name: str, reason: str) -> None:
        if self._made.parts.get(name) != reason:  # as it was in the stage before
            log.info("%s runs as written: %s", name, reason)
        self._made.tell(name, reason)

    def _name(self, part: nn.Module) -> str:
        return self._names.get(id(part), type(part).__name__)


@dataclass
class _Look:
    """A pass of images as written, in which every call of a part is noted."""

    images: MicroBatch
    seen: dict[Key, tuple[Call, str]] = field(default_factory=dict)
    """The calls, and why the part is to run as written; empty where it is to be tried."""
    asked: bool = False
    """Whether the present part has asked for sums over other passes of the batch."""

    def sums(self, own: Tensor) -> Tensor:
        """Stands for the sums over all passes of the batch."""
        self.asked = True
        return own

    def __call__(self, key: Key, part: nn.Module, work: Work, given: tuple[Tensor | None, ...]) -> Any:
        place = self.images.place
        call = Call.of(part, work, given, place, self.images.number)
        self.asked = False
        result = work(*given)
        over_batch = not place.is_whole and (self.asked or follows_groups(part))
        self.seen.setdefault(key, (call, _IN_PARTS if over_batch else ""))
        return result


_IN_PARTS = "it looks over a batch that passes in several parts"


def _key(part: nn.Module, work: Work, given: tuple[Tensor | None, ...]) -> Key:
    """What a graph is made for."""
    device = next((each.device for each in given if each is not None), torch.device("cpu"))
    called = getattr(work, "__name__", "")
    told = (None if each is None else (each.shape, each.stride(), each.dtype, each.requires_grad) for each in given)
    return id(part), called, part.training, torch.is_grad_enabled(), *autocast_of(device), *told


def _names(passes: Passes) -> Mapping[int, str]:
    """The parts of a training, as the record calls them."""
    model = passes.model
    named = {id(term.loss): term.name for term in passes.objective.terms if term.name}
    for name in ("backbone", "refiner"):
        part = getattr(model, name, None)
        if part is not None:
            named[id(part)] = name
    return named


def _reasons(passes: Passes) -> dict[str, str]:
    """The parts that are not even tried, and why."""
    model, found = passes.model, {}
    if isinstance(model, RestorationModel) and model.taps:
        found["backbone"] = "the refiner edits its features inside"
        if model.edits_decoder:
            found["refiner"] = "it edits the decoder's features in functions of its own"
    for term in passes.objective.terms:
        if term.traits.takes != "images":
            found[term.name] = "it reads more than an image and its truth"
    return found
