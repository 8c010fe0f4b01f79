"""Labels of cells: short, and unique but for seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.suite import ResolvedSuite
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand
from harness.spec.parse import load_suite


def labels(suite: ResolvedSuite, *, listed: bool = True) -> list[str]:
    found = [entry.labels for entry in suite.cells if entry.cell.backbone and entry.listed is listed]
    return list(dict.fromkeys(f"{label.task} | {label.backbone} | {label.variant}" for label in found))


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("backbone: [net]", ["denoise | net | base"]),
        ("backbone: [{name: net, width: 8}]", ["denoise | net | base"]),
        ("backbone: [net, {name: net, width: 8}]", ["denoise | net | base", "denoise | net(width=8) | base"]),
        (
            "backbone: [{name: net, blocks: [1], bias: false}, {name: net, width: 8, label: N8}, other]",
            ["denoise | net(blocks=[1], bias=false) | base", "denoise | N8 | base", "denoise | other | base"],
        ),
        (
            "task: [denoise, {name: denoise, sigma: 5}, {name: denoise, sigma: 0.5, label: weak}]",
            ["denoise | net | base", "denoise(sigma=5) | net | base", "weak | net | base"],
        ),
        (
            "variant: [base, {refiner: refine, prior: plain}, {refiner: refine, prior: {name: mixed, of: plain}}]",
            ["denoise | net | base", "denoise | net | refine+plain", "denoise | net | refine+mixed(plain)"],
        ),
        (
            "variant: [{refiner: refine, prior: plain, regime: from_base}, {refiner: refine, prior: plain, "
            "placement: features, features: live}, {refiner: refine, prior: plain, label: own}]",
            [
                "denoise | net | base_continued",
                "denoise | net | refine+plain from_base",
                "denoise | net | refine+plain @features prior:live",
                "denoise | net | own",
            ],
        ),
        (
            "variant: [{refiner: refine, prior: plain}, {refiner: {name: refine, head: residual}, prior: plain}]",
            ["denoise | net | refine+plain", "denoise | net | refine(head=residual)+plain"],
        ),
        (
            "variant: [{refiner: refine, prior: {name: mixed, of: plain}}, "
            "{refiner: refine, prior: {name: mixed, of: {name: plain, dim: 4}}}]",
            ["denoise | net | refine+mixed(plain)", "denoise | net | refine+mixed(plain(dim=4))"],
        ),
        (
            "variant: [{refiner: refine, prior: {name: learned, source: {task: rainy, backbone: net}}}, "
            "{refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other}}}]",
            ["denoise | net | refine+learned(rainy/net)", "denoise | net | refine+learned(rainy/other)"],
        ),
        (
            "recipe: [{steps: 5}, {steps: 7, lr: 0.5}]",
            ["denoise | net | base [steps=5, lr=0.001]", "denoise | net | base [steps=7, lr=0.5]"],
        ),
        (
            "recipe: [{steps: 5, label: short}, {steps: 7, label: long}]",
            ["denoise | net | base [label=short]", "denoise | net | base [label=long]"],
        ),
        (
            "dataset: [pictures, {name: pictures, size: 9}]",
            [
                "denoise | net | base [size=4]",
                "denoise | net | base [size=9]",
            ],
        ),
    ],
)
def test_labels(world, axes: str, expected: list[str]) -> None:
    suite = world.blocks(f"- {{matrix: {{{axes}}}, seeds: [0, 1]}}")
    assert labels(suite) == expected
    rows = {(entry.labels, entry.cell.seed) for entry in suite.cells if entry.listed}
    assert len(rows) == len([entry for entry in suite.cells if entry.listed])


def test_a_required_cell_gives_way_to_a_listed_one(world) -> None:
    suite = world.blocks("""
        - matrix:
            variant: [base, {refiner: refine, prior: plain, regime: frozen, base_recipe: {steps: 5}}]
        """)
    assert labels(suite) == [
        "denoise | net | base",
        "denoise | net | base_continued",
        "denoise | net | refine+plain frozen",
    ]
    assert labels(suite, listed=False) == ["denoise | net | base [steps=5]"]


def test_a_control_is_told_as_one_even_where_nothing_else_shares_its_name(tmp_path: Path) -> None:
    control, other = "{refiner: {name: smg, guidance: shuffled, width: 8}}", "{refiner: {name: skf, heads: 1}}"
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: s\ndefaults: {dataset: photos, task: low_light, recipe: {steps: 10}}\n"
        f"blocks:\n  - {{backbone: snr_net, matrix: {{variant: [{control}, {other}]}}}}\n"
    )
    assert labels(expand(load_suite(str(file)), REGISTRY)) == [
        "low_light (synthetic) | snr_net | smg(width=8, guidance=shuffled)",
        "low_light (synthetic) | snr_net | skf",
    ]


def test_a_network_that_reads_the_truth_in_test_is_told_as_one(tmp_path: Path) -> None:
    told = "{name: uretinex, ratio: truth}, {name: uretinex, ratio: truth, rounds: 1, label: U}"
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: s\ndefaults: {dataset: photos, task: low_light, recipe: {steps: 10}}\nblocks:\n  - matrix:\n"
        f"      backbone: [uretinex, {told}, {{name: uretinex, truth_trains: true, ratio: 4}}]\n"
    )
    assert labels(expand(load_suite(str(file)), REGISTRY)) == [
        "low_light (synthetic) | uretinex | base",
        "low_light (synthetic) | uretinex(ratio=truth) (reads the truth) | base",
        "low_light (synthetic) | U (reads the truth) | base",
        "low_light (synthetic) | uretinex(ratio=4, truth_trains=true) | base",
    ]


def test_tasks_whose_inputs_imitate_photographs_are_marked(tmp_path: Path) -> None:
    """In tables, under a label of the file's own too; noise that is the task itself is not, and no prior's source."""
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: s\ndefaults: {dataset: photos, recipe: {steps: 4}, backbone: "
        "{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}\n"
        "blocks: [{matrix: {task: [low_light, {name: derain, label: rain}, motion_blur, gaussian_denoise]}}, "
        "{task: gaussian_denoise, variant: {refiner: ptg_rm, prior: "
        "{name: restoration, source: {task: derain, backbone: {name: nafnet, width: 4}}}}}]\n"
    )
    suite = expand(load_suite(str(file)), REGISTRY)
    tasks = dict.fromkeys(entry.labels.task for entry in suite.cells if entry.listed)
    assert list(tasks) == ["low_light (synthetic)", "rain (synthetic)", "motion_blur (synthetic)", "gaussian_denoise"]
    (refined,) = {entry.labels.variant for entry in suite.cells if "restoration" in entry.labels.variant}
    assert "synthetic" not in refined


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        (
            "{scale: {chance: 1, least: 0.5}}, {darken: {chance: 1, least: 3}}, {}",
            [
                "scale.chance=1, scale.least=0.5, darken=—",
                "scale=—, darken.chance=1, darken.least=3, darken.most=4",
                "scale=—, darken=—",
            ],
        ),
        ("{scale: {chance: 1, least: 0.5}}, {scale: {chance: 1, least: 0.25}}",
         ["scale.least=0.5", "scale.least=0.25"]),
        ("{mixup: 2}, {mixup: {alpha: 2, groups: 2}}",
         ["mixup=2", "mixup.alpha=2, mixup.chance=0.5, mixup.per=batch, mixup.after=0, mixup.groups=2"]),
        ("{rates: {backbone.nothing: 0.1}}, {}", ["rates.backbone.nothing=0.1", "rates=—"]),
        (
            "{steps: 4, stages: [{steps: 4, trains: [backbone]}]}, "
            "{steps: 4, stages: [{steps: 4, trains: [refiner, backbone]}]}",
            ["stages.0.trains=[backbone]", "stages.0.trains=[refiner,backbone]"],
        ),
        (
            "{losses: [l1]}, {losses: [l1, {name: charbonnier, eps: 0.5}]}, {losses: [{name: l1, weight: 2}]}",
            [
                "losses.0.weight=1, losses.1=—",
                "losses.0.weight=1, losses.1.name=charbonnier, losses.1.eps=0.5, losses.1.weight=1",
                "losses.0.weight=2, losses.1=—",
            ],
        ),
        ("{steps: 4}, {steps: 5, label: five}", ["steps=4", "label=five"]),
        ("{steps: 4, label: same}, {steps: 5, label: same}", ["steps=4", "steps=5"]),
        ("{steps: 4, milestones: [1], schedule: step}, {steps: 4}", ["schedule=step, milestones=[1]",
                                                                    "schedule=cosine, milestones=—"]),
    ],
)  # fmt: skip
def test_words_of_different_recipes_are_unique_names(world, recipes: str, words: list[str]) -> None:
    suite = world.blocks(f"- {{matrix: {{recipe: [{recipes}]}}}}")
    assert labels(suite) == [f"denoise | net | base [{each}]" for each in words]


def test_long_words_are_cut_and_stay_apart(world) -> None:
    """What does not fit is told by the beginning of a digest, where the rest is the same."""
    rates = "rates: {backbone.first: 0.5, backbone.second: 0.5, backbone.third: 0.5, backbone.fourth: 0.5, backbone."
    suite = world.blocks(f"- {{matrix: {{recipe: [{{}}, {{{rates}fifth: 1}}}}, {{{rates}fifth: 2}}}}]}}}}")
    none, one, two = labels(suite)
    assert none == "denoise | net | base [rates=—]"
    for found in (one, two):
        shown, _, end = found.partition("[")[2].rpartition(", …, ")
        assert shown == "rates.backbone.first=0.5, rates.backbone.second=0.5, rates.backbone.third=0.5"
        assert len(end.removesuffix("]")) == 4
    assert one != two


def test_cells_that_start_from_different_bases_say_so(world) -> None:
    frozen = "refiner: refine, regime: frozen"
    suite = world.blocks(f"""
        - recipe: {{steps: 6}}
          matrix:
            variant:
              - {{{frozen}, prior: plain, base_recipe: {{steps: 9}}}}
              - {{{frozen}, prior: {{name: mixed, of: plain}}}}
              - {{{frozen}, prior: plain, base_recipe: {{steps: 9}}, label: mine}}
              - {{refiner: refine, prior: plain}}
          seeds: [0, 1]
    """)
    assert labels(suite) == [
        "denoise | net | base_continued [base.steps=9]",
        "denoise | net | mine",
        "denoise | net | base_continued [base.steps=6]",
        "denoise | net | refine+mixed(plain) frozen [base.steps=6]",
        "denoise | net | refine+plain",
    ]
    assert labels(suite, listed=False) == ["denoise | net | base [steps=9]", "denoise | net | base [steps=6]"]


def test_recipes_and_bases_that_differ_are_both_told(world) -> None:
    frozen = "refiner: refine, regime: frozen, continued: false, prior"
    suite = world.blocks(f"""
        - matrix:
            recipe: [{{steps: 6}}, {{steps: 7}}]
            variant: [{{{frozen}: plain, base_recipe: {{steps: 9}}}}, {{{frozen}: plain}}]
    """)
    assert labels(suite) == [
        "denoise | net | refine+plain frozen [steps=6, base.steps=9]",
        "denoise | net | refine+plain frozen [steps=7, base.steps=9]",
        "denoise | net | refine+plain frozen [steps=6, base.steps=6]",
        "denoise | net | refine+plain frozen [steps=7, base.steps=7]",
    ]


def test_bases_are_told_by_their_own_label_only(world) -> None:
    """Those that inherit the recipe's label are told by what differs."""
    frozen = "refiner: refine, regime: frozen, continued: false, prior: plain, base_recipe"
    suite = world.blocks(f"""
        - recipe: {{steps: 6, label: short}}
          matrix:
            variant: [{{{frozen}: {{steps: 9}}}}, {{{frozen}: {{steps: 12}}}}, {{{frozen}: {{steps: 20, label: long}}}}]
    """)
    assert labels(suite) == [
        "denoise | net | refine+plain frozen [base.steps=9]",
        "denoise | net | refine+plain frozen [base.steps=12]",
        "denoise | net | refine+plain frozen [base.label=long]",
    ]


def test_a_label_that_says_the_mark_is_marked_once(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: s\ndefaults: {dataset: photos, recipe: {steps: 4}}\nblocks: [{matrix: {backbone: [nafnet, "
        "{name: uretinex, ratio: truth, label: U (reads the truth)}], "
        "task: [{name: low_light, label: dark (synthetic)}, {name: derain, label: synthetic rain}]}}]\n"
    )
    suite = expand(load_suite(str(file)), REGISTRY)
    names = [(entry.labels.task, entry.labels.backbone) for entry in suite.cells if entry.cell.backbone]
    assert names == [
        (task, backbone)
        for task in ("dark (synthetic)", "synthetic rain (synthetic)")
        for backbone in ("nafnet", "U (reads the truth)")
    ]
