"""Settings of a variant that contradict each other, or its refiner, prior, backbone or recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.api.backbone import BackboneTraits
from harness.api.declaration import declaration
from harness.api.prior import PriorTraits
from harness.api.reference import PartRef
from harness.api.refiner import RefinerTraits
from harness.cells.patches import MOST, shown_patch, sides_of
from harness.cells.recipe import Recipe
from harness.cells.suite import DeepSpeed, Run
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
        yield Mistake(("features",), what, "features: image, or features: crop")


def map_mistakes(variant: VariantMapping, refiner: PartRef, prior: PriorDraft, registry: Registry) -> Iterator[Mistake]:
    """Where a prior gives maps, and the refiner reads vectors alone."""
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


def _without_refiner(variant: VariantMapping) -> Iterator[Mistake]:
    hint = "add refiner: ptg_rm"
    if variant.prior is not None:
        yield Mistake(("prior",), f"the prior {variant.prior.name} has no refiner to guide", hint)
    if variant.regime == "frozen":
        yield Mistake(("regime",), "frozen needs a refiner: nothing else would train", hint)
    for name in ("placement", "features", "views"):
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
        for key in ("features", "views"):
            if key in given:
                what = f"{key} does nothing for the refiner {name}, which takes no prior"
                yield Mistake((key,), what, "remove it")
    if "placement" in given and variant.placement not in traits.placements:
        what = f"the refiner {name} cannot be placed on {variant.placement!r}"
        yield Mistake(("placement",), what, "it takes " + ", ".join(traits.placements))


def training_mistakes(variant: VariantDraft, recipe: Recipe, registry: Registry) -> Iterator[Mistake]:
    """Where a variant and a recipe contradict each other: changed images, or patches that the refiner refuses."""
    # Cached vectors of a prior belong to one image each as it is stored, and not to two that are mixed.
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
        sides = sides_of(stage.patch)
        if sides is not None and any(side % multiple for side in sides):
            what = f"the refiner {variant.refiner.name} takes sides that are multiples of {multiple}, and patch is"
            below = [side - side % multiple for side in sides]
            above = [side + multiple if side < whole else side for side, whole in zip(below, sides, strict=True)]
            near = ", or ".join(f"patch: {_written(new)}" for new in (below, above) if min(new) > 0)
            yield Mistake((), f"{what} {shown_patch(stage.patch)}", f"in the recipe {near}")


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


_MOST = {
    "cpus": 1_000_000, "checkpoint_every": MOST, "log_every": MOST, "samples": 100_000, "retries": 1000,
    "processes": 100_000, "nodes": 10_000, "patience": 10_000_000,
}  # fmt: skip
"""The largest values of settings of `run:`. Resolved suites of earlier releases may hold larger ones."""


def _usual(name: str) -> str:
    default = Run.model_fields[name].default
    return f"{name}: {default} is usual" if default else f"leave {name} away"


def run_mistakes(run: Run) -> Iterator[Mistake]:
    """Settings of `run:` that do not fit each other, or have no end."""
    for name, most in _MOST.items():
        value = getattr(run, name)
        if isinstance(value, int) and value > most:
            yield Mistake((name,), f"expected at most {most:,}, not {short(value)}", _usual(name))
    yield from _gang_mistakes(run)
    ranks = run.ranks(run.gpus if isinstance(run.gpus, int) else 0)
    if run.compile == "on" and run.strategy != "ddp" and ranks > 1:  # one process trains whole under any strategy
        what = f"strategy {run.strategy} cuts weights between the layers of a graph, and is not compiled"
        yield Mistake(("compile",), what, "compile: auto, or strategy: ddp")
    if run.deepspeed is not None and run.strategy != "deepspeed":
        yield Mistake(("deepspeed",), f"it does nothing under strategy {run.strategy}", "strategy: deepspeed")
    if run.deepspeed is not None and run.deepspeed.config and run.deepspeed != DeepSpeed(config=run.deepspeed.config):
        what = "a configuration file says what stage and offload would"
        yield Mistake(("deepspeed",), what, "leave stage and offload away, or config")
    if run.deepspeed is not None and run.deepspeed.offload == "all" and run.deepspeed.stage != 3:
        yield Mistake(("deepspeed", "offload"), "only stage 3 can take weights off the GPU", "stage: 3")


def _gang_mistakes(run: Run) -> Iterator[Mistake]:
    """Processes, GPUs and machines that cannot be divided."""
    gpus = run.gpus if isinstance(run.gpus, int) else 0
    if run.processes and gpus and run.processes != gpus:
        what = f"every process has one GPU, and {run.processes} processes have not {gpus}"
        yield Mistake(("processes",), what, f"leave processes away: gpus: {gpus} are {gpus} processes")
    ranks = run.ranks(gpus)
    if gpus and not run.processes and ranks != gpus:
        what = f"every process has one GPU, and {run.nodes} machines with a process each have not {gpus}"
        yield Mistake(("nodes",), what, f"gpus: {run.nodes} or a multiple of it")
    if run.nodes and ranks % run.nodes:
        what = f"{ranks} processes cannot be divided equally over {run.nodes} machines"
        yield Mistake(("nodes",), what, f"a multiple of {run.nodes} processes")


def gang_mistakes(recipe: Recipe, run: Run) -> Iterator[Mistake]:
    """Batches that cannot be divided equally over the processes of a train job."""
    ranks = run.ranks(run.gpus if isinstance(run.gpus, int) else 0)
    for index, part in enumerate(recipe.parts):
        batch = part.batch or recipe.batch
        if batch % ranks:
            path = ("stages", index, "batch") if recipe.stages and recipe.stages[index].batch else ("batch",)
            what = f"a batch of {batch} cannot be divided equally over {ranks} processes"
            yield Mistake(path, what, f"a multiple of {ranks}, or fewer processes in `run:`")
            return


def device_mistakes(recipe: Recipe, run: Run) -> Iterator[Mistake]:
    """A precision that the device lacks, where the suite names the device."""
    if run.gpus == 0 and recipe.precision == "fp16":
        what = "run.gpus 0 trains on the CPU, which cannot train in fp16"
        yield Mistake(("precision",), what, "precision: bf16, or precision: fp32")
    elif run.strategy != "ddp" and recipe.precision == "fp16":
        what = f"fp16 scales its loss, which strategy {run.strategy} does not"
        yield Mistake(("precision",), what, "precision: bf16, or strategy: ddp in `run:`")


def image_mistakes(recipe: Recipe, train: PartRef, registry: Registry) -> Iterator[Mistake]:
    """Patches larger than an image of the training set, where the data set says how small its images are."""
    side = declared_side(train, registry)
    if side is not None:
        yield from side_mistakes(recipe, (side, None), f"the smallest image of {train.name}")


def declared_side(train: PartRef, registry: Registry) -> int | None:
    """The shortest side of a data set's images, with a suite's options; None where it does not say."""
    declared = declaration(registry, "dataset", train.name)
    return declared.traits.side_with(declared.filled(train.arguments))


def side_mistakes(recipe: Recipe, image: tuple[int, int | None], whose: str, after: str = "") -> Iterator[Mistake]:
    """A patch that an image cannot hold. `whose`: how messages call the image; `after`: ends them.

    `image`: its height and width, or its shortest side and None. Images that are resized are no matter of the data
    set's, and those that are continued by reflection hold every patch.
    """
    if recipe.resize is not None or recipe.pad == "reflect":
        return
    for index, (part, crop) in enumerate(zip(recipe.parts, recipe.crops, strict=True)):
        if crop is None or _holds(image, crop):
            continue
        path = ("stages", index, "patch") if recipe.stages and recipe.stages[index].patch is not None else ("patch",)
        size = f"a side of {image[0]} pixels" if image[1] is None else f"{image[0]}×{image[1]} pixels"
        what = f"{whose} has {size}, and patch is {shown_patch(part.patch)}"
        fit = [min(side, most) for side, most in zip(crop, (image[0], image[1] or image[0]), strict=True)]
        fit = [min(fit)] * 2 if crop[0] == crop[1] else fit
        if recipe.scale is not None:
            what += f", which `scale` cuts from crops of {_written(list(crop))}"
            fit = [int(side * recipe.scale.least) for side in fit]
        larger = ", or a larger scale.least" if recipe.scale is not None else ", or pad: reflect"
        yield Mistake(path, what + after, f"patch: {_written(fit)} or less{larger}")
        return


def _holds(image: tuple[int, int | None], crop: tuple[int, int]) -> bool:
    """Whether an image holds a crop, as far as is known: of one side, it is the shortest one."""
    height, width = image
    return min(crop) <= height if width is None else crop[0] <= height and crop[1] <= width


def _written(sides: list[int]) -> str:
    """Height and width as a suite writes a patch."""
    return str(sides[0]) if sides[0] == sides[1] else f"[{sides[0]}, {sides[1]}]"


def _has(traits: BackboneTraits, edits: Literal["tap", "decoder"]) -> bool:
    """Whether a backbone has the features that a refiner edits."""
    return traits.decoder if edits == "decoder" else traits.taps
