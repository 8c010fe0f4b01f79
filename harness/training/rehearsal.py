"""One step of each stage of a cell, without numbers: the network, its losses, their gradients; then one test image.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from harness.api.batch import Restored
from harness.api.declaration import declaration
from harness.api.loss import Adversary, Loss, LossInputs, Reads
from harness.api.prior import PriorDim
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.patches import Sides, sides_of
from harness.cells.recipe import LossTerm
from harness.core.errors import HarnessError
from harness.core.identity import canonical_json
from harness.core.registry import Registry
from harness.core.source import is_file
from harness.models.assemble import RestorationModel
from harness.parts.guard import check_loss, made
from harness.spec.checks import declared_side
from harness.training.adversaries import Adversaries
from harness.training.building import Device, built, imported
from harness.training.faults import Fault, Found, blamed
from harness.training.objective import Images, Objective, Term
from harness.training.outputs import detached
from harness.training.stages import Span, choose_trained, spans
from harness.weights.files import needed_files

TEST_SIDES = 40, 56
"""Height and width, in pixels, of the test image, each raised to the next that the network takes."""

MOST_BATCH = 2
"""Images of a batch with numbers in which images have to be told apart."""
SMALLEST = 16
"""Pixels a side of the smallest patch, raised to the next that the network takes."""
WHOLE = 128
"""Pixels a side of a whole training image where nothing says how large one is."""


@dataclass(frozen=True)
class Size:
    """How much of a recipe's batch a step sees."""

    images: int | None = None
    """At most so many; the whole batch when None."""
    smallest: bool = False
    """Patches as small as the network takes, in place of the recipe's, and no test image."""
    gradients: bool = False


def rehearse(cell: Cell, model: RestorationModel, prior_dim: PriorDim | None, registry: Registry, size: Size) -> None:
    """Raises Found for the first thing that fails, Unknowable where that depends on numbers."""
    trainable = {name for name, each in model.named_parameters() if each.requires_grad}
    for span in () if cell.ready_made else _different(spans(cell), whole_sides(cell, registry)):
        choose_trained(model, trainable, span.stage.trains)
        _stage(_Step(cell, model.train(), prior_dim, registry, size), span)
    choose_trained(model, trainable, ())
    if not size.smallest:
        _test(_Step(cell, model.eval(), prior_dim, registry, size))


def whole_sides(cell: Cell, registry: Registry) -> Sides:
    """What a whole training image is taken to be: as it is resized, or as small as the data set says, or a guess."""
    side = declared_side(cell.train, registry) or WHOLE
    return cell.recipe.resize or (side, side)


def pixels(cell: Cell, registry: Registry) -> int:
    """Pixels of the largest batch of a rehearsal with numbers."""
    sizes = [TEST_SIDES[0] * TEST_SIDES[1]]
    if not cell.ready_made:
        whole = whole_sides(cell, registry)
        parts = cell.recipe.parts
        sizes += [prod(sides_of(part.patch) or whole) * min(part.batch or 1, MOST_BATCH) for part in parts]
    return max(sizes)


def _different(all_spans: Sequence[Span], whole: Sides) -> list[Span]:
    """The stages that differ in more than their size; of those alike, the ones of the smallest and largest patches."""
    alike: dict[str, list[Span]] = {}
    for span in all_spans:
        terms = [term.model_dump_json() for term in (*(span.stage.losses or ()), *span.added)]
        alike.setdefault(canonical_json([span.stage.trains, len(span.added), terms]), []).append(span)
    chosen: list[Span] = []
    for group in alike.values():
        ordered = sorted(group, key=lambda span: prod(sides_of(span.stage.patch) or whole))
        chosen += ordered[:1] if ordered[0].stage.patch == ordered[-1].stage.patch else [ordered[0], ordered[-1]]
    return chosen


