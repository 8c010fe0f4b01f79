"""The networks and losses of a training as graphs that torch.compile makes, each with its gradients (`run.compile`).

One graph for each part, and size of what it is given; the checks around parts stay outside. Before the first step with
a new size every part is tried (harness.training.tryout): what cannot be compiled, or gives other numbers, runs as it is
written. The optimizer is no part of it: torch's fused one takes a few kernels for all parameters as it is.

Every process of a gang tries for itself: gradients are exchanged all the same, and so weights stay the same. So does
every training of several that share a pass (harness.training.one_pass). What the first attempt of a training found, its
checkpoints hold, and later attempts follow (harness.training.verdicts).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.core.machine import is_of_machine
from harness.core.text import first_line
from harness.models.assemble import RestorationModel
from harness.parts.ops import forms
from harness.parts.ops.whole_batch import trying
from harness.training.engines.choose import strategy_of
from harness.training.kept import left_alone
from harness.training.look import Key, Look, key_of, unshared
from harness.training.outputs import tensors_in
from harness.training.passes import MicroBatch, Passes
from harness.training.tryout import Call, Tried, Work, begin_step, tried
from harness.training.verdicts import ByStage, Verdicts

log = logging.getLogger(__name__)

WORTH = 2000
"""Steps of a stage from which on `compile: auto` compiles. A guess: graphs take a minute or two to make, and
steps on an H100 gain 15 to 80 ms (measured with graphs by hand); to be measured there with these."""
SIZES = 4
"""Sizes of what the network is given, in one stage, that get graphs of their own."""


@dataclass
class Made:
    """What of a training's steps runs as graphs, over its stages."""

    parts: dict[str, str] = field(default_factory=dict)
    """`compiled`, or why a part runs as written; in any of the stages and sizes."""
    seconds: float = 0.0
    as_written: float = 0.0
    """Seconds of all parts, on the batches that they were tried with; and those of what then ran in their place."""
    as_it_runs: float = 0.0
    verdicts: ByStage = field(default_factory=dict)
    """What this attempt found, and those before it."""

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
    """Whether a stage of so many steps is compiled, where its training may be."""
    if mode == "auto" and steps < WORTH:
        log.info("not compiled: %d steps do not repay it", steps)
        return False
    return True


