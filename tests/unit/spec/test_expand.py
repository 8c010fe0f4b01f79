"""References resolved, required cells added, duplicates merged, mistakes of meaning reported together."""

from __future__ import annotations

import hashlib

import pytest

from harness.api.reference import PartRef
from harness.cells.recipe import Recipe
from harness.parts.plugins import extend
from harness.weights.catalogue import find
from harness.weights.files import weights_digest


def by_label(suite) -> dict[tuple[str, int], object]:
    return {(f"{e.labels.task} {e.labels.backbone} {e.labels.variant}", e.cell.seed): e for e in suite.cells}


def test_references_are_complete(world) -> None:
    [_, entry] = world.blocks("- {backbone: {name: net, width: 4, blocks: [3]}, task: {name: denoise, sigma: 5}}").cells
    cell = entry.cell
    version = cell.backbone.version
    assert version.startswith("3+")
    assert cell.backbone == PartRef(
        name="net", version=version, options={"width": 4, "blocks": [3], "act": "relu", "bias": True, "scale": None}
    )
    assert cell.task.options == {"sigma": 5.0}
    assert cell.task.derived_from == PartRef(name="noise", version=version, options={"sigma": 5.0, "clip": False})
    assert cell.train.digest == "pictures-4"
    assert cell.variant.refiner is None
    [loss] = cell.recipe.losses
    assert (loss.part.name, loss.part.version) == ("charbonnier", version)
    assert cell.recipe.model_copy(update={"losses": Recipe().losses}) == Recipe()
    assert [test.dataset.name for test in entry.tests] == ["pictures"]
    assert entry.listed


def test_every_task_gets_one_input_row_with_all_its_tests(world) -> None:
    suite = world.expand("""
        suite: s
        defaults: {dataset: pictures, backbone: net}
        blocks:
          - {task: denoise, seeds: [3, 4]}
          - {task: denoise, backbone: other, test: [test_only]}
          - {task: rainy}
        """)
    inputs = [entry for entry in suite.cells if entry.cell.backbone is None]
    assert [(e.labels.task, e.labels.backbone, e.labels.variant) for e in inputs] == [
        ("denoise", "input", "input"),
        ("rainy", "input", "input"),
    ]
    assert [test.dataset.name for test in inputs[0].tests] == ["pictures", "test_only"]
    assert [test.dataset.name for test in inputs[1].tests] == ["pictures"]
    assert suite.cells[0] is inputs[0]
    assert all(entry.listed and entry.cell.seed == 0 for entry in inputs)


def test_the_same_cell_of_two_blocks_is_one_cell_with_the_tests_of_both(world) -> None:
    suite = world.blocks("""
        - {matrix: {backbone: [net, {name: net, width: 16}]}, seeds: [0, 1]}
        - {backbone: {name: net, width: 16, label: same}, test: [pictures, test_only], seeds: [1]}
        """)
    trained = [entry for entry in suite.cells if entry.cell.backbone]
    assert [(e.cell.seed, [t.dataset.name for t in e.tests]) for e in trained] == [
        (0, ["pictures"]),
        (1, ["pictures", "test_only"]),
    ]
    assert {entry.labels.backbone for entry in trained} == {"same"}
    assert len({entry.cell.id for entry in suite.cells}) == len(suite.cells)


def test_regimes_bring_their_base_cell(world) -> None:
    suite = world.blocks("""
        - variant: {refiner: refine, prior: plain, regime: from_base}
          seeds: [7]
        """)
    base, continued, refined = [entry for entry in suite.cells if entry.cell.backbone]
    assert refined.cell.base is base.cell
    assert (base.listed, base.tests, base.labels.variant) == (False, (), "base")
    assert (base.cell.seed, base.cell.recipe, base.cell.task) == (7, refined.cell.recipe, refined.cell.task)
    assert refined.labels.variant == "refine+plain from_base"
    assert (continued.listed, continued.labels.variant, continued.cell.base) == (True, "base_continued", base.cell)
    assert (continued.cell.recipe, continued.tests) == (refined.cell.recipe, refined.tests)


