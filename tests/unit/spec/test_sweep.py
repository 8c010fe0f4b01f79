"""Products, zips and exclude rules, seen through expansion."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.suite import ResolvedSuite
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand
from harness.spec.parse import load_suite


def names(suite: ResolvedSuite) -> list[tuple]:
    """(task σ, width, variant label, steps, seed) of every trained cell."""
    return [
        (
            entry.cell.task.options.get("sigma"),
            entry.cell.backbone.options.get("width"),
            entry.labels.variant.partition(" [")[0],
            entry.cell.recipe.steps,
            entry.cell.seed,
        )
        for entry in suite.cells
        if entry.listed and entry.cell.backbone is not None
    ]


def test_a_matrix_is_a_product_in_a_fixed_order(world) -> None:
    suite = world.blocks("""
        - matrix:
            recipe: [{steps: 1}, {steps: 2}]
            backbone: [{name: net, width: 1}, {name: net, width: 2}]
            task: [denoise, {name: denoise, sigma: 5}]
          seeds: [0, 3]
    """)
    assert names(suite) == [
        (sigma, width, "base", steps, seed)
        for sigma in (25.0, 5.0) for width in (1, 2) for steps in (1, 2) for seed in (0, 3)
    ]  # fmt: skip


def test_zipped_axes_go_in_lockstep_and_multiply_with_the_matrix(world) -> None:
    suite = world.blocks("""
        - zip:
            backbone: [{name: net, width: 1}, {name: net, width: 2}]
            recipe: [{steps: 10}, {steps: 20}]
          matrix:
            task: [denoise, {name: denoise, sigma: 5}]
    """)
    assert names(suite) == [
        (25.0, 1, "base", 10, 0), (25.0, 2, "base", 20, 0), (5.0, 1, "base", 10, 0), (5.0, 2, "base", 20, 0),
    ]  # fmt: skip


def test_recipes_are_laid_over_each_other(world) -> None:
    suite = world.expand("""
        suite: s
        defaults: {task: denoise, dataset: pictures, backbone: net, recipe: {steps: 5, batch: 6, lr: 0.5, patch: 32}}
        blocks:
          - recipe: {batch: 12, lr: 0.25, losses: [{name: l1, weight: 2}]}
            matrix: {recipe: [{lr: 0.125, micro_batch: 3}]}
    """)
    recipe = suite.cells[-1].cell.recipe
    assert (recipe.steps, recipe.batch, recipe.lr, recipe.patch, recipe.micro_batch) == (5, 12, 0.125, 32, 3)
    [loss] = recipe.losses
    assert (loss.part.name, loss.part.options, loss.part.version[:2], loss.weight) == ("l1", {"eps": 1e-3}, "3+", 2.0)


VARIANTS = """[
      base,
      {refiner: refine, prior: plain},
      {refiner: {name: refine, head: residual}, prior: {name: mixed, of: plain}, label: odd}]"""


@pytest.mark.parametrize(
    ("rule", "left_out"),
    [
        ("{backbone: other}", lambda b, v, s: b == "other"),
        ("{backbone: wide}", lambda b, v, s: b == "wide"),
        ("{backbone: {width: 99}}", lambda b, v, s: b == "wide"),
        ("{backbone: [wide, other]}", lambda b, v, s: b in ("wide", "other")),
        ("{variant: base}", lambda b, v, s: v == "base"),
        ("{variant: odd, backbone: net}", lambda b, v, s: v == "odd" and b in ("net", "wide")),
        ("{variant: refine+plain, seed: 1}", lambda b, v, s: v == "refine+plain" and s == 1),
        ("{variant: {refiner: refine}}", lambda b, v, s: v != "base"),
        ("{variant: {refiner: {name: refine, head: residual}}}", lambda b, v, s: v == "odd"),
        ("{variant: {prior: {of: {name: plain}}}}", lambda b, v, s: v == "odd"),
        ("{variant: {prior: {of: plain}}, seed: [0]}", lambda b, v, s: v == "odd" and s == 0),
        ("{seed: 1}", lambda b, v, s: s == 1),
        ("{task: denoise, backbone: wide, variant: base, seed: [0, 1]}", lambda b, v, s: b == "wide" and v == "base"),
    ],
)  # fmt: skip
def test_exclude_rules(world, rule: str, left_out) -> None:
    block = f"""
