"""Fields of recipes that change batches, rates and weights: how they are written, fitted and checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.sets import Grid
from harness.cells.patches import Regions
from harness.cells.recipe import Mixup, Recipe, Scale, Stage
from harness.recipes.checks import recipe_mistakes
from harness.recipes.fitting import fitted
from harness.recipes.mapping import RecipeMapping, StageMapping
from harness.recipes.presets import find_preset
from tests.unit.recipes.suites import cell, cells, expanded, problem


@pytest.mark.parametrize(
    ("recipe", "does"),
    [
        ("mixup: 1.2", "mixup mixes"),
        ("grey: 0.3", "grey changes"),
        ("grain: {chance: 0.05, sigma: 0.07}", "grain changes"),
        ("scale: {chance: 0.5, least: 0.7}", "scale changes"),
        ("darken: {chance: 0.5}", "darken changes"),
    ],
)
def test_changed_images_need_live_features(tmp_path: Path, recipe: str, does: str) -> None:
    start = f"task: derain, backbone: restormer, recipe: {{{recipe}}}, variant: {{refiner: ptg_rm, prior: nss"
    path, what, hint = problem(tmp_path, f"{{{start}}}}}")
    assert path == "blocks.0.variant"
    assert what == f"{does} images, but the vectors of nss are cached for each image alone"
    assert hint == f"features: live, or in the recipe {does.split()[0]}: null"
    assert cells(tmp_path, f"{{{start}, features: live}}}}")


def test_a_number_is_the_mixing_that_it_always_was(tmp_path: Path) -> None:
    """Older suites and results write α alone; ids hash that number, however the same mixing is written."""
    short, long = (cell(tmp_path, f"{{mixup: {text}}}") for text in ("1.2", "{alpha: 1.2, chance: 0.5}"))
    assert short.id == long.id
    assert short.recipe.mixup == Mixup(alpha=1.2, chance=0.5, per="batch", after=0, groups=1)
    assert short.recipe.model_dump(mode="json")["mixup"] == short.recipe.identity()["mixup"] == 1.2
    assert Recipe.model_validate(short.recipe.model_dump(mode="json")) == short.recipe
    every = cell(tmp_path, "{mixup: {alpha: 0.6, chance: 1.0, per: sample, after: 30}}").recipe
    assert Recipe.model_validate(every.model_dump(mode="json")) == every
    assert every.identity()["mixup"] == {"alpha": 0.6, "chance": 1.0, "per": "sample", "after": 30, "groups": 1}


def test_new_fields_stay_out_of_older_ids() -> None:
    fields = {"grain", "grey", "scale", "darken", "ema", "rates"}
    assert not fields & set(Recipe().identity())
    assert not {"milestones", "gamma"} & set(Stage(steps=1).identity())


@pytest.mark.parametrize(
    ("recipe", "field", "what"),
    [
        ("{mixup: {alpha: 1.2, after: 300}}", "mixup.after", "mixing begins after step 300 of 300"),
        (
            "{batch: 8, mixup: {alpha: 1.2, groups: 3}}",
            "mixup.groups",
            "3 groups of mixed samples do not divide batch 8",
        ),
        (
            "{mixup: {alpha: 1.2, groups: 4}, stages: [{steps: 200, batch: 8}, {steps: 100, batch: 2}]}",
            "mixup.groups",
            "4 groups of mixed samples do not divide batch 2",
        ),
        (
            "{grain: {chance: 0.5, sigma: 0.01, least: 0.02}}",
            "grain.least",
            "the smallest noise, 0.02, is above the largest, 0.01",
        ),
        (
            "{darken: {chance: 0.5, least: 3.0, most: 2.0}}",
            "darken.least",
            "the smallest divisor, 3, is above the largest, 2",
        ),
        (
            "{schedule: step, milestones: [9], stages: [{steps: 200}, {steps: 100, milestones: [9]}]}",
            "stages.1.milestones",
            "milestones are counted from a restart, and this stage goes on",
        ),
        (
            "{stages: [{steps: 200}, {steps: 100, restart: true, milestones: [9]}]}",
            "stages.1.milestones",
            "milestones does nothing with schedule cosine",
        ),
        (
            "{schedule: step, stages: [{steps: 200}, {steps: 100, restart: true, milestones: [100]}]}",
            "stages.1.milestones",
            "milestone 100 is not before the last step, 100",
        ),
        (
            "{schedule: step, milestones: [9], stages: [{steps: 200}, {steps: 100, restart: true, gamma: 0.1}]}",
            "stages.1.gamma",
            "gamma does nothing without milestones of the stage",
        ),
        (
            "{stages: [{steps: 200}, {steps: 100, betas: [0.9, 0.999]}]}",
            "stages.1.betas",
            "betas are those of a new optimizer, and this stage goes on with the one before",
        ),
        (
            "{stages: [{steps: 200, betas: [0.9, 1.0]}, {steps: 100}]}",
            "stages.0.betas",
            "betas are in [0, 1), not [0.9, 1.0]",
        ),
        (
            "{rates: {bakbone.body: 0.1}}",
            "rates.bakbone.body",
            "'bakbone.body' is not a module: its name begins with `backbone` or `refiner`",
        ),
        ("{rates: {'': 0.1}}", "rates.", "'' is not a module: its name begins with `backbone` or `refiner`"),
        (
            "{stages: [{steps: 200}, {steps: 100, trains: [backbone, decomposition]}]}",
            "stages.1.trains.1",
            "'decomposition' is not a module: its name begins with `backbone` or `refiner`",
        ),
        (
            "{patch: 32, scale: {chance: 0.5, least: 0.005}}",
            "scale.least",
            "patches of 32 pixels, made smaller by 0.005, need crops of 6400",
        ),
        (
            "{patch: 32, crop: grid, stride: 65, scale: {chance: 0.5, least: 0.5}}",
            "stride",
            "stride 65 skips pixels between patches of 64",
        ),
        (
            "{crop: grid, stride: 49, stages: [{steps: 200, patch: 32}, {steps: 100, patch: 48}]}",
            "stride",
            "stride 49 skips pixels between patches of 32",
        ),
        ("{stride: 32}", "stride", "stride is the step of a grid, and crops are cut at random"),
        (
            "{patch: [64, 32], crop: grid, stride: 33}",
            "stride",
            "stride 33 skips pixels between patches of 64×32",
        ),
        (
            "{crop: grid, regions: {side: 512, stride: 256}}",
            "regions",
            "regions do nothing with crop: grid, whose crops are samples of their own",
        ),
        (
            "{patch: [64, 128], regions: {side: 100, stride: 100}}",
            "regions.side",
            "regions of 100 pixels do not hold patches of [64, 128]",
        ),
        (
            "{patch: 64, scale: {chance: 0.5, least: 0.5}, regions: {side: 100, stride: 100}}",
            "regions.side",
            "regions of 100 pixels do not hold patches of 64, cut from 128",
        ),
        ("{regions: {side: 128, stride: 129}}", "regions.stride", "stride 129 skips pixels between regions of 128"),
        (
            "{regions: {side: 128, stride: 64, above: 99}}",
            "regions.above",
            "above 99 does nothing: an image must hold a region of 128 anyway",
        ),
        (
            "{patch: [128, 256], resize: [300, 200]}",
            "patch",
            "images are resized to [300, 200], and patch is [128, 256]",
        ),
        (
            "{patch: whole, scale: {chance: 0.5, least: 0.5}}",
            "scale",
            "scale cuts patches from larger crops, and patch is whole",
        ),
        ("{patch: whole, crop: grid}", "crop", "crop: grid cuts patches, and patch is whole"),
        ("{patch: whole, regions: {side: 9, stride: 9}}", "regions", "regions are parts of images, and patch is whole"),
        (
            "{patch: whole, resize: [400, 608]}",
            "resize",
            "a quarter turn makes 608×400 of images of 400×608, and a batch has one size",
        ),
        ("{patch: whole, pad: reflect}", "pad", "pad does nothing where patch is whole"),
        ("{patch: [8, 128]}", "patch", "patches of 8×128 pixels are too small to learn from"),
        (
            "{patch: whole, augment: flips, resize: [9, 90]}",
            "resize",
            "patches of 9×90 pixels are too small to learn from",
        ),
        (
            "{patch: whole, augment: flips, resize: [4000, 6000]}",
            "resize",
            "8 patches of 4000×6000 pixels at once: no device holds that",
        ),
        ("{patch: [64, 2049], batch: 1}", "patch", "no patches of [64, 2049] pixels are cut"),
        ("{patch: hole}", "patch", "expected a side in pixels, [height, width], or whole, not 'hole'"),
        ("{patch: 64.0}", "patch", "expected a side in pixels, [height, width], or whole, not 64.0"),
        ("{patch: '64'}", "patch", "expected a side in pixels, [height, width], or whole, not '64'"),
        ("{patch: [64]}", "patch", "expected a side in pixels, [height, width], or whole, not a list"),
        ("{patch: [64, 64, 3]}", "patch", "expected a side in pixels, [height, width], or whole, not a list"),
        ("{patch: [64, -1]}", "patch", "sides are more than 0"),
        ("{patch: 0}", "patch", "expected more than 0, not 0"),
        ("{resize: 400}", "resize", "expected a list, not 400"),
        ("{regions: 512}", "regions", "expected a mapping, not 512"),
        ("{regions: {side: 512}}", "regions", "'stride' is missing"),
        ("{crop: 128}", "crop", "expected random or grid, not 128"),
        (
            "{steps: 9, stages: [{steps: 4, patch: 8}, {steps: 5}]}",
            "stages.0.patch",
            "patches of 8 pixels are too small to learn from",
        ),
    ],
)
def test_settings_of_batches_and_stages_that_contradict(tmp_path: Path, recipe: str, field: str, what: str) -> None:
    path, said, _ = problem(tmp_path, f"{{task: derain, backbone: restormer, recipe: {recipe}}}")
    assert (path, said) == (f"blocks.0.recipe.{field}", what)


@pytest.mark.parametrize(
    ("recipe", "hint"),
    [
        ("{rates: {bakbone.body: 0.1}}", "did you mean 'backbone'?"),
        ("{rates: {body: 0.1}}", "backbone.body or refiner.body"),
        ("{rates: {'': 0.1}}", "known: backbone, refiner"),
        ("{rates: {backbone.: 0.1}}", "backbone, without the empty name"),
        ("{stages: [{steps: 300, trains: [refine]}]}", "did you mean 'refiner'?"),
        ("{stages: [{steps: 200}, {steps: 100, betas: [0.9, 0.9]}]}", "restart: true, or remove it"),
        ("{patch: 32, scale: {chance: 0.5, least: 0.005}}", "least: 0.016 or more, or a smaller patch"),
        ("{optimizer: radam, momentum: 0.9}", "betas: [0.9, 0.99], of which the first one is the momentum"),
        ("{stride: 32}", "crop: grid, or remove it; several samples of a large image: regions"),
        ("{patch: [64, 32], crop: grid, stride: 33}", "at most the patch's shorter side"),
        ("{patch: [64, 128], regions: {side: 100, stride: 100}}", "side: 128 or more, or a smaller patch"),
        ("{patch: 300, resize: [200, 400]}", "a smaller patch, a larger resize, or pad: reflect"),
        ("{patch: hole}", "patch: 128, patch: [256, 384], or patch: whole"),
        ("{resize: 400}", "write resize: [400, 608]"),
        ("{regions: 512}", "write regions: {side: 512, stride: 256}"),
        ("{crop: 128}", "crop: random or crop: grid; its size is `patch`"),
        ("{crop_size: 128}", "patch"),
        ("{tile: 128}", "patch"),
        ("{epochs: 9}", "steps: a recipe counts optimizer steps"),
    ],
)
def test_what_to_try_is_said(tmp_path: Path, recipe: str, hint: str) -> None:
    assert problem(tmp_path, f"{{task: derain, backbone: restormer, recipe: {recipe}}}")[2] == hint


def test_patches_of_several_sizes_may_lie_as_far_apart_as_their_crops(tmp_path: Path) -> None:
    made = cell(tmp_path, "{patch: 32, crop: grid, stride: 64, scale: {chance: 0.5, least: 0.5}}")
    assert made.recipe.crops == ((64, 64),)
    assert made.recipe.grid(0) == Grid(height=64, width=64, stride=64)


@pytest.mark.parametrize(
    ("recipe", "crops", "steps"),
    [
        ("{patch: [256, 384], batch: 1}", ((256, 384),), None),
        ("{patch: [64, 64]}", ((64, 64),), None),
        ("{patch: whole, resize: [400, 608], augment: flips}", (None,), None),
        ("{patch: [32, 48], crop: grid, scale: {chance: 1.0, least: 0.7}}", ((46, 69),), 46),
        ("{patch: 64, crop: grid, stride: 16}", ((64, 64),), 16),
        ("{steps: 9, stages: [{steps: 4, patch: 32}, {steps: 5, patch: whole}]}", ((32, 32), None), None),
    ],
)
def test_what_is_cut(tmp_path: Path, recipe: str, crops: tuple[tuple[int, int] | None, ...], steps: int | None) -> None:
    """Crops are larger than patches by 1 / least, rounded up; a grid's step is the patch's shorter side by default."""
    made = cell(tmp_path, recipe).recipe
    assert made.crops == crops
    grid = made.grid(0)
    assert (grid and grid.stride) == steps


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"crop": "grid"}, {"crop": "grid", "regions": None, "pad": "reflect", "stride": None}),
        ({"patch": "whole"}, {"crop": "random", "regions": None, "pad": "none", "scale": None}),
        ({"patch": 64}, {"regions": Regions(side=512, stride=256), "pad": "reflect"}),
    ],
)
def test_what_a_preset_cuts_with_goes_when_a_suite_cuts_otherwise(
    given: dict[str, object], fields: dict[str, object]
) -> None:
    official = RecipeMapping(
        steps=100, patch=128, regions=Regions(side=512, stride=256), pad="reflect", scale=Scale(chance=0.5, least=0.5)
    )
    preset = replace(find_preset("restormer/derain", None, None), recipe=official)
    found = fitted(preset, {**preset.fields, **given}, set(preset.fields) - set(given))
    assert {name: found[name] for name in fields} == fields


def test_a_presets_step_goes_with_its_grid() -> None:
    official = RecipeMapping(steps=100, patch=64, crop="grid", stride=32)
    preset = replace(find_preset("restormer/derain", None, None), recipe=official)
    kept = set(preset.fields)
    assert fitted(preset, preset.fields, kept)["stride"] == 32
    assert fitted(preset, {**preset.fields, "crop": "random"}, kept - {"crop"})["stride"] is None


def test_a_square_has_one_id_however_it_is_written(tmp_path: Path) -> None:
    ids = {cell(tmp_path, f"{{patch: {patch}}}").id for patch in ("64", "[64, 64]")}
    assert len(ids) == 1
    assert cell(tmp_path, "{patch: [64, 65]}").id not in ids


def test_regions_and_size_of_whole_images(tmp_path: Path) -> None:
    made = cell(tmp_path, "{regions: {side: 512, stride: 256}, pad: reflect}").recipe
    assert made.regions == Regions(side=512, stride=256)
    assert made.regions.whole_up_to == 511
    assert Regions(side=512, stride=256, above=800).whole_up_to == 800


RESTARTS = "stages: [{steps: 200}, {steps: 60, restart: true}, {steps: 40}]"
THERE = " from stages.1 on, where the schedule begins anew"


@pytest.mark.parametrize(
    ("recipe", "field", "what"),
    [
        (f"{{warmup: 100, {RESTARTS}}}", "warmup", f"100 warm-up steps of 100{THERE}"),
        (f"{{warmup: 20, hold: 80, {RESTARTS}}}", "hold", f"20 + 80 steps before the rate falls, of 100{THERE}"),
        (
            f"{{schedule: step, milestones: [50, 100], {RESTARTS}}}",
            "milestones",
            f"milestone 100 is not before the last step, 100{THERE}",
        ),
        (
            "{schedule: step, milestones: [50], stages: [{steps: 300, restart: true, milestones: [60]}]}",
            "milestones",
            "milestones does nothing: each stage that restarts has its own",
        ),
        (
            f"{{cycles: [{{steps: 150, lr_min: 0.0}}], {RESTARTS}}}",
            "cycles",
            "the cycles take 150 steps of 200 from stages.0 on, where the schedule begins anew",
        ),
        (
            f"{{cycles: [{{steps: 100, lr_min: 0.0}}, {{steps: 100, lr_min: 0.0}}], {RESTARTS}}}",
            "cycles",
            f"the last cycle begins after all 100 steps{THERE}",
        ),
        (
            "{lr_min: 5e-4, stages: [{steps: 200}, {steps: 100, lr: 1e-4}]}",
            "stages.1.lr",
            "lr_min 0.0005 is above lr 0.0001 of this stage",
        ),
        ("{hold: 300}", "hold", "0 + 300 steps before the rate falls, of 300"),
    ],
)
def test_a_schedule_fits_the_steps_between_two_restarts(tmp_path: Path, recipe: str, field: str, what: str) -> None:
    path, said, hint = problem(tmp_path, f"{{task: derain, backbone: restormer, recipe: {recipe}}}")
    assert (path, said) == (f"blocks.0.recipe.{field}", what)
    assert hint


@pytest.mark.parametrize(
    "recipe",
    [
        f"{{warmup: 99, {RESTARTS}}}",
        f"{{warmup: 20, hold: 79, {RESTARTS}}}",
        f"{{schedule: step, milestones: [50, 99], {RESTARTS}}}",
        f"{{cycles: [{{steps: 200, lr_min: 0.0}}], {RESTARTS}}}",
        "{schedule: step, milestones: [150], stages: [{steps: 200}, {steps: 100, restart: true, milestones: []}]}",
        "{lr: 1e-7, stages: [{steps: 200, lr: 1e-3}, {steps: 100, lr: 1e-4, restart: true, betas: [0.5, 0.9]}]}",
        "{stages: [{steps: 300, betas: [0.5, 0.9]}]}",
        "{rates: {backbone: 0.1, refiner.head: 2.0}}",
    ],
)
def test_schedules_that_fit_are_taken(tmp_path: Path, recipe: str) -> None:
    assert cell(tmp_path, recipe).recipe.steps == 300


@pytest.mark.parametrize(
    ("recipe", "field", "what"),
    [
        ("{mixup: {}}", "mixup", "'alpha' is missing"),
        ("{grain: {sigma: .1}}", "grain", "'chance' is missing"),
        ("{betas: [0.9]}", "betas", "item 1 is missing"),
        ("{cycles: [{steps: 300}]}", "cycles.0", "'lr_min' is missing"),
        ("{lr: .inf}", "lr", ".inf is not a finite number"),
        ("{mixup: {alpha: .nan}}", "mixup.alpha", ".nan is not a finite number"),
        ("{betas: [0.9, .nan]}", "betas.1", ".nan is not a finite number"),
        ("{lr: 1e999}", "lr", "1e999 is too large a number"),
        ("{losses: [{name: l1, weight: .inf}]}", "losses.0.weight", ".inf is not a finite number"),
        ("{darken: {chance: 0.5, most: 1e17}}", "darken.most", "expected at most 100, not 1e+17"),
        ("{darken: {chance: 0.5, least: 5.0}}", "darken.least", "the smallest divisor, 5, is above the largest, 4"),
    ],
)
def test_one_mistake_is_one_message(tmp_path: Path, recipe: str, field: str, what: str) -> None:
    path, said, _ = problem(tmp_path, f"{{task: derain, backbone: restormer, recipe: {recipe}}}")
    assert (path, said) == (f"blocks.0.recipe.{field}", what)


@pytest.mark.parametrize(
    "recipe",
    [
        "{mixup: -1.0}",
        "{mixup: {alpha: 1.2, chance: 0.0}}",
        "{mixup: {alpha: '1.2'}}",
        "{mixup: {alpha: 1.2, groups: 0}}",
        "{mixup: true}",
        "{ema: 1.0}",
        "{grey: 1.5}",
        "{scale: {chance: 0.5, least: 1.0}}",
        "{grain: {chance: 0.5, sigma: 0.0}}",
        "{rates: {backbone: -1.0}}",
        "{augment: flops}",
    ],
)
def test_values_out_of_range_are_one_mistake(tmp_path: Path, recipe: str) -> None:
    path, _, _ = problem(tmp_path, f"{{task: derain, backbone: restormer, recipe: {recipe}}}")
    assert path.startswith("blocks.0.recipe.")


def test_what_counts_steps_is_fitted_to_a_shorter_training() -> None:
    """MPRNet's five epochs without mixing, an average's window, URetinex-Net's own milestones, GPUs' groups."""
    recipe = RecipeMapping(
        steps=600,
        batch=64,
        mixup=Mixup(alpha=0.6, after=300, groups=8),
        ema=0.99,
        schedule="step",
        stages=(
            StageMapping(steps=400, restart=True, milestones=(200,)),
            StageMapping(steps=200, batch=40, restart=True, milestones=(198,), gamma=0.1),
        ),
    )
    preset = replace(find_preset("restormer/derain", None, None), recipe=recipe)
    fit = fitted(preset, {**preset.fields, "steps": 60}, set(preset.fields) - {"steps"})
    assert (fit["mixup"].after, fit["mixup"].groups) == (30, 8)
    assert fit["ema"] == pytest.approx(0.99**10)
    assert [(stage.steps, stage.milestones) for stage in fit["stages"]] == [(40, (20,)), (20, ())]
    smaller = fitted(preset, {**preset.fields, "batch": 4}, set(preset.fields) - {"batch"})
    assert (smaller["mixup"].groups, smaller["ema"]) == (4, 0.99)
    constant = fitted(preset, {**preset.fields, "schedule": "constant"}, set(preset.fields) - {"schedule"})
    assert [(stage.milestones, stage.gamma) for stage in constant["stages"]] == [(None, None)] * 2
    shortest = fitted(preset, {**preset.fields, "steps": 2}, set(preset.fields) - {"steps"})
    assert shortest["schedule"] == "constant"
    own = Recipe(**{name: value for name, value in shortest.items() if name != "losses"})
    assert list(recipe_mistakes(own)) == []


def test_labels_say_mixing_as_a_suite_writes_it(tmp_path: Path) -> None:
    block = """{task: derain, backbone: restormer, matrix: {recipe: [{preset: proxy, mixup: 1.2},
      {preset: proxy, mixup: {alpha: 0.6, chance: 1.0, per: sample}}]}}"""
    said = [entry.labels.variant for entry in expanded(tmp_path, block).cells if entry.cell.backbone]
    assert said == [
        "base [label=proxy mixup=1.2]",
        "base [label=proxy mixup={alpha:0.6,chance:1,per:sample,after:0,groups:1}]",
    ]


def test_a_crop_that_is_made_smaller_is_no_larger_than_it_must_be() -> None:
    """As floats have it, 42 / 0.7 is a little more than 60."""
    assert Recipe(patch=42, scale=Scale(chance=0.5, least=0.7)).crops == ((60, 60),)
    assert Recipe(patch=(43, 64), scale=Scale(chance=0.5, least=0.7)).crops == ((62, 92),)


def test_the_usual_step_of_a_grid_has_one_id_however_it_is_written(tmp_path: Path) -> None:
    def made(recipe: str) -> str:
        return cell(tmp_path, f"{{crop: grid, {recipe}}}").id

    assert made("patch: 64, stride: 64") == made("patch: 64")
    assert made("patch: [64, 96], stride: 64") == made("patch: [64, 96]")
    assert made("patch: 64, stride: 32") != made("patch: 64")
    stages = "steps: 8, patch: 64, stages: [{steps: 4, patch: 96}, {steps: 4}]"
    assert made(f"{stages}, stride: 64") != made(stages), "the first stage's usual step is 96"