@pytest.mark.parametrize(
    "variants",
    [
        "[base, base_continued]",
        "[base, {regime: from_base}]",
        "[{refiner: refine, prior: plain, regime: from_base}, base, base_continued]",
        "[base_continued, base, {refiner: refine, prior: plain, regime: frozen}]",
        "[{refiner: refine, prior: plain, regime: frozen, continued: false}, base, base_continued]",
    ],
)
def test_the_continued_base_is_one_cell_however_it_is_asked_for(world, variants: str) -> None:
    suite = world.blocks(f"- matrix: {{variant: {variants}}}")
    continued = [entry for entry in suite.cells if entry.labels.variant == "base_continued"]
    assert len(continued) == 1
    cell = continued[0].cell
    assert (cell.variant.refiner, cell.variant.regime, cell.recipe) == (None, "from_base", cell.base.recipe)
    assert not cell.is_base
    assert cell.base.is_base


def test_a_suite_may_leave_the_continued_base_out(world) -> None:
    suite = world.blocks("- variant: {refiner: refine, prior: plain, regime: frozen, continued: false}")
    assert [entry.labels.variant for entry in suite.cells if entry.listed] == ["input", "refine+plain frozen"]


def test_a_listed_base_is_not_added_twice(world) -> None:
    suite = world.blocks("""
        - matrix: {variant: [{refiner: refine, prior: plain, regime: frozen}, base]}
        """)
    base, _, refined = [entry for entry in suite.cells if entry.cell.backbone]
    assert base.listed
    assert base.labels.variant == "base"
    assert [test.dataset.name for test in base.tests] == ["pictures"]
    assert refined.cell.base.id == base.cell.id


def test_base_recipe_changes_the_base_only(world) -> None:
    suite = world.blocks("""
        - recipe: {steps: 10}
          variant: {refiner: refine, prior: plain, regime: frozen, base_recipe: {steps: 99}}
        """)
    base, continued, refined = [entry for entry in suite.cells if entry.cell.backbone]
    assert (base.cell.recipe.steps, refined.cell.recipe.steps) == (99, 10)
    assert (continued.cell.base, continued.cell.recipe.steps) == (base.cell, 10)


def test_a_prior_of_a_prior(world) -> None:
    suite = world.blocks("- variant: {refiner: refine, prior: {name: mixed, of: {name: plain, dim: 4}}}")
    prior = suite.cells[-1].cell.variant.prior
    assert (prior.name, prior.options) == ("mixed", {})
    assert (prior.derived_from.name, prior.derived_from.options) == ("plain", {"dim": 4, "seed": 0})
    assert suite.cells[-1].labels.variant == "refine+mixed(plain)"


def test_a_prior_brings_the_cell_that_it_needs_and_takes_its_id(world) -> None:
    suite = world.blocks("""
        - seeds: [0, 1]
          recipe: {steps: 5}
          variant:
            refiner: refine
            prior: {name: mixed, of: {name: learned, source: {task: rainy, backbone: other, recipe: {batch: 2}}}}
        """)
    entries = [entry for entry in suite.cells if entry.cell.backbone]
    assert [entry.listed for entry in entries] == [False, True, False, True]
    for source, refined in (entries[:2], entries[2:]):
        assert refined.cell.prior_source is source.cell
        assert refined.cell.requires == (source.cell,)
        assert refined.cell.variant.prior.digest is None
        assert refined.cell.variant.prior.derived_from.digest == source.cell.id
        assert refined.cell.variant.prior.derived_from.options == {"tap": "last"}
        assert (source.cell.task.name, source.cell.backbone.name, source.tests) == ("rainy", "other", ())
        assert (source.cell.seed, source.cell.recipe.steps, source.cell.recipe.batch) == (refined.cell.seed, 5, 2)
        assert source.cell.train == refined.cell.train


def test_a_source_may_fix_its_own_data_and_seed(world) -> None:
    suite = world.blocks("""
        - seeds: [0, 1]
          variant:
            refiner: refine
            prior: {name: learned, source: {task: rainy, backbone: net, seed: 9, dataset: {name: pictures, size: 8}}}
        """)
    sources = [entry.cell for entry in suite.cells if not entry.listed]
    assert [(cell.seed, cell.train.digest) for cell in sources] == [(9, "pictures-8")]


def test_plugins_metrics_and_run_are_carried(world) -> None:
    suite = world.expand("""
        suite: s
        description: words
        metrics: [ssim]
        plugins: [parts.py]
        run: {cpus: 2}
        blocks: [{task: denoise, dataset: pictures, backbone: net}]
        """)
    assert (suite.name, suite.description, [metric.key for metric in suite.metrics], suite.run.cpus) == (
        "s",
        "words",
        ["ssim"],
        2,
    )
    assert suite.plugins == (str(world.folder / "parts.py"),)


