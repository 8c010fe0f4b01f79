"""Official recipes: every file is sound, and a suite can change them."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
from torch import nn

from harness.api.declaration import declaration
from harness.cells.recipe import Recipe
from harness.core.errors import UnknownName
from harness.parts.catalogue import REGISTRY
from harness.recipes.checks import recipe_mistakes
from harness.recipes.presets import FOLDER, Preset, all_presets, find_preset, network_presets, networks
from harness.training.optim import learning_rate
from tests.unit.recipes.suites import cell, cells, expanded, problem

WITHOUT_OFFICIAL = {"spair"}
"""Networks of whose training nothing is known."""
REFINERS = {"ptg_rm", "skf", "smg"}

PRESETS = list(all_presets())


def test_every_file_is_read_and_every_network_has_its_presets() -> None:
    assert networks() == sorted(file.stem for file in FOLDER.iterdir())
    assert set(networks()) - REFINERS <= set(REGISTRY.names("backbone")) | WITHOUT_OFFICIAL
    for name in REGISTRY.names("backbone"):
        entries = set(network_presets(name))
        assert "proxy" in entries, name
        assert name in WITHOUT_OFFICIAL or entries - {"proxy"}, name
    assert {preset.name for preset in PRESETS} >= {"ptg_rm/sid", "skf/low_light", "smg/low_light"}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_is_a_recipe_without_contradictions(preset: Preset) -> None:
    assert preset.source
    assert preset.version > 0
    recipe = Recipe(**{name: value for name, value in preset.fields.items() if name != "losses"})
    assert list(recipe_mistakes(recipe)) == []
    uneven = preset.network == "enlightengan"  # 32 images on three GPUs
    assert uneven or all(part.batch % (preset.gpus or 1) == 0 for part in recipe.parts)
    stated = preset.recipe.model_fields_set
    assert stated >= {"steps", "batch", "patch", "augment", "optimizer", "lr", "betas", "schedule"}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_resolves_against_the_catalogue(tmp_path: Path, preset: Preset) -> None:
    backbone = "snr_net" if preset.network in REFINERS else preset.network
    made = cell(tmp_path, f"{{preset: {preset.name}}}", backbone)
    assert made.recipe.steps == preset.recipe.steps
    assert [term.part.name for term in made.recipe.losses] == [term.name for term in preset.recipe.losses] or (
        not preset.recipe.losses
    )
    assert made.backbone is not None
    assert {name: made.backbone.options[name] for name in preset.backbone} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in preset.backbone.items()
    }


@pytest.mark.parametrize("network", REGISTRY.names("backbone"))
def test_every_proxy_builds_and_is_small(network: str) -> None:
    preset = network_presets(network)["proxy"]
    module: nn.Module = REGISTRY.load("backbone", network)(**preset.backbone)
    assert sum(prod(parameter.shape) for parameter in module.parameters()) < 1_000_000
    multiple = module.capabilities.size_multiple
    sides = [part.patch for part in preset.recipe.parts]
    assert all(isinstance(side, int) and side % multiple == 0 for side in sides)
    assert preset.recipe.steps <= 300
    assert max(part.batch * part.patch**2 for part in preset.recipe.parts) <= 8 * 64**2
    needs_weights = {name for name in REGISTRY.names("loss") if declaration(REGISTRY, "loss", name).traits.weights}
    assert not needs_weights & {term.name for term in preset.recipe.losses}


def test_the_official_restormer(tmp_path: Path) -> None:
    made = cell(tmp_path, "{preset: official}")
    recipe = made.recipe
    stages = [(part.steps, part.patch, part.batch) for part in recipe.parts]
    assert stages == [
        (92_000, 128, 64),
        (64_000, 160, 40),
        (48_000, 192, 32),
        (36_000, 256, 16),
        (36_000, 320, 8),
        (24_000, 384, 8),
    ]
    assert sum(stage.steps for stage in recipe.stages) == recipe.steps == 300_000
    assert recipe.images == sum(steps * batch for steps, _, batch in stages)
    assert (recipe.optimizer, recipe.weight_decay, recipe.clip_grad) == ("adamw", 1e-4, 0.01)
    assert [learning_rate(recipe, step) for step in (1, 92_000, 300_000)] == [3e-4, 3e-4, pytest.approx(1e-6)]
    assert made.id == made.model_copy(update={"recipe": recipe.model_copy(update={"preset": None})}).id


def test_the_network_is_that_of_the_task(tmp_path: Path) -> None:
    made = {task: cell(tmp_path, "{preset: official}", "nafnet", task) for task in ("motion_blur",)}
    assert made["motion_blur"].backbone.options["enc_blk_nums"] == [1, 1, 1, 28]
    assert (
        cell(tmp_path, "{preset: official}", "{name: nafnet, width: 64}", "motion_blur").backbone.options["width"] == 64
    )
    assert cell(tmp_path, "{preset: nafnet/motion_blur}").backbone == cell(tmp_path, "{}").backbone


def test_other_steps_scale_all_lengths(tmp_path: Path) -> None:
    recipe = cell(tmp_path, "{preset: official, steps: 100}").recipe
    assert [stage.steps for stage in recipe.stages] == [31, 21, 16, 12, 12, 8]
    assert (recipe.hold, recipe.steps) == (30, 100)
    rising = cell(tmp_path, "{preset: official, steps: 150}", "retinexformer", "low_light").recipe
    assert [cycle.steps for cycle in rising.cycles] == [46, 104]
    ended_early = cell(tmp_path, "{preset: mprnet/real_denoise, steps: 4800}", "mprnet").recipe
    assert (ended_early.warmup, [cycle.steps for cycle in ended_early.cycles]) == (180, [7020])
    jumps = cell(tmp_path, "{preset: official, steps: 12}", "snr_net", "low_light").recipe
    assert jumps.milestones == (1, 2, 4, 6)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_can_be_cut_short(tmp_path: Path, preset: Preset) -> None:
    backbone = "snr_net" if preset.network in REFINERS else preset.network
    for steps in (1, 2, 7, 300):
        recipe = cell(tmp_path, f"{{preset: {preset.name}, steps: {steps}, precision: bf16}}", backbone).recipe
        assert recipe.steps == steps
        assert all(learning_rate(recipe, step) > 0 for step in range(1, steps))


def test_what_is_set_above_holds_in_every_stage(tmp_path: Path) -> None:
    recipe = cell(tmp_path, "{preset: official, patch: 64, micro_batch: 8}").recipe
    assert {part.patch for part in recipe.parts} == {64}
    assert [part.batch for part in recipe.parts] == [64, 40, 32, 16, 8, 8]
    assert {part.micro_batch for part in recipe.parts} == {8}
    whole = cell(tmp_path, "{preset: official, schedule: constant}").recipe
    assert (whole.hold, learning_rate(whole, 300_000)) == (0, 3e-4)


def test_a_preset_is_a_layer_and_the_topmost_one_counts(tmp_path: Path) -> None:
    block = """{task: derain, backbone: restormer, recipe: {preset: official, lr: 1e-4, micro_batch: 2},
       matrix: {recipe: [{steps: 600}, {preset: proxy}, {preset: proxy, lr: 2e-4}]}}"""
    official, proxy, faster = cells(tmp_path, block)
    assert (official.recipe.steps, official.recipe.lr, len(official.recipe.stages)) == (600, 1e-4, 6)
    assert (proxy.recipe.steps, proxy.recipe.lr, len(proxy.recipe.stages)) == (300, 1e-3, 3)
    assert faster.recipe.lr == 2e-4
    assert {made.recipe.micro_batch for made in (official, proxy, faster)} == {2}
    assert (official.backbone.options["dim"], proxy.backbone.options["dim"]) == (48, 8)
    labels = {entry.labels.variant for entry in expanded(tmp_path, block).cells if entry.cell.backbone}
    assert len(labels) >= 2


def test_labels_say_that_it_is_the_proxy(tmp_path: Path) -> None:
    block = "{task: derain, recipe: {preset: proxy}, matrix: {backbone: [restormer, {name: restormer, dim: 16}]}}"
    entries = [entry for entry in expanded(tmp_path, block).cells if entry.cell.backbone]
    assert [entry.labels.backbone for entry in entries] == ["restormer-proxy", "restormer-proxy(dim=16)"]
    assert [entry.cell.backbone.options["num_blocks"] for entry in entries] == [[1, 1, 1, 1]] * 2
    block = "{task: derain, backbone: restormer, matrix: {recipe: [{preset: proxy}, {preset: proxy, lr: 2e-3}]}}"
    variants = [entry.labels.variant for entry in expanded(tmp_path, block).cells if entry.cell.backbone]
    assert variants == ["base [label=proxy]", "base [label=proxy lr=0.002]"]


def test_a_priors_network_is_a_proxy_too(tmp_path: Path) -> None:
    [made] = cells(
        tmp_path,
        "{task: derain, backbone: restormer, recipe: {preset: proxy}, variant: {refiner: ptg_rm, prior: {name:"
        " restoration, source: {task: low_light, backbone: snr_net}}}}",
    )
    source = made.prior_source
    assert source is not None
    assert source.backbone is not None
    assert (source.backbone.options["nf"], source.recipe.optimizer) == (16, "adam")


@pytest.mark.parametrize(
    ("backbone", "preset", "what", "hint"),
    [
        ("restormer", "offical", "no preset is called 'offical'", "did you mean 'official'?"),
        ("restormer", "restormer/derian", "no preset is called 'restormer/derian'", "did you mean 'restormer/derain'"),
        ("uformer", "official", "uformer has no official recipe for the task derain", "by name: uformer/real_denoise"),
        ("restormer", "proxy/v9", "there is no 'proxy/v9'", "this release has restormer/proxy/v3"),
    ],
)
def test_presets_that_are_not_there(tmp_path: Path, backbone: str, preset: str, what: str, hint: str) -> None:
    block = f"{{task: derain, backbone: {backbone}, recipe: {{preset: {preset}}}}}"
    path, said, tried = problem(tmp_path, block)
    assert (path, said) == ("blocks.0.recipe.preset", what)
    assert tried.startswith(hint)


def test_a_network_without_presets() -> None:
    with pytest.raises(UnknownName, match="no preset for the backbone mine"):
        find_preset("official", "mine", "derain")


def test_an_unknown_backbone_is_the_only_mistake(tmp_path: Path) -> None:
    block = "{task: derain, backbone: restomer, recipe: {preset: official}}"
    assert problem(tmp_path, block)[1] == "no backbone is called 'restomer'"
    block = "{task: derian, backbone: restormer, recipe: {preset: official}}"
    assert problem(tmp_path, block)[1] == "no task is called 'derian'"


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        ("{milestones: [10]}", "milestones does nothing with schedule cosine"),
        ("{gamma: 0.1}", "gamma does nothing with schedule cosine"),
        ("{schedule: step}", "schedule step never falls without milestones"),
        ("{schedule: step, milestones: [20, 10]}", "milestones rise, not [20, 10]"),
        ("{schedule: step, milestones: [300]}", "milestone 300 is not before the last step, 300"),
        ("{schedule: constant, hold: 5}", "hold does nothing with schedule constant"),
        ("{schedule: constant, lr_min: 0.0}", "lr_min does nothing with schedule constant"),
        ("{schedule: linear, cycles: [{steps: 300, lr_min: 0.0}]}", "cycles does nothing with schedule linear"),
        ("{cycles: [{steps: 299, lr_min: 0.0}]}", "the cycles take 299 steps of 300"),
        ("{cycles: [{steps: 300, lr_min: 0.0}, {steps: 1, lr_min: 0.0}]}", "the last cycle begins after all 300 steps"),
        ("{cycles: [{steps: 300, lr_min: 0.0}], lr_min: 0.0}", "lr_min does nothing beside cycles"),
        ("{warmup: 200, hold: 101}", "200 + 101 steps before the rate falls, of 300"),
    ],
)
def test_settings_that_do_nothing_with_the_schedule(tmp_path: Path, recipe: str, what: str) -> None:
    assert problem(tmp_path, f"{{task: derain, backbone: restormer, recipe: {recipe}}}")[1] == what


def test_labels_of_proxies_with_many_options_are_cut_and_stay_apart(tmp_path: Path) -> None:
    options = "img_size: 64, embed_dim: 8, depths: [1, 1, 1, 1, 1, 1, 1, 1, 1], num_heads: [1, 1, 2, 2, 4, 4, 2, 2, 1]"
    networks = ", ".join(f"{{name: uformer, {options}, win_size: {size}}}" for size in (4, 8))
    block = f"{{task: low_light, recipe: {{preset: uformer/proxy}}, matrix: {{backbone: [{networks}]}}}}"
    one, other = (entry.labels.backbone for entry in expanded(tmp_path, block).cells if entry.cell.backbone)
    beginning = "uformer-proxy(img_size=64, embed_dim=8, depths=(1, 1, 1, 1, 1, 1, 1, 1, 1), … "
    assert one.startswith(beginning)
    assert other.startswith(beginning)
    assert one != other
    assert max(len(one), len(other)) <= 100
