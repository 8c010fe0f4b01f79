"""Settings of a variant that contradict each other, or its refiner, prior, backbone or recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from harness.api.backbone import BackboneTraits
from harness.api.declaration import declaration
from harness.api.prior import PriorTraits
from harness.api.reference import PartRef
from harness.api.refiner import RefinerTraits
from harness.cells.recipe import MOST, Recipe
from harness.cells.suite import Run
from harness.core.registry import Registry
from harness.core.wording import Mistake, short
from harness.spec.drafts import PriorDraft, VariantDraft
from harness.spec.schema import VariantMapping


def variant_mistakes(variant: VariantMapping, traits: RefinerTraits | None) -> Iterator[Mistake]:
    """A refiner without a prior, a prior without a refiner, settings without effect, and settings that are not
    possible.

    `traits`: the refiner's; None without one, and for one that does not exist.
    """
    if variant.refiner is None:
        yield from _without_refiner(variant)
    elif traits is not None:
        yield from _with_refiner(variant, variant.refiner.name, traits)
    for name in ("base_recipe", "continued"):
        if name in variant.model_fields_set and variant.regime == "joint":
            hint = "regime: from_base, or regime: frozen"
            yield Mistake((name,), "regime joint starts from no base cell", hint)


def live_mistakes(variant: VariantMapping, prior: str, traits: PriorTraits) -> Iterator[Mistake]:
    """A control is made from cached vectors, so it cannot encode images during training."""
    if variant.features == "live" and traits.derived:
        what = f"the prior {prior} is derived from cached vectors, and cannot see images as they come"
        yield Mistake(("features",), what, "features: tile or image")


def map_mistakes(variant: VariantMapping, refiner: PartRef, prior: PriorDraft, registry: Registry) -> Iterator[Mistake]:
    """Where a prior gives maps: a refiner that reads vectors alone, or maps of whole images for tiles of them."""
    source = prior
    while source.derived_from is not None:
        source = source.derived_from
    declared = declaration(registry, "prior", source.ref.name)
    if not declared.holds(declared.traits.maps, source.ref.arguments):
        return
    reader = declaration(registry, "refiner", refiner.name)
    wanted = reader.traits.reads_maps
    if not reader.holds(wanted, refiner.arguments):
        what = f"the prior {prior.ref.name} gives maps here, and the refiner {refiner.name} reads vectors"
        hint = f"{wanted.option}: {wanted.value}" if wanted else "a prior that gives vectors"
        yield Mistake(("prior",), what, hint)
    if variant.features == "image":
        what = "a map belongs to the image that it was made of, and tiles would get that of their whole image"
        yield Mistake(("features",), what, "features: tile or live")


def _without_refiner(variant: VariantMapping) -> Iterator[Mistake]:
    hint = "add refiner: ptg_rm"
    if variant.prior is not None:
        yield Mistake(("prior",), f"the prior {variant.prior.name} has no refiner to guide", hint)
    if variant.regime == "frozen":
        yield Mistake(("regime",), "frozen needs a refiner: nothing else would train", hint)
    for name in ("placement", "features"):
        if name in variant.model_fields_set:
            yield Mistake((name,), f"{name} does nothing without a refiner", "remove it, or add refiner and prior")


def _with_refiner(variant: VariantMapping, name: str, traits: RefinerTraits) -> Iterator[Mistake]:
    given = variant.model_fields_set
    if traits.needs_prior and variant.prior is None:
        yield Mistake(("refiner",), f"the refiner {name} needs a prior", "for a control write prior: random")
    if not traits.needs_prior:
        if variant.prior is not None:
            what = f"the refiner {name} brings its own knowledge and takes no prior"
            yield Mistake(("prior",), what, "remove prior")
        if "features" in given:
            what = f"features does nothing for the refiner {name}, which takes no prior"
            yield Mistake(("features",), what, "remove it")
    if "placement" in given and variant.placement not in traits.placements:
        what = f"the refiner {name} cannot be placed on {variant.placement!r}"
        yield Mistake(("placement",), what, "it takes " + ", ".join(traits.placements))


def training_mistakes(variant: VariantDraft, recipe: Recipe, registry: Registry) -> Iterator[Mistake]:
    """Where a variant and a recipe contradict each other: changed images, or tile sizes that the refiner refuses."""
    # Cached vectors of a prior belong to one sample each as it was prepared, and not to two that are mixed.
    if variant.prior and variant.features != "live":
        for name in recipe.alters_inputs:
            does = "mixes" if name == "mixup" else "changes"
            what = f"{name} {does} images, but the vectors of {variant.prior.ref.name} are cached for each image alone"
            derived = declaration(registry, "prior", variant.prior.ref.name).traits.derived
            live = "" if derived else "features: live, or "  # a derived prior is always cached (`live_mistakes`)
            yield Mistake((), what, f"{live}in the recipe {name}: null")
    if variant.refiner is None:
        return
    traits = declaration(registry, "refiner", variant.refiner.name).traits
    if variant.placement == "features" and traits.edits == "tap":  # it never sees images, only maps
        return
    multiple = traits.size_multiple
    for stage in (recipe.for_refiner if variant.regime == "frozen" else recipe).parts:
        if stage.patch is not None and stage.patch % multiple:
            what = f"the refiner {variant.refiner.name} takes sides that are multiples of {multiple}, and patch is"
            below = stage.patch - stage.patch % multiple
            yield Mistake((), f"{what} {stage.patch}", f"in the recipe patch: {below}, or patch: {below + multiple}")


def backbone_mistakes(variant: VariantDraft, backbone: PartRef, registry: Registry) -> Iterator[Mistake]:
    """Where a variant and a backbone contradict each other: weights in joint training, or features that it lacks.

    Also a recipe for a base that is not trained.
    """
    if backbone.weights and variant.base_recipe is not None:
        what = f"base_recipe does nothing: {backbone.name} comes with {backbone.weights}, so that no base is trained"
        yield Mistake(("base_recipe",), what, "remove base_recipe, or train the base yourself without `weights`")
    if variant.refiner is None:
        return
    if backbone.weights and variant.regime == "joint":
        what = f"regime joint trains from scratch, and {backbone.name} comes with {backbone.weights}"
        yield Mistake((), what, "regime: from_base, or regime: frozen")
    edits = declaration(registry, "refiner", variant.refiner.name).traits.edits
    if variant.placement == "features" and not _has(declaration(registry, "backbone", backbone.name).traits, edits):
        features = "decoder features" if edits == "decoder" else "a feature map"
        what = f"the refiner {variant.refiner.name} edits {features}, and {backbone.name} declares none"
        names = registry.names("backbone")
        fitting = [name for name in names if _has(declaration(registry, "backbone", name).traits, edits)]
        yield Mistake((), what, f"one of {', '.join(fitting)}" if fitting else "")


_MOST = {"cpus": 1_000_000, "checkpoint_every": MOST, "log_every": MOST, "samples": 100_000, "retries": 1000}
"""The largest values of settings of `run:`. Resolved suites of earlier releases may hold larger ones."""
_USUAL = {name: Run.model_fields[name].default for name in _MOST}


def run_mistakes(run: Run) -> Iterator[Mistake]:
    """Settings of `run:` that no executor can serve: a train job is one process, and numbers have an end."""
    for name, most in _MOST.items():
        value = getattr(run, name)
        if isinstance(value, int) and value > most:
            yield Mistake((name,), f"expected at most {most:,}, not {short(value)}", f"{name}: {_USUAL[name]} is usual")
    if isinstance(run.gpus, int) and run.gpus > 1:
        what = f"a train job runs in one process, which uses one GPU, not {run.gpus}"
        yield Mistake(("gpus",), what, "gpus: 1, or gpus: 0 for none; jobs run side by side on all GPUs")


def device_mistakes(recipe: Recipe, run: Run) -> Iterator[Mistake]:
    """A precision that the device lacks, where the suite names the device."""
    if run.gpus == 0 and recipe.precision == "fp16":
        what = "run.gpus 0 trains on the CPU, which cannot train in fp16"
        yield Mistake(("precision",), what, "precision: bf16, or precision: fp32")


def image_mistakes(recipe: Recipe, train: PartRef, registry: Registry) -> Iterator[Mistake]:
    """Tiles larger than an image of the training set, where the data set says how small its images are."""
    side = declared_side(train, registry)
    if side is not None:
        yield from side_mistakes(recipe, side, f"the smallest image of {train.name}")


def declared_side(train: PartRef, registry: Registry) -> int | None:
    """The shortest side of a data set's images, with a suite's options; None where it does not say."""
    declared = declaration(registry, "dataset", train.name)
    return declared.traits.side_with(declared.filled(train.arguments))


def side_mistakes(recipe: Recipe, side: int, whose: str, after: str = "") -> Iterator[Mistake]:
    """Tiles that are larger than a side of an image in pixels. `whose`: how messages call it; `after`: ends them."""
    stored, patch = max(recipe.stored_tiles), max(part.patch or recipe.patch for part in recipe.parts)
    if stored <= side:
        return
    what = f"{whose} has a side of {side} pixels, and patch is {patch}"
    if stored != patch:
        assert recipe.scale is not None, recipe
        what += f", which `scale` cuts from tiles of {stored}{after}"
        yield Mistake(("patch",), what, f"patch: {math.floor(side * recipe.scale.least)}, or a larger scale.least")
        return
    yield Mistake(("patch",), what + after, f"patch: {side} or less")


def _has(traits: BackboneTraits, edits: Literal["tap", "decoder"]) -> bool:
    """Whether a backbone has the features that a refiner edits."""
    return traits.decoder if edits == "decoder" else traits.taps