# --- weights ------------------------------------------------------------------------------------------------------

WEIGHTY = """
from harness.api.prior import PriorTraits
from harness.api.reference import LocalFile
from harness.api.traits import Conflict, OwnFile, Published, When


class Pretrained:
    traits = PriorTraits(
        weights=(OwnFile("file"), Published("clip/ViT-B-32-openai", when=(When("release", "known"),))),
        conflicts=(Conflict((When("release", "never"),), "there is no such file"),),
    )

    def __init__(self, *, release: str = "own", file: LocalFile | None = None) -> None: ...


CATALOGUE = (("prior", "pretrained", "Pretrained"),)
"""


def test_weights_name_the_prior_by_their_content(world) -> None:
    (world.folder / "weights.py").write_text(WEIGHTY)
    world.registry = extend(world.registry, [str(world.folder / "weights.py")])
    file = world.folder / "w.bin"
    file.write_bytes(b"weights")

    def prior(option: str) -> PartRef:
        variant = f"{{refiner: refine, prior: {{name: pretrained, {option}}}}}"
        return world.blocks(f"- {{variant: {variant}}}").cells[-1].cell.variant.prior

    assert prior("release: known").digest == find("clip/ViT-B-32-openai").sha256
    assert prior(f"file: '{file}'").digest == hashlib.sha256(b"weights").hexdigest()
    assert prior("file: missing").digest is None
    [problem] = world.block_problems("- {variant: {refiner: refine, prior: {name: pretrained, release: never}}}")
    assert problem.what == "the prior pretrained cannot be made: there is no such file"
    assert weights_digest([]) is None


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "path", "what", "hint"),
    [
        ("{backbone: nte}", "blocks.0.backbone", "no backbone is called 'nte'", "did you mean 'net'?"),
        ("{backbone: {name: nte}}", "blocks.0.backbone.name", "no backbone is called 'nte'", "did you mean 'net'?"),
        ("{backbone: {name: net, widht: 3}}", "blocks.0.backbone.widht", "backbone net has no option 'widht'",
         "did you mean 'width'?"),
        ("{backbone: {name: other, width: 3}}", "blocks.0.backbone.width", "backbone other has no option 'width'",
         "backbone other has no options"),
        ("{backbone: {name: net, width: wide}}", "blocks.0.backbone.width", "expected a whole number, not 'wide'", ""),
        ("{backbone: {name: net, bias: yes}}", "blocks.0.backbone.bias", "expected true or false, not 'yes'",
         "write true: YAML 1.2 reads yes as text"),
        ("{backbone: {name: net, bias: off}}", "blocks.0.backbone.bias", "expected true or false, not 'off'",
         "write false: YAML 1.2 reads off as text"),
        ("{backbone: {name: net, act: geluu}}", "blocks.0.backbone.act", "expected relu or gelu, not 'geluu'",
         "did you mean 'gelu' or 'relu'?"),
        ("{backbone: {name: net, blocks: [1, x]}}", "blocks.0.backbone.blocks.1",
         "expected a whole number, not 'x'", ""),
        ("{task: {name: denoise, sigma: 101}}", "blocks.0.task.sigma", "expected at most 100, not 101", ""),
        ("{dataset: test_only}", "blocks.0.dataset", "data set test_only has no split 'train'", "it has test"),
        ("{dataset: train_only}", "blocks.0.dataset", "data set train_only has no split 'test'", "it has train"),
        ("{test: [pictures, train_only]}", "blocks.0.test.1",
         "data set train_only has no split 'test'", "it has train"),
        ("{variant: {refiner: refine}}", "blocks.0.variant.refiner", "the refiner refine needs a prior",
         "for a control write prior: random"),
        ("{variant: {prior: plain}}", "blocks.0.variant.prior", "the prior plain has no refiner to guide",
         "add refiner: ptg_rm"),
        ("{variant: {prior: {name: mixed, of: plain}}}", "blocks.0.variant.prior",
         "the prior mixed has no refiner to guide", "add refiner: ptg_rm"),
        ("{variant: {regime: frozen}}", "blocks.0.variant.regime",
         "frozen needs a refiner: nothing else would train", "add refiner: ptg_rm"),
        ("{variant: {refiner: refine, prior: plain, continued: false}}", "blocks.0.variant.continued",
         "regime joint starts from no base cell", "regime: from_base, or regime: frozen"),
        ("{variant: {features: live}}", "blocks.0.variant.features", "features does nothing without a refiner",
         "remove it, or add refiner and prior"),
        ("{variant: {refiner: refine, prior: plain, base_recipe: {steps: 3}}}", "blocks.0.variant.base_recipe",
         "regime joint starts from no base cell", "regime: from_base, or regime: frozen"),
        ("{variant: {refiner: refine, prior: mixed}}", "blocks.0.variant.prior", "prior mixed needs the option 'of'",
         "add of: nss"),
        ("{variant: {refiner: refine, prior: {name: mixed, of: plian}}}", "blocks.0.variant.prior.of",
         "no prior is called 'plian'", "did you mean 'plain'?"),
        ("{variant: {refiner: refine, prior: {name: mixed, of: 3}}}", "blocks.0.variant.prior.of",
         "expected a name, or a mapping with `name` and options, not 3", ""),
        ("{variant: {refiner: refine, prior: {name: learned, source: {task: rain, backbone: net}}}}",
         "blocks.0.variant.prior.source.task", "no task is called 'rain'", "did you mean 'rainy'?"),
        ("{variant: {refiner: refine, prior: {name: learned, source: {task: rainy}}}}",
         "blocks.0.variant.prior.source", "'backbone' is missing", ""),
        ("{variant: {refiner: refine,"
         " prior: {name: learned, source: {task: rainy, backbone: net, dataset: test_only}}}}",
         "blocks.0.variant.prior.source.dataset", "data set test_only has no split 'train'", "it has test"),
        ("{recipe: {batch: 8, micro_batch: 3}}", "blocks.0.recipe.micro_batch", "micro_batch 3 does not divide batch 8",
         "one of 1, 2, 4, 8"),
        ("{recipe: {batch: 128, patch: 4}}", "blocks.0.recipe.patch", "patches of 4 pixels are too small to learn from",
         "at least 16"),
        ("{recipe: {batch: 64, patch: 2048}}", "blocks.0.recipe.patch",
         "64 patches of 2048×2048 pixels at once: no device holds that",
         "are batch and patch swapped? Otherwise set micro_batch"),
        ("{recipe: {patch: 64, crop: grid, stride: 65}}", "blocks.0.recipe.stride",
         "stride 65 skips pixels between patches of 64",
         "at most the patch"),
        ("{recipe: {lr: 1e-5, lr_min: 1e-3}}", "blocks.0.recipe.lr_min", "lr_min 0.001 is above lr 1e-05",
         "the rate falls from lr to lr_min"),
        ("{recipe: {steps: 10, warmup: 10}}", "blocks.0.recipe.warmup", "10 warm-up steps of 10 in all",
         "fewer than steps"),
        ("{recipe: {betas: [0.9, 1.5]}}", "blocks.0.recipe.betas", "betas are in [0, 1), not [0.9, 1.5]", ""),
        ("{recipe: {losses: [l1, l1]}}", "blocks.0.recipe.losses", "a loss is named twice", "add up their weights"),
        ("{recipe: {losses: [l2]}}", "blocks.0.recipe.losses.0", "no loss is called 'l2'", "known: charbonnier, l1"),
        ("{recipe: {losses: [{name: l1, eps: x}]}}", "blocks.0.recipe.losses.0.eps", "expected a number, not 'x'", ""),
        ("{recipe: {losses: [{name: l1, weight: 0}]}}", "blocks.0.recipe.losses.0.weight",
         "the loss l1 weighs nothing", "remove it"),
        ("{recipe: {losses: [{name: l1, weight: -1}]}}", "blocks.0.recipe.losses.0.weight",
         "expected at least 0, not -1", ""),
        ("{recipe: {losses: [{name: l1, weight: 0, refined_weight: 2}]}}", "blocks.0.recipe.losses",
         "no loss trains a network without a refiner", "give one loss a weight above 0"),
        ("{recipe: {losses: [{name: l1, refined_weight: 0}]}, variant: {refiner: refine, prior: plain}}",
         "blocks.0.recipe.losses", "no loss trains the refiner refine", "give one loss a refined_weight above 0"),
        ("{recipe: {steps: -1}}", "blocks.0.recipe.steps", "expected more than 0, not -1", ""),
        ("{seeds: [-1]}", "blocks.0.seeds.0", "expected at least 0, not -1", ""),
    ],
)  # fmt: skip
def test_each_mistake_has_its_place_and_its_words(world, block: str, path: str, what: str, hint: str) -> None:
    [problem] = world.block_problems(f"- {block}")
    assert (problem.path, problem.what, problem.hint) == (path, what, hint)
    assert problem.line == 4