@dataclass(frozen=True)
class _Step:
    """A cell's network and what it is given."""

    cell: Cell
    model: RestorationModel
    prior_dim: PriorDim | None
    registry: Registry
    size: Size

    @property
    def backbone(self) -> PartRef:
        assert self.cell.backbone is not None, self.cell.id
        return self.cell.backbone

    def images(self, count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Degraded images as the network reads them, and truths as it gives them."""
        can = self.model.capabilities
        lq_BCHW = torch.rand(count, can.channels_in, height, width)
        same = can.channels_out == can.channels_in
        return lq_BCHW, lq_BCHW if same else torch.rand(count, can.channels_out, height, width)

    def forward(self, lq_BCHW: Tensor, truth_BCHW: Tensor | None, what: str) -> Restored:
        """What the network makes of images. `truth_BCHW`: None where it reads none; `what`: how messages call them."""
        given: list[Tensor | None] = [None]
        if self.prior_dim is not None:
            width = prod(self.prior_dim) if isinstance(self.prior_dim, tuple) else self.prior_dim
            given = [functional.normalize(torch.rand(len(lq_BCHW), width), dim=1)]
        given += [] if truth_BCHW is None else [truth_BCHW]
        settings = {
            name: torch.full((len(lq_BCHW),), value) for name, value in settings_of(self.cell, self.registry).items()
        }
        refiner, doing = self.cell.variant.refiner, f"does not take {what}"
        if refiner is None:
            with blamed("backbone", self.backbone, self.registry, doing):
                return self._checked(self.model(lq_BCHW, *given, settings=settings), lq_BCHW)
        try:
            return self._checked(self.model(lq_BCHW, *given, settings=settings), lq_BCHW)
        except (Exception, SystemExit) as error:
            self._alone(lq_BCHW, truth_BCHW, settings, doing)
            with blamed("refiner", refiner, self.registry, f"does not take {what} from {self.backbone.name}"):
                raise error

    def _alone(self, lq_BCHW: Tensor, truth_BCHW: Tensor | None, settings: Mapping[str, Tensor], doing: str) -> None:
        """Raises Found when the backbone fails without its refiner."""
        shows_truth: tuple[Literal["training", "test"], ...] = ()
        if truth_BCHW is not None:
            shows_truth = ("training", "test") if self.model.reads_truth_at_test else ("training",)
        alone = RestorationModel(self.model.backbone, shows_truth=shows_truth)
        alone.training = self.model.training
        with blamed("backbone", self.backbone, self.registry, doing):
            given = [truth_BCHW] if shows_truth else []
            self._checked(alone(lq_BCHW, None, *given, settings=settings), lq_BCHW)

    def _checked(self, restored: Restored, lq_BCHW: Tensor) -> Restored:
        """The restorations. Raises HarnessError for some that are not of the size of the images."""
        shape = (len(lq_BCHW), self.model.capabilities.channels_out, *lq_BCHW.shape[2:])
        for image in (restored.initial_BCHW, restored.refined_BCHW):
            if image is not None and (not isinstance(image, Tensor) or image.shape != shape):
                gives = f"a tensor {list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
                raise HarnessError(f"it gives {gives} for images {list(lq_BCHW.shape)}")
        return restored


def settings_of(cell: Cell, registry: Registry) -> dict[str, float]:
    """What the images of a cell are made with, one value each: the middle of every range that is drawn from."""
    source = cell.task.derived_from
    if source is None or not source.drawn:
        return {}
    varies = declaration(registry, "degradation", source.name).traits.varies
    given = {name: source.options[name] for name in varies}
    return {name: sum(value) / 2 if isinstance(value, list | tuple) else float(value) for name, value in given.items()}


def _stage(step: _Step, span: Span) -> None:
    """One optimizer step: forward, all losses, and their gradients where asked for."""
    can, batch = step.model.capabilities, span.stage.micro_batch or span.batch
    own = sides_of(span.stage.patch)
    whole = (can.fitting(side) for side in whole_sides(step.cell, step.registry))
    height, width = own or whole
    seen = (can.fitting(SMALLEST),) * 2 if step.size.smallest else (height, width)
    lq_BCHW, truth_BCHW = step.images(min(batch, step.size.images or batch), *seen)
    objective, parts, reads = _objective(step, span)
    truth = step.model.reads_truth
    images = Images(
        lq_BCHW,
        truth_BCHW if truth or "pair" in reads else None,
        truth_BCHW if "unpaired" in reads else None,
    )
    one, more = ("an image", "images") if own is None else ("a patch", "patches")
    patches = one if batch == 1 else f"{batch} {more}"
    restored = step.forward(lq_BCHW, truth_BCHW if truth else None, f"{patches} of {height}×{width} pixels in training")
    total = lq_BCHW.new_zeros(())
    for factor, inputs, term in objective.seen(restored, images, span.first + 1):
        total = total + factor * _value(step, parts[id(term.loss)], inputs, term)
    if total.requires_grad:
        if step.size.gradients:
            with blamed("backbone", step.backbone, step.registry, "cannot be trained"):
                total.backward()
    elif len(parts) == len(_terms(step, span)):
        what = f"no loss trains anything of steps {span.first + 1} to {span.last}"
        raise Found(Fault("recipe", what, "losses that look at what trains", "", ("losses",)))
    step.model.zero_grad(set_to_none=True)
    _adversaries(step, objective, parts, detached(restored), images, span.first + 1)


def has_guests(cell: Cell, registry: Registry) -> bool:
    """Whether a part of a cell is the user's own."""
    variant, source, prior = cell.variant, cell.prior_source, cell.variant.prior
    named: list[tuple[str, PartRef | None]] = [
        ("backbone", cell.backbone),
        ("refiner", variant.refiner),
        ("backbone", source.backbone if source else None),
    ]
    named += [("loss", term.part) for span in spans(cell) for term in (*(span.stage.losses or ()), *span.added)]
    while prior is not None:
        named.append(("prior", prior))
        prior = prior.derived_from
    return any(
        part is not None and is_file(registry.get(kind, part.name).target.partition(":")[0]) for kind, part in named
    )


def _terms(step: _Step, span: Span) -> list[tuple[LossTerm, bool]]:
    """The losses of a stage, and whether the refiner adds them."""
    return [(term, False) for term in span.stage.losses or ()] + [(term, True) for term in span.added]


def _objective(step: _Step, span: Span) -> tuple[Objective, dict[int, PartRef], set[Reads]]:
    """The losses of a stage but for those that read files of weights; their parts; and what all of them read."""
    terms: list[Term] = []
    parts: dict[int, PartRef] = {}
    reads: set[Reads] = set()
    device: Device = "meta" if torch.empty(0).device.type == "meta" else "cpu"
    for term, added in _terms(step, span):
        ref = term.part
        declared = declaration(step.registry, "loss", ref.name)
        reads.add(declared.traits.reads)
        options = declared.filled(ref.arguments)
        if needed_files(declared.traits, options, f"loss {ref.name}"):
            continue
        with blamed("loss", ref, step.registry, "cannot be built"):
            imported(step.registry, "loss", ref.name)
            loss = built(partial(made, step.registry, "loss", ref.name, **ref.arguments), device)
        terms.append(Term(term.weight, cast(Loss, loss), options, added, term.refined_weight))
        parts[id(loss)] = ref
    return Objective(terms, step.cell.recipe.refined_weight, Adversaries(())), parts, reads


def _value(step: _Step, part: PartRef, inputs: LossInputs, term: Term) -> Tensor:
    """A loss of one restoration."""
    with blamed("loss", part, step.registry, f"cannot be computed for {_called(step)}"):
        try:
            value = term(inputs)
        except KeyError as error:
            missing = error.args[0] if error.args else None
            if isinstance(missing, str) and missing not in inputs.outputs:
                gives = ", ".join(inputs.outputs) or "none"
                what = f"it reads the output {missing!r}, and the outputs are: {gives}"
                raise HarnessError(what, hint="leave it out, or take the network that it is for") from error
            raise
        learns = term.traits.takes == "images" and inputs.restored_BCHW.requires_grad
        return check_loss(term.loss, value, learns=learns)


def _adversaries(
    step: _Step, objective: Objective, parts: dict[int, PartRef], restored: Restored, images: Images, number: int
) -> None:
    """The losses by which adversaries train themselves."""
    for _, inputs, term in objective.seen(restored, images, number):
        if term.traits.adversary:
            part = parts[id(term.loss)]
            with blamed("loss", part, step.registry, f"cannot train its own network on {_called(step)}"):
                value = cast(Adversary, term.loss).own_loss(inputs)
                if step.size.gradients:
                    value.backward()


def _called(step: _Step) -> str:
    refiner = step.cell.variant.refiner
    return f"{step.backbone.name} with {refiner.name}" if refiner else step.backbone.name


def _test(step: _Step) -> None:
    """One whole image, as it is restored in test."""
    can = step.model.capabilities
    height, width = (can.fitting(min(side, can.tile or side)) for side in TEST_SIDES)
    with torch.no_grad():
        lq_BCHW, truth_BCHW = step.images(1, height, width)
        seen = truth_BCHW if step.model.reads_truth_at_test else None
        step.forward(lq_BCHW, seen, f"an image of {height}×{width} pixels in test")
