"""The training loop, the same for every backbone, refiner, regime and stage, on one process or many.

The memory layout is left to the networks: channels_last makes Restormer faster and NAFNet slower on a CPU, so a network
that gains converts itself and its input. Threads are the job's (harness.jobs.run).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field

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
from harness.training.journal import Journal, LossCurve
from harness.training.progress import Progress, legs_with, progress_of
from harness.training.resume import Resumed, check_together, resumed, save, whole_weights
from harness.training.stages import Part, spans
from harness.training.step import EncodeLive
from harness.training.verdicts import followed, ran_as_graphs, told

log = logging.getLogger(__name__)

OpenLoader = Callable[[int, int, Collection[Reads]], Batches]
"""(stage, position, what the losses read) to the training data from that position of the sample stream on."""


@dataclass(frozen=True)
class Place:
    """Where a training reads and writes."""

    run: Run
    layout: Layout
    journal: Journal
    made_of: Mapping[str, str]
    """Digests, by name, of the data and weights that the cell rests on; checkpoints that were trained from others are
    dropped, with a line in the journal."""
    on: Mapping[str, str]
    """The fields of the record's `Leg` that tell this process's machine and code."""
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
    graphs: Graphs | None = field(init=False, default=None)
    """Of the present stage."""

    def begin(self) -> int:
        """Prepares the network, with the weights of the newest whole checkpoint; gives its step, 0 without one.

        Raises as `train`.
        """
        engine, model = self.engine, self.model
        check_fit(self.cell, model)
        model.to(engine.device).train()
        found = resumed(self.cell, engine, model, self.place.layout, self.place.journal, self.place.made_of)
        self.found = found
        self.progress = Progress() if found is None else progress_of(found)
        if self.progress.step < self.cell.recipe.steps:  # else others have trained all of it
            self.progress.processes = engine.ranks
            self.progress.legs = legs_with(self.progress, self.place.run, self.place.on)
        self.curve = LossCurve(self.place.journal, engine, pending=self.progress.pending, last=self.progress.final_loss)
        self.began = self.clock() - self.progress.seconds
        return self.progress.step

    def steps(self) -> Generator[int, None, None]:
        """Takes the optimizer steps that are left of all stages, and gives the number of each once it is taken and
        what is due after it is written. Raises as `train`."""
        run, engine, progress = self.place.run, self.engine, self.progress
        left = [span for span in spans(self.cell) if span.last > progress.step]
        # By whole stages, and not by what is left of them: where a training was cut off changes nothing. Asked for the
        # longest first: the compiler takes seconds to import.
        longest = max((span.last - span.first for span in left), default=0)
        if not left or not compiles(run, engine.device, engine.ranks) or not worth(run.compile, longest):
            if left and ran_as_graphs(progress.verdicts, left[0].first):
                log.warning("the steps up to %d ran as graphs, and those from there run as written", progress.step)
            yield from self._stages()
            return
        with compiler(compiled_folder(self.place.layout), compiling_threads(engine.device, run.cpus)):
            before = followed(progress.verdicts, engine.rank, engine.ranks, engine.device.type)
            self.made = Made(verdicts=before)
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
            found.free()
        else:
            self.weights |= self.average.whole()

    def _stage(self, part: Part) -> Iterator[int]:
        """The steps of a stage that are left."""
        span, progress = part.span, self.progress
        self.graphs = graphs = self._graphs(part)
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
        """What the steps of a stage run as; None for as they are written."""
        run, span = self.place.run, part.span
        if self.made is None or not worth(run.compile, span.last - span.first):
            return None
        faster = run.compile == "auto" and not run.deterministic
        return Graphs(part.passes, self.engine.device, self.made, faster=faster, stage=span.first)

    def backbone_form(self) -> tuple[str, ...]:
        """How F is computed now: its calls that run as graphs."""
        return () if self.graphs is None else self.graphs.form(self.model.backbone)

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
            if self.made is not None:
                progress.verdicts = self.engine.gather(told(self.made.verdicts, self.engine.device.type))
            folder = self.place.layout.checkpoints(self.cell.id)
            save(folder, step, self.engine, self.weights, part, self.average, progress.told(), self.place.made_of)
            self.place.journal.write("checkpoint", step=step)
        beat()
