"""A suite file → all its cells and the cells that they need, each once. All mistakes are reported together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import cast

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.cells.recipe import Recipe
from harness.cells.suite import ResolvedSuite, SuiteCell
from harness.core.errors import SpecErrors
from harness.core.garbage import seldom_collected
from harness.core.registry import Registry
from harness.core.yaml import Path
from harness.recipes.mapping import BackboneMapping, PartMapping, RecipeMapping
from harness.spec.cells import BASE, Cells
from harness.spec.checks import (
    backbone_mistakes,
    live_mistakes,
    map_mistakes,
    run_mistakes,
    training_mistakes,
    variant_mistakes,
)
from harness.spec.drafts import CellDraft, Layer, TaskDraft, VariantDraft
from harness.spec.labels import label_cells
from harness.spec.layers import Recipes
from harness.spec.merging import merged_drafts, with_inputs
from harness.spec.metrics import named_metrics
from harness.spec.origins import Origin, misplaced, origins
from harness.spec.overlaps import overlap_mistakes
from harness.spec.policies import policy_mistakes
from harness.spec.protocols import named_protocols, refuse_impossible
from harness.spec.published import published_numbers
from harness.spec.resolve import Resolver
from harness.spec.schema import SuiteFile, VariantMapping
from harness.spec.sizes import repeated, too_many
from harness.spec.sweep import Choice, Combination, combinations
from harness.spec.tasks import AS_IT_IS, Options, Placed, Tasks
from harness.spec.unread import Unread
from harness.spec.untrained import untrained
from harness.spec.unused import StageUses
from harness.spec.zero_file import read_run


def expand(suite: SuiteFile, registry: Registry) -> ResolvedSuite:
    """Resolves every name and option of a suite and multiplies its blocks out.

    `registry` must already hold the suite's plug-ins. Raises SpecErrors with all the mistakes of the file: those that
    `load_suite` kept, and unknown names and options, contradictions and empty blocks found here.
    """
    return expand_placed(suite, registry)[0]


@seldom_collected()
def expand_placed(
    suite: SuiteFile, registry: Registry, unread: Unread | None = None
) -> tuple[ResolvedSuite, Mapping[str, Origin]]:
    """As `expand`, and for the id of every cell that trains where in the file it comes from. `unread`: see there."""
    large = too_many(suite)
    if large is not None:
        raise SpecErrors([*suite.problems, large])
    if any(problem.path.partition(".")[0] == "plugins" for problem in suite.problems):
        raise SpecErrors(suite.problems)  # the names that a missing file would have brought would only confuse
    expansion = _Expansion(suite, registry, unread)
    for path, what in repeated(suite):
        expansion.resolver.report(path, what, "remove one")
    for mistake in run_mistakes(suite.run):
        expansion.resolver.report(("run", *mistake.path), mistake.what, mistake.hint)
    run = read_run(suite, expansion.problems)
    metrics, protocols = named_metrics(expansion.resolver), named_protocols(expansion.resolver)
    blocks = [list(expansion.block(index)) for index in range(len(suite.blocks))]
    drafts = list(chain.from_iterable(blocks))
    published = published_numbers(expansion.resolver, blocks, metrics)
    refuse_impossible(expansion.resolver, protocols, [test.task for draft in drafts for test in draft.tests])
    expansion.problems += misplaced([draft.cell for draft in drafts], expansion.origins, run, registry)
    if not suite.allow_overlap:
        expansion.problems += overlap_mistakes(drafts, expansion.origins, registry)
    if not drafts and not expansion.problems:
        expansion.resolver.report(("blocks",), "the suite has no cells")
    if not expansion.problems:  # a variant that is wrong might have trained them
        for path, mistake in expansion.stages.mistakes():
            expansion.resolver.report((*path, *mistake.path), mistake.what, mistake.hint)
    if expansion.problems:
        raise SpecErrors(expansion.problems)
    merged = merged_drafts(with_inputs(drafts))
    labels = label_cells(merged, registry, expansion.resolver.labels)
    resolved = ResolvedSuite(
        name=suite.suite,
        description=suite.description,
        cells=tuple(
            SuiteCell(cell=draft.cell, labels=label, tests=draft.tests, listed=draft.listed)
            for draft, label in zip(merged, labels, strict=True)
        ),
        metrics=metrics,
        protocols=protocols,
        dataset_labels=expansion.resolver.dataset_labels(),
        allow_overlap=suite.allow_overlap,
        published=published,
        run=run,
        plugins=suite.plugins,
    )
    return resolved, expansion.origins


class _Expansion:
    """The state of one expansion: what was resolved before, and the mistakes so far."""

    def __init__(self, suite: SuiteFile, registry: Registry, unread: Unread | None = None) -> None:
        self.suite = suite
        self.problems = list(suite.problems)
        self.resolver = Resolver(suite, registry, self.problems, unread)
        self._recipes = Recipes(self.resolver)
        self._variants: dict[tuple[Path, str], VariantDraft | None] = {}
        self._tasks = Tasks(self.resolver)
        self._cells = Cells(self._recipes, self._tasks)
        self.origins: dict[str, Origin] = {}
        self.stages = StageUses(self._recipes)

    def block(self, index: int) -> Iterator[CellDraft]:
        """The cells of one block in the file's order, each after the cells that it requires."""
        block, path = self.suite.blocks[index], ("blocks", index)
        swept = combinations(self.suite, index, self.resolver.registry, self.problems)
        self._check_axes(path, swept)
        tests, options = self._tests(index), self._test_options(index)
        below = [(self.suite.defaults.recipe, ("defaults", "recipe")), (block.recipe, (*path, "recipe"))]
        layers = [Layer(recipe, at) for recipe, at in below if recipe is not None]
        for combination in swept:
            yield from self._combination(combination, layers, tests, options)

    def _check_axes(self, path: Path, swept: Sequence[Combination]) -> None:
        """Every block needs a task, a data set and a backbone; the variant is `base` when nothing is said."""
        if not all(self.suite.is_whole(at) for at in (path, ("defaults",))):
            return
        for axis in ("task", "dataset", "backbone"):
            if swept and axis not in swept[0].choices:
                hint = f"add {axis}: NAME here or in `defaults`, or {axis}: [NAMES] in `matrix`"
                self.resolver.report(path, f"this block has no {axis}", hint)

    def _test_options(self, index: int) -> Sequence[Options]:
        """The options of the task under which the block's cells are tested, the block's own before the defaults."""
        for owner, path in ((self.suite.blocks[index], ("blocks", index)), (self.suite.defaults, ("defaults",))):
            if owner.test_options is not None:
                return [(given, (*path, "test_options", place)) for place, given in enumerate(owner.test_options)]
        return AS_IT_IS

    def _tests(self, index: int) -> Sequence[Placed] | None:
        """The data sets to test on; empty: the one trained on. None after a mistake."""
        for owner, path in ((self.suite.blocks[index], ("blocks", index)), (self.suite.defaults, ("defaults",))):
            if owner.test is not None:
                refs = [self.resolver.dataset(spec, (*path, "test", i), "test") for i, spec in enumerate(owner.test)]
                found = {id(ref): (ref, (*path, "test", i)) for i, ref in reversed([*enumerate(refs)]) if ref}
                for i, ref in enumerate(refs):
                    first = next(place for place, other in enumerate(refs) if other is ref)
                    if ref is not None and first < i:
                        what = f"the data set {self.resolver.called(ref)} is given twice: it is item {first}, too"
                        self.resolver.report((*path, "test", i), what, "remove one")
                return [*reversed(found.values())] if None not in refs else None
        return ()

    def _combination(
        self,
        combination: Combination,
        below: Sequence[Layer],
        tested: Sequence[Placed] | None,
        options: Sequence[Options],
    ) -> Iterator[CellDraft]:
        """The cells of one combination. Everything is resolved before any mistake ends it, so that all are found."""
        choices = combination.choices
        draft = self._task(choices.get("task"))
        train = self._dataset(choices.get("dataset"), "train" if _trains(choices) else None)
        tested = tested if tested != () else self._own_test(choices.get("dataset"))
        used = draft is not None and self._tasks.uses_options(draft, train, tested or ())
        solved = self._tasks.seen(draft, train, choices["dataset"].path, used=used) if draft and train else None
        tests = self._tasks.tests(draft, tested or (), options, used=used) if draft else ()
        task = solved or (draft.ref if draft else None)
        layers = [*below, *self._axis_layer(choices.get("recipe"))]
        backbone = self._backbone(choices.get("backbone"), layers, task)
        recipe = self._recipes.combined(layers, backbone, task)
        variant = self._variant(choices.get("variant"), layers, backbone, task)
        if variant and "variant" in choices:
            self._check_variant(variant, recipe, backbone, task, choices["variant"].path)
        if variant and choices:
            told = variant if combination.continued else replace(variant, continued=False)
            self.stages.note(told, layers, backbone, task)
            for place, mistake in untrained(told, layers, backbone, task, self._recipes):
                self.resolver.report(place or next(iter(choices.values())).path, mistake.what, mistake.hint)
        if solved is None or train is None or backbone is None or variant is None or recipe is None or not tests:
            return
        own = Origin(
            self.suite, self._recipes, {axis: each.path for axis, each in choices.items()}, layers, backbone, task
        )
        for seed in combination.seeds:
            told = variant if seed in combination.continued else replace(variant, continued=False)
            made = tuple(self._cells.make(solved, train, backbone, told, layers, seed, tests))
            for cell_id, origin in origins(own, told, made).items():
                self.origins.setdefault(cell_id, origin)
            yield from made

    def _own_test(self, dataset: Choice | None) -> Sequence[Placed] | None:
        """The test split of the data set that is trained on."""
        test = self._dataset(dataset, "test")
        return [(test, dataset.path)] if test and dataset else None

    def _axis_layer(self, choice: Choice | None) -> list[Layer]:
        return [Layer(cast(RecipeMapping, choice.value), choice.path)] if choice else []

    def _check_variant(
        self, variant: VariantDraft, recipe: Recipe | None, backbone: PartRef | None, task: PartRef | None, path: Path
    ) -> None:
        """Reports where a variant contradicts this recipe or this backbone."""
        registry = self.resolver.registry
        mistakes = [*training_mistakes(variant, recipe, registry)] if recipe else []
        mistakes += policy_mistakes(variant, recipe, task, registry) if recipe and task else []
        mistakes += backbone_mistakes(variant, backbone, registry) if backbone else []
        for mistake in mistakes:
            self.resolver.report((*path, *mistake.path), mistake.what, mistake.hint)

    def _backbone(self, choice: Choice | None, layers: Sequence[Layer], task: PartRef | None) -> PartRef | None:
        if choice is None:
            return None
        return self._recipes.backbone(cast(BackboneMapping, choice.value), choice.path, layers, task)

    def _task(self, choice: Choice | None) -> TaskDraft | None:
        spec = cast(PartMapping, choice.value) if choice else None
        ref = self.resolver.part("task", spec, choice.path) if choice and spec else None
        return TaskDraft(ref, spec, choice.path) if ref and choice and spec else None

    def _dataset(self, choice: Choice | None, split: str | None) -> PartRef | None:
        return self.resolver.dataset(cast(PartMapping, choice.value), choice.path, split) if choice else None

    def _variant(
        self, choice: Choice | None, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None
    ) -> VariantDraft | None:
        """The recipe's preset may have options for the refiner, so that one mapping can mean several variants."""
        if choice is None:
            return BASE
        spec, options = cast(VariantMapping, choice.value), ""
        if spec.refiner is not None:
            refiner = self._recipes.refiner(spec.refiner, layers, backbone, task)
            spec, options = spec.model_copy(update={"refiner": refiner}), repr(refiner.options)
        key = (choice.path, options)
        if key not in self._variants:
            self._variants[key] = self._new_variant(spec, choice.path)
        return self._variants[key]

    def _new_variant(self, spec: VariantMapping, path: Path) -> VariantDraft | None:
        refiner = self.resolver.part("refiner", spec.refiner, (*path, "refiner")) if spec.refiner else None
        prior = self.resolver.prior(spec.prior, (*path, "prior")) if spec.prior else None
        whole = self.suite.is_whole(path)
        traits = declaration(self.resolver.registry, "refiner", refiner.name).traits if refiner else None
        mistakes = list(variant_mistakes(spec, traits)) if whole else []
        if prior is not None:
            behind = declaration(self.resolver.registry, "prior", prior.ref.name).traits
            mistakes += live_mistakes(spec, prior.ref.name, behind)
            mistakes += map_mistakes(spec, refiner, prior, self.resolver.registry) if refiner else []
        for mistake in mistakes:
            self.resolver.report((*path, *mistake.path), mistake.what, mistake.hint)
        if mistakes or (spec.refiner is None) != (refiner is None) or (spec.prior is None) != (prior is None):
            return None
        usual = traits.placements[0] if traits else spec.placement
        base_recipe = Layer(spec.base_recipe, (*path, "base_recipe")) if spec.base_recipe else None
        return VariantDraft(
            refiner=refiner,
            prior=prior,
            placement=spec.placement if "placement" in spec.model_fields_set else usual,
            regime=spec.regime,
            continued=spec.continued and spec.regime != "joint",
            features=spec.features,
            views=spec.views,
            losses=self.resolver.losses(traits.losses, ("refiner", refiner.name)) if traits and refiner else (),
            stages=traits.stages if traits else (),
            base_recipe=base_recipe,
            label=spec.label,
        )


def _trains(choices: Mapping[str, Choice]) -> bool:
    """Whether the cell of a combination is trained: all are but networks with published weights, as they are."""
    network = cast(BackboneMapping, choices["backbone"].value) if "backbone" in choices else None
    if network is None or network.weights is None:
        return True
    variant = cast(VariantMapping, choices["variant"].value) if "variant" in choices else VariantMapping()
    return variant.refiner is not None or variant.regime != "joint"