class Graphs:
    """The graphs of one stage.

    `faster`: a graph is used only where it is faster than the part as written. `stage`: the step after which the stage
    begins.
    """

    def __init__(self, passes: Passes, device: torch.device, made: Made, *, faster: bool, stage: int = 0) -> None:
        self._passes, self._device, self._made, self._faster = passes, device, made, faster
        self._graphs: dict[Key, Work | None] = {}
        """None for what runs as written."""
        self._verdicts = made.verdicts.setdefault(stage, Verdicts())
        self._before = dict(self._verdicts.found)
        """What an earlier attempt found."""
        self._sizes: set[tuple[int, ...]] = set()
        """Those that this attempt has met."""
        self._further = False
        """Whether it has met more than are tried."""
        self._backwards = ""
        """The part whose graph gives gradients now."""
        self._names = _names(passes)
        self._written = _reasons(passes)
        self._look: Look | None = None
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
        sizes = self._verdicts.sizes
        if size not in sizes and len(sizes) >= SIZES:
            if not self._further:
                log.info("images of further sizes than %d run as written", SIZES)
            self._further = True
            return
        if size not in sizes:
            sizes.append(size)
        with forms.noting():  # of the training is noted how it goes on, and not how it is tried
            for key, (call, reason) in self._calls(part).items():
                before = self._before.get(self._told(key))
                if before or reason:
                    self._keep(key, call.part, before or reason)
                else:
                    self._try(key, call, follows=before is not None)
        begin_step(self._device)

    def _try(self, key: Key, call: Call, *, follows: bool) -> None:
        """`follows`: an earlier attempt ran a graph, and so does this one, if it can."""
        name = self._name(call.part)
        log.info("a graph of %s is made: minutes, where none is in the compiler's cache", name)
        found = tried(call, faster=self._faster and not follows)
        self._graphs[key] = found.graph
        self._verdicts.found.setdefault(self._told(key), found.reason)
        if found.graph is None:
            found = replace(found, reason=found.reason + (_AFTER if follows else ""))
            self._tell(name, found.reason)
        elif found.as_written is not None and found.as_graph:
            speedup = found.as_written / found.as_graph
            said = "" if speedup >= 1 else ": slower, and kept all the same, as it was asked for"
            log.info("%s is compiled in %.1f s, and %.2f times as fast%s", name, found.seconds, speedup, said)
        self._made.add(name, found)

    def begin_step(self) -> None:
        """A step begins: nothing reads any more what graphs gave in the one before.

        All that stays of a step is in other memory: weights, the optimizer's and the average's state, and sums of
        losses, which are new tensors.
        """
        begin_step(self._device)

    def _calls(self, part: MicroBatch) -> dict[Key, tuple[Call, str]]:
        """The different calls of a pass."""
        self._look = look = Look(part)
        model = self._passes.model
        try:
            with (
                left_alone(self._device, model, *self._passes.objective.modules),
                trying(part.place, look.sums),
                unshared(model),
            ):
                self._passes(part)
        finally:
            self._look = None
        return look.seen

    def _run(self, part: nn.Module, work: Work, *given: Tensor | None) -> Any:
        key = key_of(part, work, given)
        if self._look is not None:
            return self._look(key, part, work, given)
        graph = self._graphs.get(key)
        if graph is None:
            if key not in self._graphs and not self._further:
                self._keep(key, part, "it was not tried with what it is given here")
            return work(*given)
        try:
            with torch.compiler.set_stance("fail_on_recompile"):
                return self._followed(part, graph(*given))
        except RuntimeError as error:
            if is_of_machine(error):
                raise
            said = str(error)
            self._keep(key, part, _ANEW if said.startswith(_RECOMPILES) else first_line(said))
        return work(*given)

    def _followed(self, part: nn.Module, result: Any) -> Any:
        """What a graph gave; the gradients that come back to it tell whose graph is next to give its own."""
        name = self._name(part)

        def begins(_gradient: Tensor) -> None:
            self._backwards = name

        for each in tensors_in(result):
            if each.requires_grad:
                each.register_hook(begins)
        return result

    @contextmanager
    def backwards(self) -> Iterator[None]:
        """A block that computes gradients. Raises HarnessError for what fails in a graph, with its part's name."""
        self._backwards = ""
        try:
            yield
        except Exception as error:
            if not self._backwards or isinstance(error, HarnessError) or is_of_machine(error) or not _in_graph(error):
                raise
            said = first_line(str(error), 300)
            what = f"the graph of {self._backwards} cannot compute its gradients: {type(error).__name__}: {said}"
            raise HarnessError(what, where="run.compile", hint="run: {compile: off}") from error

    def form(self, part: nn.Module) -> tuple[str, ...]:
        """How a part is computed: its calls that run as graphs."""
        return tuple(sorted(self._told(key) for key, graph in self._graphs.items() if graph and key[0] == id(part)))

    def _keep(self, key: Key, part: nn.Module, reason: str) -> None:
        """Lets a call run as written from now on."""
        self._graphs[key] = None
        self._verdicts.found[self._told(key)] = reason
        self._tell(self._name(part), reason)

    def _told(self, key: Key) -> str:
        """A call, as an attempt tells the next one of it."""
        place = list(self._names).index(key[0]) if key[0] in self._names else -1
        return repr((place, self._names.get(key[0], ""), *key[1:]))

    def _tell(self, name: str, reason: str) -> None:
        if self._made.parts.get(name) != reason:  # as it was in the stage before
            log.info("%s runs as written: %s", name, reason)
        self._made.tell(name, reason)

    def _name(self, part: nn.Module) -> str:
        return self._names.get(id(part), type(part).__name__)


_ANEW = "what its graph was made for has changed: its graph would have to be made anew in mid-training"
_AFTER = " (it was a graph before the training was cut off)"
_RECOMPILES = "Detected recompile"
"""How torch begins to say so."""


def _in_graph(error: BaseException) -> bool:
    """Whether an error comes from what torch.compile has made."""
    makers = ("/torch/_functorch/", "/torch/_inductor/", "/torch/_dynamo/")
    return any(maker in each.tb_frame.f_code.co_filename for each in _frames(error) for maker in makers)


def _frames(error: BaseException) -> Iterator[TracebackType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


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
