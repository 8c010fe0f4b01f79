"""What only a built network shows is said by `bench check`, at its line of the file, before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from harness.cli.main import app
from harness.cli.tried import tried
from harness.core.errors import Problem
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_placed
from harness.training import trial
from harness.training.rehearsal import pixels, whole_sides
from harness.training.trial import Trial
from tests.unit.training.sampled_cells import draw, outcome

HEAD = "suite: s\ndefaults: {dataset: photos, task: low_light, recipe: {steps: 8, batch: 2, patch: 32}}\nblocks:\n"
NAFNET = "{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}"
RESTORMER = "{name: restormer, dim: 8, num_blocks: [1, 1, 1, 1], num_refinement_blocks: 1}"

PLUGIN = '''
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.loss import LossTraits


class Net(nn.Module):
    """A network with a mistake of the suite's choice."""

    traits = BackboneTraits()

    def __init__(self, *, wrong: str = "", channels: int = 3) -> None:
        super().__init__()
        if wrong == "build":
            raise KeyError("seven")
        self.capabilities = Capabilities(channels, min(channels, 3), taps=("nowhere" if wrong == "tap" else "body",))
        self.body = nn.Conv2d(channels, min(channels, 3), 3, padding=1)
        self.wrong = wrong
        if wrong == "frozen":
            self.requires_grad_(False)

    def forward(self, lq_BCHW):
        if self.wrong == "halves":
            return self.body(lq_BCHW)[..., ::2]
        if self.wrong == "numbers" and float(lq_BCHW.mean()) > 2:
            return lq_BCHW
        if self.wrong == "square" and lq_BCHW.shape[-1] != lq_BCHW.shape[-2]:
            raise ValueError("square images alone")
        if " " in self.wrong:
            raise ValueError(self.wrong)
        return self.body(lq_BCHW)


class Matrix(nn.Module):
    """A loss for each pixel."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW, truth_BCHW):
        return (restored_BCHW - truth_BCHW).abs()


class Apart(nn.Module):
    """A loss without gradients."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW, truth_BCHW):
        return (restored_BCHW.detach() - truth_BCHW).abs().mean()


class Leaves(nn.Module):
    """A loss that ends the process."""

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW, truth_BCHW):
        raise SystemExit(3)


CATALOGUE = (("backbone", "net", "Net"), ("loss", "matrix", "Matrix"), ("loss", "apart", "Apart"),
             ("loss", "leaves", "Leaves"))