@pytest.mark.parametrize("axis", ["task", "dataset", "backbone"])
def test_a_block_without_an_axis(world, axis: str) -> None:
    defaults = {"task": "denoise", "dataset": "pictures", "backbone": "net"}
    del defaults[axis]
    [problem] = world.problems(f"suite: s\ndefaults: {defaults}\nblocks: [{{seeds: [1]}}]")
    assert problem.what == f"this block has no {axis}"
    assert problem.line == 3


def test_metrics_are_known_and_unique(world) -> None:
    problems = world.problems("""
        suite: s
        metrics: [psnr, pnsr, psnr]
        blocks: [{task: denoise, dataset: pictures, backbone: net}]
        """)
    assert [(p.column, p.what) for p in problems] == [
        (17, "no metric is called 'pnsr'"),
        (23, "the metric 'psnr' is given twice"),
    ]


@pytest.mark.parametrize(
    ("metrics", "column", "what"),
    [
        ("psnr, {name: ssim, label: PSNR}", 17, "two metrics are called 'PSNR' in tables"),
        ("{name: psnr, label: A}, {name: ssim, label: A}", 35, "two metrics are called 'A' in tables"),
        ("psnr, {name: psnr, label: B}", 17, "the metric 'psnr' is given twice"),
        ("scaled, {name: scaled, by: 1}", 19, "the metric 'scaled(by=1)' is given twice"),
    ],
)
def test_metrics_differ_and_have_columns_of_their_own(world, metrics: str, column: int, what: str) -> None:
    file = world.write(
        """
        from harness.api.metric import MetricTraits
        class Scaled:
            traits = MetricTraits(higher_is_better=True)
            def __init__(self, protocol, *, by: int = 1): ...
        CATALOGUE = (("metric", "scaled", "Scaled"),)
        """,
        "scaled.py",
    )
    world.registry = extend(world.registry, [str(file)])
    [problem] = world.problems(f"""
        suite: s
        metrics: [{metrics}]
        blocks: [{{task: denoise, dataset: pictures, backbone: net}}]
        """)
    assert (problem.line, problem.column, problem.what) == (2, column, what)


