"""Suites of built-in parts that would fail long after their start, and what `bench check` says of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import Problem, SpecErrors
from harness.parts.plugins import extend, open_suite

NAFNET = "{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}"


def problems(folder: Path, block: str) -> list[Problem]:
    """What is wrong with a suite of one block, written from line 4 on."""
    file = folder / "bad.yaml"
    head = "suite: bad\ndefaults: {dataset: photos, recipe: {steps: 8, batch: 4, patch: 64}}\nblocks:\n"
    file.write_text(f"{head}  - {block}\n")
    with pytest.raises(SpecErrors) as caught:
        open_suite(str(file))
    assert all((problem.file, problem.line) == (str(file), 4) for problem in caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("block", "path", "what", "hint"),
    [
        (
            "{task: low_light, backbone: zero_dce, variant: {refiner: skf}}",
            "blocks.0.variant",
            "the refiner skf edits decoder features, and zero_dce declares none",
            "one of drunet, enlightengan, ",
        ),
        (
            f"{{task: {{name: low_light, exposure_min: 0.3}}, backbone: {NAFNET}}}",
            "blocks.0.task",
            "the degradation low_light cannot be made: exposure_min = 0.3 is above exposure_max = 0.22",
            "swap them, or set both",
        ),
        (
            f"{{task: low_light, backbone: {NAFNET}, seeds: [0, 1, 1]}}",
            "blocks.0.seeds.2",
            "the seed 1 is given twice: it is item 1, too",
            "remove one",
        ),
        (
            f"{{task: low_light, backbone: {NAFNET}, exclude: [{{task: derain}}]}}",
            "blocks.0.exclude.0",
            "this rule excludes nothing",
            "task derain matches none of low_light",
        ),
        (
            f"{{task: low_light, backbone: {NAFNET}, variant: bas}}",
            "blocks.0.variant",
            "expected `base`, `base_continued`, or a mapping with `refiner` and `prior`, not 'bas'",
            "did you mean 'base'?",
        ),
        (
            f"{{task: low_light, backbone: {NAFNET}, variant: {{refiner: ptg_rm, prior: nss}}, recipe: {{patch: 50}}}}",
            "blocks.0.variant",
            "the refiner ptg_rm takes sides that are multiples of 4, and patch is 50",
            "in the recipe patch: 48, or patch: 52",
        ),
        (
            f"{{task: low_light, backbone: {NAFNET}, variant: {{refiner: ptg_rm, prior: nss}}, recipe: {{mixup: 1}}}}",
            "blocks.0.variant",
            "mixup mixes images, but the vectors of nss are cached for each image alone",
            "features: live, or in the recipe mixup: null",
        ),
        *(
            (
                f"{{task: low_light, backbone: {NAFNET}, recipe: {{{field}: {value}}},"
                f" variant: {{refiner: ptg_rm, prior: {prior}}}}}",
                "blocks.0.variant",
                f"{field} {does} images, but the vectors of {name} are cached for each image alone",
                f"in the recipe {field}: null",  # live features are refused for derived priors
            )
            for field, value, does in (("mixup", "1", "mixes"), ("grey", "0.5", "changes"))
            for name, prior in (("random", "random"), ("shuffled", "{name: shuffled, of: nss}"))
        ),
        (
            "{task: derain, backbone: {name: drunet, sigma: null}}",
            "blocks.0.backbone",
            "the backbone drunet cannot be made: without a noise map all 4 input channels are the image's, which has 3,"
            " or 1 if it is grey",
            "in_nc: 3",
        ),
    ],
)
def test_each_is_refused_with_what_to_do(tmp_path: Path, block: str, path: str, what: str, hint: str) -> None:
    [problem] = problems(tmp_path, block)
    assert (problem.path, problem.what) == (path, what)
    assert problem.hint.startswith(hint)
    assert bool(problem.hint) is bool(hint)


def test_options_out_of_range_are_all_told(tmp_path: Path) -> None:
    task = "{name: gaussian_denoise, sigma: -25}"
    variants = "{refiner: ptg_rm, prior: {name: random, dim: 0}}, {refiner: ptg_rm, prior: {name: nss, scales: 0}}"
    found = problems(tmp_path, f"{{task: {task}, backbone: {NAFNET}, matrix: {{variant: [{variants}]}}}}")
    assert [(problem.path, problem.what) for problem in found] == [
        ("blocks.0.task.sigma", "expected at least 0, not -25"),
        ("blocks.0.matrix.variant.0.prior.dim", "expected at least 1, not 0"),
        ("blocks.0.matrix.variant.1.prior.scales", "expected at least 1, not 0"),
    ]


@pytest.mark.parametrize(
    "variant",
    [
        "{refiner: ptg_rm, prior: nss, placement: features}",  # it sees maps and not tiles
        "{refiner: ptg_rm, prior: nss, regime: frozen}",  # it trains in the last stage alone
    ],
)
def test_tiles_are_compared_where_the_refiner_sees_them(tmp_path: Path, variant: str) -> None:
    stages = "[{steps: 4, patch: 50, trains: [backbone]}, {steps: 4, patch: 52, trains: [refiner]}]"
    recipe = "{patch: 50}" if "features" in variant else f"{{stages: {stages}}}"
    file = tmp_path / "sound.yaml"
    file.write_text(
        "suite: sound\ndefaults: {dataset: photos, recipe: {steps: 8}}\n"
        f"blocks: [{{task: low_light, backbone: {NAFNET}, variant: {variant}, recipe: {recipe}}}]\n"
    )
    assert open_suite(str(file))[0].cells


def test_a_part_that_names_an_unknown_loss_is_reported_where_it_is_defined(world) -> None:
    (world.folder / "lossy.py").write_text(
        "from harness.api.refiner import RefinerTraits\n"
        "from harness.api.traits import LossUse, StageUse\n\n\n"
        "class Lossy:\n"
        "    traits = RefinerTraits(needs_prior=False, losses=(LossUse('l2'),),\n"
        "                           stages=(StageUse(1.0, losses=(LossUse('l1', 2.0, {'epz': 1.0}),)),))\n\n"
        "CATALOGUE = (('refiner', 'lossy', 'Lossy'),)\n"
    )
    world.registry = extend(world.registry, [str(world.folder / "lossy.py")])
    problems = world.block_problems("- {variant: {refiner: lossy}}")
    assert {(Path(problem.file).name, problem.line, problem.path) for problem in problems} == {
        ("lossy.py", 5, "Lossy.traits.losses")
    }
    assert {problem.what for problem in problems} == {"no loss is called 'l2'", "loss l1 has no option 'epz'"}


@pytest.mark.parametrize(
    ("backbone", "option", "what"),
    [
        ("{name: drunet, sigma: -5}", "sigma", "expected at least 0, not -5"),
        ("{name: drunet, sigma: 256}", "sigma", "expected at most 255, not 256"),
        ("{name: drunet, nc: [64, 0, 64, 64]}", "nc.1", "expected at least 1, not 0"),
        ("{name: nafnet, width: -3}", "width", "expected at least 1, not -3"),
        (
            "{name: nafnet, enc_blk_nums: [1, -1], dec_blk_nums: [1, 1]}",
            "enc_blk_nums.1",
            "expected at least 0, not -1",
        ),
        ("{name: restormer, dim: 0}", "dim", "expected at least 2, not 0"),
        ("{name: mprnet, n_feat: 0}", "n_feat", "expected at least 1, not 0"),
        ("{name: uformer, embed_dim: -1}", "embed_dim", "expected at least 1, not -1"),
        ("{name: grl, embed_dim: 0}", "embed_dim", "expected at least 1, not 0"),
        ("{name: sci, stage: 0}", "stage", "expected at least 1, not 0"),
        ("{name: zero_dce, iterations: 0}", "iterations", "expected at least 1, not 0"),
    ],
)
def test_sizes_of_networks_are_checked(tmp_path: Path, backbone: str, option: str, what: str) -> None:
    [problem] = problems(tmp_path, f"{{task: derain, backbone: {backbone}}}")
    assert (problem.path, problem.what) == (f"blocks.0.backbone.{option}", what)


PATCHES = "{name: clip, tokens: patches, view: squash, checkpoint: /w.pt}"
MAPS = "{refiner: {name: ptg_rm, ablation: concat_2d}, prior: "


@pytest.mark.parametrize(
    ("variant", "path", "what", "hint"),
    [
        (
            "{refiner: ptg_rm, prior: {name: random, grid: 7}}",
            "prior",
            "the prior random gives maps here, and the refiner ptg_rm reads vectors",
            "ablation: concat_2d",
        ),
        (
            f"{{refiner: {{name: ptg_rm, ablation: concat_1d}}, prior: {{name: shuffled, of: {PATCHES}}}}}",
            "prior",
            "the prior shuffled gives maps here, and the refiner ptg_rm reads vectors",
            "ablation: concat_2d",
        ),
        (
            MAPS + PATCHES.replace("squash", "pad") + "}",
            "prior",
            "the prior clip cannot be made: "
            "patch tokens are a map of the whole image, and 'pad' leaves out ends or adds borders",
            "view: squash",
        ),
    ],
)
def test_maps_go_to_refiners_that_read_them(tmp_path: Path, variant: str, path: str, what: str, hint: str) -> None:
    [problem] = problems(tmp_path, f"{{task: low_light, backbone: {NAFNET}, variant: {variant}}}")
    assert (problem.path, problem.what, problem.hint) == (f"blocks.0.variant.{path}", what, hint)


@pytest.mark.parametrize(
    "prior", ["{name: random, grid: 7}, features: image", "{name: mean, of: {name: shuffled, of: nss}}"]
)
def test_maps_and_vectors_are_joined_as_maps(tmp_path: Path, prior: str) -> None:
    block = f"{{task: low_light, backbone: {NAFNET}, variant: {MAPS}{prior}}}}}"
    file = tmp_path / "sound.yaml"
    file.write_text(f"suite: sound\ndefaults: {{dataset: photos}}\nblocks: [{block}]\n")
    assert open_suite(str(file))[0].cells