- matrix:
    backbone: [net, {{name: net, width: 99, label: wide}}, other]
    variant: {VARIANTS}
  seeds: [0, 1]
"""
    every = {(e.labels.backbone, e.labels.variant, e.cell.seed) for e in world.blocks(block).cells if e.cell.backbone}
    assert len(every) == 3 * 3 * 2
    kept = world.blocks(f"{block}  exclude: [{rule}]\n").cells
    found = {(e.labels.backbone, e.labels.variant, e.cell.seed) for e in kept if e.cell.backbone}
    expected = {(backbone, variant, seed) for backbone, variant, seed in every if not left_out(backbone, variant, seed)}
    assert found == expected
    assert found != every


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ("{backbone: nett}", "backbone nett matches none of net, other"),
        ("{backbone: {width: 7}}", 'backbone {"width":7} matches none of net, other'),
        ("{backbone: {heads: 3}}", 'backbone {"heads":3} matches none of net, other'),
        ("{seed: 5}", "the seeds are 0"),
        ("{recipe: {steps: 3}}", "recipe is not an axis of this block"),
        ("{variant: base}", "variant is not an axis of this block"),
        ("{backbone: other, task: denoise, seed: 1}", "the seeds are 0"),
        ("{}", "name what it excludes, as {task: NAME}"),
    ],
)
def test_a_rule_that_excludes_nothing_is_a_mistake(world, rule: str, hint: str) -> None:
    [problem] = world.block_problems(
        f"- {{matrix: {{backbone: [net, other]}}, exclude: [{{backbone: other}}, {rule}]}}"
    )
    assert (problem.what, problem.hint) == ("this rule excludes nothing", hint)
    assert problem.path == "blocks.0.exclude.1"


def test_a_rule_whose_keys_never_meet(world) -> None:
    zipped = "zip: {backbone: [net, other], task: [denoise, rainy]}"
    [problem] = world.block_problems(f"- {{{zipped}, exclude: [{{backbone: net, task: rainy}}]}}")
    assert problem.hint == "each of its keys matches something, but no combination has all of them"


def test_a_rule_for_recipes_without_labels(world) -> None:
    [problem] = world.block_problems("- {matrix: {recipe: [{steps: 1}, {steps: 2}]}, exclude: [{recipe: {steps: 3}}]}")
    assert problem.hint == 'recipe {"steps":3} matches no recipe of this block'


def test_two_rules_that_exclude_the_same_are_both_used(world) -> None:
    suite = world.blocks("- {matrix: {backbone: [net, other]}, exclude: [{backbone: other}, {backbone: [other]}]}")
    assert len(names(suite)) == 1


def test_rules_that_leave_nothing(world) -> None:
    [problem] = world.block_problems("- {seeds: [0], exclude: [{seed: 0}]}")
    assert problem.what == "these rules leave no cell of the block"


@pytest.mark.parametrize(
    ("block", "path", "what"),
    [
        ("{zip: {backbone: [net, other], task: [denoise]}}", "blocks.0.zip",
         "zipped axes differ in length: task 1, backbone 2"),
        ("{zip: {backbone: [net]}, matrix: {backbone: [net]}}", "blocks.0.matrix.backbone",
         "backbone is in `zip`, too"),
        ("{backbone: net, matrix: {backbone: [net]}}", "blocks.0.backbone",
         "backbone is given by the block and by its axes"),
        ("{seeds: [1, 1]}", "blocks.0.seeds.1", "the seed 1 is given twice: it is item 0, too"),
        ("{matrix: {backbone: []}}", "blocks.0.matrix.backbone", "an empty list"),
    ],
)  # fmt: skip
def test_axes_that_contradict_each_other(world, block: str, path: str, what: str) -> None:
    [problem] = world.block_problems(f"- {block}")
    assert (problem.path, problem.what) == (path, what)


FROZEN = "{refiner: refine, prior: plain, regime: frozen}"
AGAIN = "{regime: from_base, label: again}"


@pytest.mark.parametrize(
    ("variants", "rules", "left"),
    [
        ("[base, base_continued]", "{variant: base}", ["base_continued"]),
        ("[base, base_continued]", "{variant: base_continued}", ["base"]),
        (f"[base, {AGAIN}]", "{variant: base}", ["again"]),
        (f"[base, {AGAIN}]", "{variant: again}", ["base"]),
        (f"[base, {AGAIN}]", "{variant: base_continued}", ["base"]),
        (f"[base, {AGAIN}]", "{variant: {regime: from_base}}", ["base"]),
        (f"[{FROZEN}]", "{variant: base_continued}", ["refine+plain frozen"]),
        (f"[{FROZEN}]", "{variant: [base_continued]}", ["refine+plain frozen"]),
        (f"[{FROZEN}, base_continued]", "{variant: base_continued}", ["refine+plain frozen"]),
        (f"[base, {FROZEN}]", "{variant: refine+plain}", ["base"]),
        # The rule for base_continued is used although another one excludes the variant that it stands beside.
        (f"[base, {FROZEN}]", "{variant: refine+plain}, {variant: base_continued}", ["base"]),
    ],
)
def test_base_continued_is_excluded_by_its_name(world, variants: str, rules: str, left: list[str]) -> None:
    suite = world.blocks(f"- {{matrix: {{variant: {variants}}}, exclude: [{rules}]}}")
    assert [e.labels.variant for e in suite.cells if e.cell.backbone and e.listed] == left


def test_base_continued_is_excluded_for_some_seeds_and_networks_only(world) -> None:
    suite = world.blocks(f"""
        - matrix: {{backbone: [net, other]}}
          variant: {FROZEN}
          seeds: [0, 1]
          exclude: [{{variant: base_continued, backbone: net, seed: 1}}]
    """)
    continued = [e for e in suite.cells if e.labels.variant == "base_continued"]
    assert [(e.labels.backbone, e.cell.seed) for e in continued] == [("net", 0), ("other", 0), ("other", 1)]
    assert len([e for e in suite.cells if e.labels.variant == "refine+plain frozen"]) == 4


def test_a_rule_names_base_continued_where_there_is_none(world) -> None:
    """Nothing stands beside joint training, nor beside a variant that leaves it out."""
    variants = "[base, {refiner: refine, prior: plain, regime: frozen, continued: false}]"
    [problem] = world.block_problems(f"- {{matrix: {{variant: {variants}}}, exclude: [{{variant: base_continued}}]}}")
    assert problem.what == "this rule excludes nothing"
    assert problem.hint == "variant base_continued matches none of base, refine+plain"


@pytest.mark.parametrize(
    ("rule", "excluded"),
    [
        ("{task: motion_blur (synthetic)}", ("task", "motion_blur (synthetic)")),
        ("{task: [rain (synthetic), nothing]}", ("task", "rain (synthetic)")),
        ("{task: rain}", ("task", "rain (synthetic)")),
        ("{backbone: uretinex (reads the truth)}", ("backbone", "uretinex(ratio=truth) (reads the truth)")),
        ("{variant: ptg_rm+random frozen}", ("variant", "ptg_rm+random frozen")),
        ('{variant: "ptg_rm+random @features"}', ("variant", "ptg_rm+random @features")),
    ],
)
def test_rules_match_names_as_tables_print_them(tmp_path: Path, rule: str, excluded: tuple[str, str]) -> None:
    random = "refiner: ptg_rm, prior: random"
    variants = f"{{{random}}}, {{{random}, regime: frozen, continued: false}}, {{{random}, placement: features}}"
    matrix = (
        "task: [motion_blur, {name: derain, label: rain}, gaussian_denoise], "
        f"backbone: [nafnet, {{name: uretinex, ratio: truth}}, uretinex], variant: [base, {variants}]"
    )

    def rows(exclude: str) -> set[tuple[str, str, str]]:
        file = tmp_path / "suite.yaml"
        file.write_text(
            f"suite: s\ndefaults: {{dataset: photos}}\nblocks: [{{matrix: {{{matrix}}}, exclude: [{exclude}]}}]\n"
        )
        cells = [each for each in expand(load_suite(str(file)), REGISTRY).cells if each.listed and each.cell.backbone]
        return {(each.labels.task, each.labels.backbone, each.labels.variant) for each in cells}

    every = rows("")
    axis, name = excluded
    index = ("task", "backbone", "variant").index(axis)
    assert every - rows(rule) == {row for row in every if row[index] == name} != set()