def test_mistakes_of_shape_and_of_meaning_come_together_in_the_order_of_lines(world) -> None:
    problems = world.problems("""
        suite: s
        metrics: [pnsr]
        defaults: {dataset: pictures, backbone: net, task: denoise}
        blocks:
          - matrix:
              task: [denoise, {name: denoise, sigmaa: 5}]
              backbone: [nett, {name: net, width: x}]
              variant: [{refiner: refine, prior: plan}, basic]
            recipe: {stepz: 3, batch: 8, micro_batch: 5}
          - {seeds: []}
          - {task: nothing, tset: [pictures]}
        """)
    assert [(p.line, p.path) for p in problems] == [
        (2, "metrics.0"),
        (6, "blocks.0.matrix.task.1.sigmaa"),
        (7, "blocks.0.matrix.backbone.0"),
        (7, "blocks.0.matrix.backbone.1.width"),
        (8, "blocks.0.matrix.variant.0.prior"),
        (8, "blocks.0.matrix.variant.1"),
        (9, "blocks.0.recipe.stepz"),
        (9, "blocks.0.recipe.micro_batch"),
        (10, "blocks.1.seeds"),
        (11, "blocks.2.task"),
        (11, "blocks.2.tset"),
    ]


def test_what_only_follows_from_a_mistake_is_not_reported(world) -> None:
    problems = world.problems("""
        suite: s
        defaults: {dataset: pictures, backbone: {nam: net}, task: denoise}
        blocks:
          - {matirx: {task: [denoise]}, exclude: [{task: rainy}]}
          - {variant: {refiner: refine, prior: {nam: plain}}}
        """)
    assert {p.what for p in problems} == {"'name' is missing", "unknown key 'matirx'"}


def test_the_same_mistake_is_told_at_both_places(world) -> None:
    problems = world.block_problems("- {matrix: {backbone: [nett, nett]}}\n- {backbone: nett}")
    assert list(dict.fromkeys((p.line, p.column) for p in problems)) == [(4, 24), (4, 30), (5, 14)]
