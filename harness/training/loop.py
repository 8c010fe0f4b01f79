"""The training loop, the same for every backbone, refiner, regime and stage, on one process or many.

The memory layout is left to the networks: channels_last makes Restormer faster and NAFNet slower on a CPU, so a network
that gains converts itself and its input. Threads are the job's (harness.jobs.run).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from harness.api.loss import Reads
from harness.cells.cell import Cell
from harness.cells.suite import Run
from harness.core.beat import beat
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.models.assemble import RestorationModel
from harness.models.boundary import as_written
from harness.models.fits import check_fit
from harness.parts.ops import forms
from harness.parts.ops.whole_batch import takes_statistics
from harness.training.average import Average
from harness.training.compiled import Graphs, Made, compiles, worth
from harness.training.compiler import compiled_folder, compiler, compiling_threads
from harness.training.data import Batches
from harness.training.engines.base import Engine, ModelState
from harness.training.engines.choose import strategy_of
from harness.training.journal import Journal, LossCurve, Pending
from harness.training.resume import Resumed, check_together, resumed, save, whole_weights
from harness.training.stages import Part, spans
from harness.training.step import EncodeLive

log = logging.getLogger(__name__)

OpenLoader = Callable[[int, int, Collection[Reads]], Batches]
"""(stage, position, what the losses read) to the training data from that position of the sample stream on."""


@dataclass
class Progress:
    """How far training has come. `seconds`: in the loop, over all attempts."""

    step: int = 0
    position: int = 0
    """Samples seen, which is the position in the sample stream: a stage goes on where the one before it ended, so that
    no stage meets the order and the draws of another one again."""
    seconds: float = 0.0
    final_loss: float = math.nan
    processes: int = 1
    """Number of processes, over which every batch is divided."""
    legs: list[dict[str, Any]] = field(default_factory=list)
    """The fields of the record's `Leg` of every part of the training by other processes, this one's last."""
    takes_statistics: bool = False
    """Whether a batch norm of the network or of a loss has normalised by what it saw together."""
    together: int = 1
    """Trainings that took their steps with it behind one pass of the same backbone, at most, itself included."""
    compilation: dict[str, Any] | None = None
    """The fields of the record's `Compilation`, of the last attempt; None where nothing was to be compiled."""
    forms: dict[str, str] = field(default_factory=dict)
    """What the record tells of them (harness.parts.ops.forms)."""
    pending: Pending = field(default_factory=Pending)


@dataclass(frozen=True)
class Place:
    """Where a training reads and writes."""

    run: Run
    layout: Layout
    journal: Journal
    made_of: Mapping[str, str]
    """Digests, by name, of the data and weights that the cell rests on; checkpoints that were trained from others are
    dropped, with a line in the journal."""
    halved: int = 0
    """How often its micro-batches are halved."""
    keeps_last: bool = False
    """Whether the last step leaves a checkpoint too, from which another job finishes."""


def train(
    cell: Cell,
    model: RestorationModel,
    open_loader: OpenLoader,
    engine: Engine,
    place: Place,
    *,
    registry: Registry,
    encode_live: EncodeLive | None = None,
) -> tuple[Progress, ModelState]:
    """Trains `model` up to the recipe's last step, from the newest whole checkpoint if the cell has one.

    Gives the final weights as well, whole, on rank 0; with `ema` these are the average: that is what is saved,
    evaluated and started from. On a CPU an interrupted and resumed training equals an uninterrupted one bit for bit,
    loss curve included, on the same number of processes that hold all weights; to rounding on any other.
    Raises HarnessError: kind `suite` when the recipe does not fit the network (before the first step), `nan` when the
    loss or the weights stop being finite, `checkpoint` when every checkpoint is damaged, `storage` when one cannot be
    written, `worker_lost` when the weights of the processes came apart.
    """
    training = Training(cell, model, open_loader, engine, place, registry, encode_live)
    training.begin()
    for _ in training.steps():
        pass
    return training.progress, training.weights