'''


def problems(tmp_path: Path, blocks: str, plugin: str = "") -> list[Problem]:
    file = tmp_path / "suite.yaml"
    if plugin:
        (tmp_path / "own.py").write_text(plugin)
    file.write_text(HEAD + blocks + ("plugins: [own.py]\n" if plugin else ""))
    return tried(*open_placed(str(file)))


@pytest.mark.parametrize(
    ("block", "path", "words"),
    [
        (
            f"  - {{backbone: {RESTORMER}, recipe: {{patch: 60}}}}\n",
            "blocks.0.recipe.patch",
            "restormer takes sides that are multiples of 8, and patch is 60",
        ),
        (
            f"  - {{backbone: {RESTORMER}, recipe: {{stages: [{{steps: 4}}, {{steps: 4, patch: 36}}]}}}}\n",
            "blocks.0.recipe.stages.1.patch",
            "multiples of 8, and patch is 36",
        ),
        (
            f"  - {{backbone: {NAFNET}, variant: {{refiner: ptg_rm, prior: {{name: restoration, source: "
            f"{{task: low_light, backbone: {RESTORMER}, recipe: {{patch: 20}}}}}}}}}}\n",
            "blocks.0.variant.prior.source.recipe.patch",
            "multiples of 8, and patch is 20",
        ),
        (
            f"  - {{backbone: {NAFNET}, variant: {{refiner: ptg_rm, prior: {{name: restoration, tap: other, source: "
            f"{{task: low_light, backbone: {NAFNET}}}}}}}}}\n",
            "blocks.0.variant.prior",
            "NAFNet has no tap 'other'",
        ),
        (
            "  - {backbone: zero_dce, recipe: {losses: [sci]}}\n",
            "blocks.0.recipe.losses",
            "the loss sci reads 'inputs'",
        ),
        (
            f"  - {{backbone: {NAFNET}, recipe: {{losses: [charbonnier, zero_dce]}}}}\n",
            "blocks.0.recipe.losses",
            "the loss zero_dce reads 'curves'",
        ),
        (
            f"  - {{backbone: {NAFNET}, recipe: {{rates: {{backbone.other: 0.5}}}}}}\n",
            "blocks.0.recipe.rates",
            "'backbone.other' is not a module with parameters",
        ),
        (
            f"  - {{backbone: {NAFNET}, recipe: {{stages: [{{steps: 8, trains: [backbone.other]}}]}}}}\n",
            "blocks.0.recipe.stages.0.trains",
            "'backbone.other' is not a module with parameters",
        ),
    ],
)
def test_what_cannot_be_trained_is_a_mistake_of_the_suite(tmp_path: Path, block: str, path: str, words: str) -> None:
    found = problems(tmp_path, block)
    assert [problem.path for problem in found] == [path]
    assert words in found[0].what
    assert found[0].line == 4


def test_the_nearest_sizes_that_fit_are_named(tmp_path: Path) -> None:
    found = problems(tmp_path, f"  - {{backbone: {RESTORMER}, recipe: {{patch: 50}}}}\n")
    assert found[0].hint == "patch: 48, or patch: 56"
    found = problems(tmp_path, "  - {backbone: uformer, recipe: {patch: 60}}\n")
    assert found[0].hint == "patch: 128"


def test_each_mistake_stands_once_with_the_cells_that_it_concerns(tmp_path: Path) -> None:
    block = f"  - {{backbone: {RESTORMER}, seeds: [0, 1, 2], recipe: {{patch: 50}}}}\n"
    found = problems(tmp_path, block + f"  - {{backbone: {NAFNET}}}\n")
    assert len(found) == 1
    assert found[0].what.endswith("base seed 0, and 2 more)")


@pytest.mark.parametrize(
    ("block", "path", "line", "words"),
    [
        ("backbone: {name: net, wrong: build}", "backbone net", 16, "the backbone net cannot be built: "),
        ("backbone: {name: net, wrong: halves}", "backbone net", 8, "gives 2×3×32×16 for 2×3×32×32"),
        ("backbone: {name: net, wrong: square}", "backbone net", 29, "an image of 40×56 pixels in test: "),
        ("backbone: {name: net, wrong: no metadata here}", "backbone net", 31, "ValueError: no metadata here"),
        ("backbone: {name: net, wrong: no memory slots}", "backbone net", 31, "ValueError: no memory slots"),
        ("backbone: net, recipe: {losses: [matrix]}", "loss matrix", 35, "cannot be computed for net: "),
        ("backbone: net, recipe: {losses: [l1, apart]}", "loss apart", 47, "has no gradient for the restored images"),
        ("backbone: net, recipe: {losses: [leaves]}", "loss leaves", 68, "it ends the process"),
    ],
)
def test_a_part_of_the_users_own_is_told_at_its_line(
    tmp_path: Path, block: str, path: str, line: int, words: str
) -> None:
    found = problems(tmp_path, f"  - {{{block}}}\n", PLUGIN)
    assert [(Path(problem.file).name, problem.line, problem.path) for problem in found] == [("own.py", line, path)]
    assert words in found[0].what


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        (
            "channels: 1",
            "blocks.0.backbone",
            "net reads images of 1 channel here, and the clean image ",
        ),
        ("channels: 6", "blocks.0.backbone", "of photos has 3 (cell low_light (synthetic) net base seed 0)"),
        ("channels: 4", "blocks.0.backbone", "net reads images of 4 channels here, and images have 1, 3 or 6"),
        ("wrong: frozen", "blocks.0.backbone", "no parameter of this network trains"),
    ],
)
def test_a_network_that_no_suite_can_train(tmp_path: Path, options: str, path: str, words: str) -> None:
    found = problems(tmp_path, f"  - backbone: {{name: net, {options}}}\n", PLUGIN)
    assert [problem.path for problem in found] == [path]
    assert words in found[0].what


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.parametrize("recipe", ["{patch: 32}", "{patch: [32, 48]}", "{patch: whole, batch: 1, resize: [40, 56]}"])
def test_networks_for_gray_and_dual_pixel_images_pass(tmp_path: Path, channels: int, recipe: str) -> None:
    suite = tmp_path / "suite.yaml"
    (tmp_path / "own.py").write_text(PLUGIN)
    block = f"  - {{backbone: {{name: net, channels: {channels}}}, recipe: {recipe}}}\n"
    suite.write_text(HEAD + block + "plugins: [own.py]\n")
    resolved, registry, _ = open_placed(str(suite))
    tested = Trial(registry)
    assert tested.faults(resolved.cells[-1].cell) == ()
    assert tested.channels(resolved.cells[-1].cell) == (channels, min(channels, 3))


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        ("{patch: [32, 48], batch: 2}", "2 patches of 32×48 pixels in training: "),
        ("{patch: [48, 32], batch: 1}", "a patch of 48×32 pixels in training: "),
        ("{patch: whole, batch: 1, resize: [40, 64]}", "an image of 40×64 pixels in training: "),
        ("{stages: [{steps: 4, patch: 32}, {steps: 4, patch: [64, 32]}]}", "2 patches of 64×32 pixels in training: "),
    ],
)
def test_patches_are_tried_as_the_recipe_cuts_them(tmp_path: Path, recipe: str, size: str) -> None:
    [problem] = problems(tmp_path, f"  - {{backbone: {{name: net, wrong: square}}, recipe: {recipe}}}\n", PLUGIN)
    assert f"does not take {size}backbone net: ValueError: square images alone" in problem.what


def test_whole_images_are_tried_as_small_as_the_data_set_says(tmp_path: Path) -> None:
    """A square of the declared shortest side, raised to what the network takes: photos has 427 pixels."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(HEAD + f"  - {{backbone: {NAFNET}, recipe: {{patch: whole, batch: 1}}}}\n")
    cell = open_placed(str(suite))[0].cells[-1].cell
    assert whole_sides(cell, REGISTRY) == (427, 427)
    assert pixels(cell, REGISTRY) == 427**2
    resized = cell.model_copy(update={"recipe": cell.recipe.model_copy(update={"resize": (64, 96)})})
    assert (whole_sides(resized, REGISTRY), pixels(resized, REGISTRY)) == ((64, 96), 64 * 96)


@pytest.mark.parametrize(
    ("task", "sound"),
    [("{name: gaussian_denoise, sigma: [0, 50]}", True), ("gaussian_denoise", True), ("low_light", False)],
)
def test_a_network_that_is_told_of_every_image(tmp_path: Path, task: str, sound: bool) -> None:
    options = "test_options: [{sigma: 15}]" if "[" in task else "seeds: [0]"
    sigma = "" if "[" in task else ", sigma: 25" if "denoise" in task else ", sigma: [0, 50]"
    drunet = f"{{name: drunet, nc: [4, 4, 4, 4], nb: 1{sigma}}}"
    found = problems(tmp_path, f"  - {{task: {task}, backbone: {drunet}, {options}}}\n")
    assert [problem.path for problem in found] == ([] if sound else ["blocks.0.backbone"])
    assert sound or "is told sigma of every image, which these images do not have" in found[0].what


@pytest.mark.parametrize("light", [0, 1e18])
def test_a_network_whose_steps_depend_on_numbers_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, light: float
) -> None:
    monkeypatch.setattr(trial, "LIGHT", light)
    assert problems(tmp_path, "  - backbone: {name: net, wrong: numbers}\n", PLUGIN) == []


def test_without_numbers_the_same_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LIGHT", 0)
    monkeypatch.setattr(trial, "HEAVY", 0)
    blocks = "  - {backbone: zero_dce, recipe: {losses: [sci]}}\n" + f"  - {{backbone: {RESTORMER}}}\n"
    assert ["'inputs'" in problem.what for problem in problems(tmp_path, blocks)] == [True]


def test_a_trial_leaves_random_numbers_and_settings_as_they_were() -> None:
    torch.manual_seed(3)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    tested = Trial(REGISTRY)
    for number in range(4):
        tested.faults(draw(number))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, True)


def test_what_is_imported_for_a_trial_keeps_its_numbers() -> None:
    """Constants of modules are made once, when they are first imported, and training reads them later."""
    code = """
import torch
from importlib.machinery import SourceFileLoader
from harness.training import trial
from harness.parts.catalogue import REGISTRY
from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant

plain = SourceFileLoader.exec_module
made = {}

def with_a_constant(self, module):
    plain(self, module)
    made[module.__name__] = torch.ones(()).device.type

SourceFileLoader.exec_module = with_a_constant
trial.LIGHT = 0
part = lambda name: PartRef(name=name)
variant = Variant(refiner=part("ptg_rm"), prior=part("random"))
cell = Cell(task=part("low_light"), train=part("photos"), backbone=part("zero_dce"), variant=variant)
print(trial.Trial(REGISTRY).faults(cell))
print(made["harness.parts.backbones.zero_dce"], made["harness.parts.refiners.ptg_rm.refiner"])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["()", "cpu cpu"]


@pytest.mark.parametrize("number", range(16))
def test_what_passes_trains_and_what_is_refused_does_not(number: int) -> None:
    cell = draw(number)
    faults, failure = Trial(REGISTRY).faults(cell), outcome(cell)
    assert bool(faults) == (failure is not None), (faults, failure)


def test_a_run_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(HEAD + f"  - {{backbone: {RESTORMER}, recipe: {{patch: 50}}}}\n")
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["run", str(file), "--out", str(out), "--executor", "local", "--tracker", "none"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert "multiples of 8, and patch is 50" in result.output
    assert not out.exists()


def test_check_builds_unless_it_is_to_be_quick(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(HEAD + f"  - {{backbone: {RESTORMER}, recipe: {{patch: 50}}}}\n")
    assert CliRunner().invoke(app, ["check", str(file)]).exit_code == 2
    assert CliRunner().invoke(app, ["check", str(file), "--quick"]).exit_code == 0


def test_every_recipe_that_changes_what_a_network_is_told_is_named_at_its_line(tmp_path: Path) -> None:
    recipes = "[{grey: 0.5}, {mixup: 1.2}, {darken: {chance: 0.5}}, {lr: 2e-4}]"
    drunet = "[{name: drunet, nc: [4, 4, 4, 4], nb: 1}, {name: drunet, nc: [4, 4, 4, 4], nb: 1, sigma: null, in_nc: 3}]"
    task = "{name: gaussian_denoise, sigma: [0, 50]}"
    matrix = f"{{recipe: {recipes}, backbone: {drunet}}}"
    found = problems(tmp_path, f"  - {{task: {task}, test_options: [{{sigma: 15}}], matrix: {matrix}}}\n")
    fields = ("grey", "mixup", "darken")
    assert [problem.path for problem in found] == [
        f"blocks.0.matrix.recipe.{place}.{field}" for place, field in enumerate(fields)
    ]
    assert all(f"another one after {field} " in problem.what for field, problem in zip(fields, found, strict=True))


@pytest.mark.parametrize("channels", ["in_nc: 2, out_nc: 1", "in_nc: 7"])
def test_a_refiner_of_rgb_images_behind_a_network_of_others(tmp_path: Path, channels: str) -> None:
    network = f"{{name: drunet, nc: [4, 4, 4, 4], nb: 1, {channels}}}"
    variant = "[base, {refiner: ptg_rm, prior: nss}, {refiner: ptg_rm, prior: nss, placement: features}]"
    of_photos, found = problems(tmp_path, f"  - {{backbone: {network}, matrix: {{variant: {variant}}}}}\n")
    assert "of photos has 3" in of_photos.what
    assert "ptg_rm on images takes 3 channels, and drunet reads" in found.what
    assert "ptg_rm+nss seed 0)" in found.what, "not the one on features"
    assert found.hint == "placement: features"