@dataclass
class Training:
    """One cell's training, step by step; `train` takes all of them.

    `clock` gives seconds, those that count as the training's.
    """

    cell: Cell
    model: RestorationModel
    open_loader: OpenLoader
    engine: Engine
    place: Place
    registry: Registry
    encode_live: EncodeLive | None
    clock: Callable[[], float] = time.perf_counter
    progress: Progress = field(init=False)
    found: Resumed | None = field(init=False)
    """The checkpoint that it goes on from."""
    curve: LossCurve = field(init=False)
    average: Average = field(init=False)
    began: float = field(init=False)
    weights: ModelState = field(init=False)
    """As they were last looked at, whole, on rank 0; at the end the final ones."""
    made: Made | None = field(init=False, default=None)
    """What runs as graphs; None where nothing is to be compiled."""

    def begin(self) -> int:
        """Prepares the network, with the weights of the newest whole checkpoint; gives its step, 0 without one.

        Raises as `train`.
        """
        engine, model = self.engine, self.model
        check_fit(self.cell, model)
        model.to(engine.device).train()
        found = resumed(self.cell, engine, model, self.place.layout, self.place.journal, self.place.made_of)
        self.found = found
        self.progress = Progress() if found is None else _progress(found)
        if self.progress.step < self.cell.recipe.steps:  # else others have trained all of it
            self.progress.processes = engine.ranks
            self.progress.legs = _legs(self.progress, self.place.run)
        self.curve = LossCurve(self.place.journal, engine, pending=self.progress.pending, last=self.progress.final_loss)
        self.began = self.clock() - self.progress.seconds
        return self.progress.step

    def steps(self) -> Generator[int, None, None]:
        """Takes the optimizer steps that are left of all stages, and gives the number of each once it is taken and
        what is due after it is written. Raises as `train`."""
        run, done = self.place.run, self.progress.step
        longest = max(span.last - max(span.first, done) for span in spans(self.cell))
        # Asked for the longest stage first: the compiler takes seconds to import.
        if not compiles(run, self.engine.device, self.engine.ranks) or not worth(run.compile, longest):
            yield from self._stages()
            return
        with compiler(compiled_folder(self.place.layout), compiling_threads(self.engine.device, run.cpus)):
            self.made = Made()
            yield from self._stages()

    def _stages(self) -> Iterator[int]:
        engine, model, found = self.engine, self.model, self.found
        trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        part: Part | None = None
        for span in spans(self.cell):
            if span.last <= self.progress.step:
                continue
            first = part is None
            part = Part.after(part, span, self.cell, model, trainable, self.registry, engine)
            if first:
                self.average = Average(engine, trainable, self.cell.recipe.ema)
                if found is not None:
                    self.average.load(found.state["average"])
                    part.load(found.state, found.step)
                    found.free()
            yield from self._stage(part)
        if part is None:  # the checkpoint is that of the last step
            assert found is not None, "a training has a step"
            whole = {name: value.detach().cpu() for name, value in model.state_dict().items()}
            self.weights = whole | found.state["average"]
        else:
            self.weights |= self.average.whole()

    def _stage(self, part: Part) -> Iterator[int]:
        """The steps of a stage that are left."""
        span, progress = part.span, self.progress
        graphs = self._graphs(part)
        part.passes.compute(as_written if graphs is None else graphs.how)
        stepper = part.stepper(
            self.cell,
            self.encode_live,
            gives_truth=self.model.reads_truth,
            tells_settings=bool(self.model.told),
            halved=self.place.halved,
            graphs=graphs,
        )
        progress.takes_statistics |= takes_statistics(self.model, *part.passes.objective.modules)
        reads: frozenset[Reads] = part.passes.objective.reads
        reads |= {"pair"} if stepper.gives_truth else set()
        loader = self.open_loader(span.number, progress.position, reads)
        if not self.cell.recipe.alters_inputs:  # which is done on the host
            loader.to(self.engine.device)
        with closing(iter(loader)) as batches:
            for step, batch in zip(range(progress.step + 1, span.last + 1), batches, strict=False):
                beat()
                rate = span.learning_rate(step)
                self.engine.set_learning_rate(rate)
                with forms.noting(progress.forms):
                    loss = stepper(batch, step, rate=rate / span.peak)
                self.curve.add(loss, images=span.batch)
                self.average.update()
                self._look(step, rate, part, loader.position)
                yield step
        progress.step, progress.position = span.last, loader.position

    def _graphs(self, part: Part) -> Graphs | None:
        """What the steps of a stage that are left run as; None for as they are written."""
        run = self.place.run
        if self.made is None or not worth(run.compile, part.span.last - self.progress.step):
            return None
        faster = run.compile == "auto" and not run.deterministic
        return Graphs(part.passes, self.engine.device, self.made, faster=faster)

    def _look(self, step: int, rate: float, part: Part, position: int) -> None:
        """Lines of the loss curve and checkpoints, where they are due."""
        run, progress, steps = self.place.run, self.progress, self.cell.recipe.steps
        if step % run.log_every == 0 or step == steps:
            self.curve.line(step, steps=steps, lr=rate)
        if step % run.checkpoint_every and step != steps:
            return
        progress.step, progress.position = step, position
        progress.pending, progress.final_loss = self.curve.pending(step), self.curve.last
        progress.seconds = self.clock() - self.began
        progress.compilation = self.made.record() if self.made is not None and self.made.parts else None
        objective = part.passes.objective
        check_together(self.engine, step, objective.adversaries.networks, (self.model, *objective.modules))
        self.weights = whole_weights(self.engine, step)
        if step < steps or self.place.keeps_last:
            told = {
                "position": position,
                "seconds": progress.seconds,
                "final_loss": progress.final_loss,
                "pending": [list(progress.pending.sums), progress.pending.steps],
                "legs": progress.legs,
                "takes_statistics": progress.takes_statistics,
                "together": progress.together,
                "compilation": progress.compilation,
                "forms": progress.forms,
            }
            folder = self.place.layout.checkpoints(self.cell.id)
            save(folder, step, self.engine, self.weights, part, self.average, told, self.place.made_of)
            self.place.journal.write("checkpoint", step=step)
        beat()


def _progress(found: Resumed) -> Progress:
    """Where a checkpoint left off."""
    state = found.state
    sums, steps = state["pending"]
    pending = Pending(tuple(sums), steps)
    legs = list(state.get("legs", ()))  # checkpoints of earlier releases tell neither these nor what follows
    return Progress(
        found.step,
        state["position"],
        state["seconds"],
        state["final_loss"],
        processes=legs[-1]["processes"] if legs else 1,
        legs=legs,
        takes_statistics=state.get("takes_statistics", False),
        together=state.get("together", 1),
        compilation=state.get("compilation"),
        forms=state.get("forms", {}),
        pending=pending,
    )


def _legs(progress: Progress, run: Run) -> list[dict[str, Any]]:
    """What a checkpoint says of who trained so far, with those who go on, where they are others."""
    own = {"processes": progress.processes, "strategy": strategy_of(run, progress.processes)}
    if progress.legs and progress.legs[-1] == {"after": progress.legs[-1]["after"], **own}:
        return progress.legs
    return [*progress.legs, {"after": progress.step, **own}]
