"""Settings that are right by themselves and that no run could serve: the device, the images of the training set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cells.zero_config import zero_config
from harness.core.errors import SpecErrors
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_placed, open_suite
from harness.spec.small_images import first_images, small_images

DATASET = '''
import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.traits import FromOption


class Tiny:
    """Pictures of 48 pixels and more."""

    traits = DatasetTraits(shortest_side=48)

    def __init__(self) -> None: ...

    def splits(self):
        return ("train", "test")

    def fingerprint(self):
        return "tiny-1"


class Waves(Tiny):
    """Pictures of a side that the suite chooses."""

    traits = DatasetTraits(shortest_side=FromOption("side"))

    def __init__(self, *, side: int = 96) -> None:
        self.side = side


class Plain(Tiny):
    """Pictures that say nothing of their sides."""

    traits = DatasetTraits()

    def __init__(self, *, side: int = 96, wrong: bool = False) -> None:
        self.side, self.wrong = side, wrong

    def images(self, split):
        if self.wrong:
            raise RuntimeError("no")
        yield SourceImage("one", "one", np.zeros((self.side, 2 * self.side, 3), np.uint8))
        raise AssertionError("the first one is enough")


CATALOGUE = (("dataset", "tiny", "Tiny"), ("dataset", "waves", "Waves"), ("dataset", "plain", "Plain"))
'''


def mistakes(tmp_path: Path, text: str) -> list[tuple[str, str, str]]:
    file = tmp_path / "suite.yaml"
    (tmp_path / "own.py").write_text(DATASET)
    file.write_text(f"suite: s\nplugins: [own.py]\n{text}")
    try:
        open_suite(str(file))
    except SpecErrors as error:
        return [(problem.path, problem.what, problem.hint) for problem in error.problems]
    return []


BATCH = "defaults: {recipe: {batch: 8}}\n"
BLOCK = "blocks:\n  - {task: low_light, dataset: photos, backbone: nafnet}\n"


@pytest.mark.parametrize(
    ("run", "path", "hint"),
    [
        ("gpus: 8, processes: 4", "run.processes", "leave processes away: gpus: 8 are 8 processes"),
        ("processes: 4, nodes: 3", "run.nodes", "a multiple of 3 processes"),
        ("gpus: 2, nodes: 4", "run.nodes", "gpus: 4 or a multiple of it"),
        ("processes: 2, deepspeed: {stage: 3}", "run.deepspeed", "strategy: deepspeed"),
        ("processes: 2, strategy: fsdp2, deepspeed: {stage: 3}", "run.deepspeed", "strategy: deepspeed"),
        ("processes: 2, strategy: deepspeed, deepspeed: {offload: all}", "run.deepspeed.offload", "stage: 3"),
        ("processes: 2, strategy: fsdp2, compile: on", "run.compile", "compile: auto"),
        ("processes: 2, strategy: deepspeed, compile: 'on'", "run.compile", "compile: auto"),
        ("processes: 200000", "run.processes", "leave processes away"),
        ("nodes: 20000", "run.nodes", "leave nodes away"),
        ("patience: 100000000", "run.patience", "patience: 600 is usual"),
    ],
)
def test_processes_that_cannot_be(tmp_path: Path, run: str, path: str, hint: str) -> None:
    found = mistakes(tmp_path, f"run: {{{run}}}\n{BATCH}{BLOCK}")
    assert path in [place for place, _, _ in found]
    assert next(try_ for place, _, try_ in found if place == path).startswith(hint)


@pytest.mark.parametrize(
    "run",
    [
        "gpus: 2",
        "gpus: 0, processes: 4",
        "gpus: 4, processes: 4",
        "gpus: 4, nodes: 2",
        "nodes: 2",
        "processes: 4, nodes: 2, strategy: fsdp2",
        "processes: 2, compile: on",
        "processes: 1, strategy: fsdp2, compile: on",
        "gpus: 1, strategy: deepspeed, compile: on",
        "processes: 2, strategy: fsdp2, compile: auto",
        "strategy: fsdp2",
        "gpus: 1, strategy: fsdp2",
        "processes: 1, strategy: deepspeed, deepspeed: {stage: 3}",
        "processes: 2, strategy: deepspeed",
        "gpus: 2, strategy: deepspeed, deepspeed: {stage: 3, offload: all}",
    ],
)
def test_processes_that_can_be(tmp_path: Path, run: str) -> None:
    assert mistakes(tmp_path, f"run: {{{run}}}\n{BATCH}{BLOCK}") == []


@pytest.mark.parametrize(
    ("recipe", "path"),
    [
        ("{batch: 6}", "defaults.recipe.batch"),
        ("{steps: 4, stages: [{steps: 2}, {steps: 2, batch: 10}], batch: 8}", "defaults.recipe.stages.1.batch"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_told_where_it_stands(tmp_path: Path, recipe: str, path: str) -> None:
    found = mistakes(tmp_path, f"run: {{processes: 4}}\ndefaults: {{recipe: {recipe}}}\n{BLOCK}")
    assert [(place, hint) for place, _, hint in found] == [(path, "a multiple of 4, or fewer processes in `run:`")]
    assert "cannot be divided equally over 4 processes" in found[0][1]


def test_all_mistakes_of_a_gang_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = "suite: s\nrun:\n  processes: 4\n  nodes: 3\n  deepspeed: {stage: 1}\ndefaults: {recipe: {batch: 6}}\n"
    file = tmp_path / "suite.yaml"
    file.write_text(text + BLOCK)
    with pytest.raises(SpecErrors) as raised:
        open_suite(str(file))
    assert {(problem.path, problem.line) for problem in raised.value.problems} == {
        ("run.nodes", 4),
        ("run.deepspeed", 5),
        ("defaults.recipe.batch", 6),
    }
    assert all(problem.file == str(file) for problem in raised.value.problems)


ZERO = """{"zero_optimization": {"stage": 2}, "train_batch_size": 16, "gradient_clipping": 1.0,
"optimizer": {"type": "AdamW", "params": {"lr": "auto", "weight_decay": 0.3}}, "bf16": {"enabled": true}}"""


def with_file(tmp_path: Path, content: str, recipe: str = "{batch: 8}") -> list[tuple[str, str, str]]:
    (tmp_path / "zero.json").write_text(content)
    run = "run: {processes: 2, strategy: deepspeed, deepspeed: {config: zero.json}}"
    return mistakes(tmp_path, f"{run}\ndefaults: {{recipe: {recipe}}}\n{BLOCK}")


def test_what_a_deepspeed_file_and_the_recipe_say_differently_is_told_at_the_file(tmp_path: Path) -> None:
    found = with_file(tmp_path, ZERO, "{batch: 8, optimizer: adamw, weight_decay: 0.1}")
    assert {path for path, _, _ in found} == {"run.deepspeed.config"}
    assert sorted(what.partition(" is")[0] for _, what, _ in found) == [
        "bf16",
        "gradient_clipping",
        "optimizer.params.weight_decay",
        "train_batch_size",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "zero_optimization.stage is 1, 2 or 3, and not null"),
        ('{"zero_optimization": {"stage": 0}}', "and not 0"),
        ('{"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}', 'device is "nvme"'),
        ('{"zero_optimization": {"stage": 3, "offload_param": "cpu"}}', 'device is "cpu", and none or cpu'),
        ('{"zero_optimization": {"stage": 1}, "train_batch_size": {"a": 1}}', "train_batch_size is {"),
        ('{"zero_optimization": {"stage": 1}, "optimizer": {"type": "Adam", "params": [1]}}', "optimizer is Adam"),
        ('{"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 8}}', "is not supported"),
        ('{"zero_optimization": {"stage": 1}, "scheduler": {"type": "WarmupLR"}}', "the learning rate is the recipe's"),
        ('{"zero_optimization": {"stage": 1}, "optimizer": {"type": "Lion"}}', "optimizer is Lion"),
        ('{"zero_optimization": {"stage": 1}, "communication_data_type": "fp16"}', 'communication_data_type is "fp16"'),
        ('{"zero_optimization": {"stage": 1}, "data_types": {"grad_accum_dtype": "fp16"}}', "data_types is {"),
        ('{"zero_optimization": {"stage": 3, "zero_quantized_nontrainable_weights": true}}', "it rounds weights"),
        ('{"zero_optimization": {"stage": 3, "zero_quantized_gradients": true}}', "it rounds gradients"),
        ('{"zero_optimization": {"stage": 1}, "zero_optimization": {"stage": 1}}', "zero_optimization is there more"),
        ('{"zero_optimization": {"stage": 2, "overlap_comm": "yes"}}', 'is "yes", and must be true or false'),
        ('{"zero_optimization": {"stage": 2, "reduce_bucket_size": 0}}', "must be a whole number above 0"),
        ('{"zero_optimization": {"stage": 2}, "zero_force_ds_cpu_optimizer": true}', "the optimizer is torch's own"),
    ],
)
def test_a_deepspeed_file_that_cannot_be_followed(tmp_path: Path, content: str, words: str) -> None:
    found = with_file(tmp_path, content)
    assert [path for path, _, _ in found] == ["run.deepspeed.config"]
    assert words in found[0][1]


def test_a_deepspeed_file_that_leaves_the_rest_to_the_recipe_travels_with_the_suite(tmp_path: Path) -> None:
    auto = dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_clipping"), "auto")
    content = {
        "zero_optimization": {"stage": 3, "stage3_max_live_parameters": 1000},
        **auto,
        "bf16": {"enabled": "auto"},
    }
    assert with_file(tmp_path, json.dumps(content)) == []
    suite, _ = open_suite(str(tmp_path / "suite.yaml"))
    (tmp_path / "zero.json").unlink()
    assert suite.run.deepspeed is not None
    own = zero_config(suite.run.deepspeed, suite.cells[0].cell.recipe, 2)
    assert own["zero_optimization"]["stage3_max_live_parameters"] == 1000
    assert own["train_batch_size"] == 2
    assert "bf16" not in own


def test_all_mistakes_of_a_deepspeed_file_are_told_at_their_lines(tmp_path: Path) -> None:
    content = """{
  "prescale_gradient": false, "note": ["a", {"stage": 1}, "{"],
  "zero_optimization": {
    "stage": 2,
    "overlap_com": true,
    "offload_optimizer": {"device": "cpu", "pin_memry": true},
    "stage": 2
  },
  "train_batch_size": 3
}"""
    found = {what: hint for _, what, hint in with_file(tmp_path, content)}
    none = "is none of the keys that a file may have (zero.json line"
    assert found == {
        f"prescale_gradient {none} 2)": "did you mean 'prescale_gradients' or 'sparse_gradients'?",
        f"note {none} 2)": "leave it out of the file",
        f"zero_optimization.overlap_com {none} 5)": "did you mean 'overlap_comm'?",
        f"zero_optimization.offload_optimizer.pin_memry {none} 6)": "did you mean 'pin_memory'?",
        "zero_optimization.stage is there more than once (zero.json line 4)": "remove all but one",
        "train_batch_size is 3, and the recipe's batch is 8": "leave it out of the file, or write auto: the recipe"
        " decides it",
    }


def test_a_deepspeed_file_of_what_changes_no_number_is_handed_on(tmp_path: Path) -> None:
    zero = {
        "stage": 3,
        "overlap_comm": False,
        "reduce_bucket_size": 5e8,
        "stage3_prefetch_bucket_size": "auto",
        "zero_quantized_weights": False,
        "zero_hpz_partition_size": 1,
        "offload_param": {"device": "cpu", "pin_memory": "auto"},
    }
    content = {"zero_optimization": zero, "communication_data_type": "fp32", "steps_per_print": 10, "amp": {}}
    assert with_file(tmp_path, json.dumps(content)) == []
    suite, _ = open_suite(str(tmp_path / "suite.yaml"))
    assert suite.run.deepspeed is not None
    own = zero_config(suite.run.deepspeed, suite.cells[0].cell.recipe, 2)
    assert own["zero_optimization"] == {
        "stage": 3, "overlap_comm": False, "reduce_bucket_size": 5e8, "offload_param": {"device": "cpu"}
    }  # fmt: skip
    assert own["steps_per_print"] == 10
    assert not {"communication_data_type", "amp"} & own.keys()


def test_a_deepspeed_file_that_is_not_there(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, f"run: {{processes: 2, strategy: deepspeed, deepspeed: {{config: no.json}}}}\n{BATCH}{BLOCK}"
    )
    assert [path for path, _, _ in found] == ["run.deepspeed.config"]
    assert "cannot be read: No such file" in found[0][1]


@pytest.mark.parametrize(("strategy", "refused"), [("ddp", False), ("fsdp2", True), ("deepspeed", True)])
def test_half_precision_needs_a_scaled_loss(tmp_path: Path, strategy: str, refused: bool) -> None:
    text = f"run: {{gpus: 2, strategy: {strategy}}}\ndefaults: {{recipe: {{batch: 8, precision: fp16}}}}\n{BLOCK}"
    assert [path for path, _, _ in mistakes(tmp_path, text)] == (["defaults.recipe.precision"] if refused else [])


@pytest.mark.parametrize(
    ("gpus", "precision", "refused"),
    [("0", "fp16", True), ("0", "bf16", False), ("0", "fp32", False), ("1", "fp16", False), ("auto", "fp16", False)],
)
def test_half_precision_that_a_cpu_cannot_train_in(tmp_path: Path, gpus: str, precision: str, refused: bool) -> None:
    text = f"run: {{gpus: {gpus}}}\ndefaults: {{recipe: {{precision: {precision}}}}}\n{BLOCK}"
    found = mistakes(tmp_path, text)
    assert [path for path, _, _ in found] == (["defaults.recipe.precision"] if refused else [])


def block(dataset: str, more: str) -> str:
    return f"blocks:\n  - {{task: low_light, dataset: {dataset}, backbone: nafnet, {more}}}\n"


@pytest.mark.parametrize(
    ("dataset", "more", "path", "words", "hint"),
    [
        (
            "photos",
            "recipe: {patch: 428}",
            "recipe.patch",
            "of photos has a side of 427 pixels",
            "patch: 427 or less, or pad: reflect",
        ),
        (
            "tiny",
            "recipe: {patch: 64}",
            "recipe.patch",
            "a side of 48 pixels, and patch is 64",
            "patch: 48 or less, or pad: reflect",
        ),
        (
            "tiny",
            "recipe: {patch: 32, scale: {chance: 0.5, least: 0.5}}",
            "recipe.patch",
            "cuts from crops of 64",
            "patch: 24 or less, or a larger scale.least",
        ),
        (
            "waves",
            "recipe: {patch: 128}",
            "recipe.patch",
            "a side of 96 pixels, and patch is 128",
            "patch: 96 or less, or pad: reflect",
        ),
        (
            "{name: waves, side: 40}",
            "recipe: {patch: 64}",
            "recipe.patch",
            "a side of 40 pixels, and patch is 64",
            "patch: 40 or less, or pad: reflect",
        ),
        (
            "waves",
            "recipe: {patch: 32, scale: {chance: 0.5, least: 0.01}}",
            "recipe.scale.least",
            "need crops of 3200",
            "least: 0.016 or more, or a smaller patch",
        ),
        (
            "plain",
            "recipe: {patch: 4096, batch: 1}",
            "recipe.patch",
            "no patches of 4096 pixels",
            "patch: 2048 at most",
        ),
        (
            "tiny",
            "recipe: {patch: 32}, variant: {refiner: ptg_rm, prior: random, regime: frozen, base_recipe: {patch: 64}}",
            "variant.base_recipe.patch",
            "patch is 64",
            "patch: 48 or less, or pad: reflect",
        ),
    ],
)
def test_patches_larger_than_an_image(
    tmp_path: Path, dataset: str, more: str, path: str, words: str, hint: str
) -> None:
    found = mistakes(tmp_path, block(dataset, more))
    assert [(at, to_try) for at, _, to_try in found] == [(f"blocks.0.{path}", hint)]
    assert words in found[0][1]


@pytest.mark.parametrize(
    ("dataset", "more"),
    [
        ("photos", "recipe: {patch: 427}"),
        ("tiny", "recipe: {patch: 48}"),
        ("tiny", "recipe: {patch: 24, scale: {chance: 0.5, least: 0.5}}"),
        ("tiny", "recipe: {patch: 64, pad: reflect}"),
        ("tiny", "recipe: {patch: 64, resize: [64, 80]}"),
        ("tiny", "recipe: {patch: whole}"),
        ("tiny", "recipe: {patch: [48, 256]}"),  # of one side alone the other one is not known
    ],
)
def test_patches_as_large_as_the_smallest_image(tmp_path: Path, dataset: str, more: str) -> None:
    assert mistakes(tmp_path, block(dataset, more)) == []


def test_photos_says_the_truth_of_its_images() -> None:
    photos = REGISTRY.load("dataset", "photos")
    sides = [min(image.pixels.shape[:2]) for image in photos().images("train")]
    assert min(sides) == photos.traits.shortest_side


def looked_at(tmp_path: Path, text: str) -> list[tuple[str, str, str]]:
    file = tmp_path / "suite.yaml"
    (tmp_path / "own.py").write_text(DATASET)
    file.write_text(f"suite: s\nplugins: [own.py]\n{text}")
    suite, registry, places = open_placed(str(file))
    cells = [entry.cell for entry in suite.cells]
    problems = small_images(cells, first_images(cells, registry), places, registry)
    return [(problem.path, problem.what, problem.hint) for problem in problems]


def test_the_first_image_is_looked_at_where_nothing_is_declared(tmp_path: Path) -> None:
    found = looked_at(tmp_path, block("{name: plain, side: 100}", "recipe: {patch: 128}, seeds: [0, 1]"))
    what = "the image one of plain has 100×200 pixels, and patch is 128; only the first image was looked at"
    assert found == [("blocks.0.recipe.patch", what, "patch: 100 or less, or pad: reflect")]


@pytest.mark.parametrize("dataset", ["{name: plain, side: 128}", "{name: plain, wrong: true}", "tiny"])
def test_a_first_image_that_fits_or_cannot_be_read(tmp_path: Path, dataset: str) -> None:
    """Images that cannot be read are told by those who prepare them. Tiny has none at all, and declares its side."""
    assert looked_at(tmp_path, block(dataset, "recipe: {patch: 48}")) == []


def test_a_deepspeed_file_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    below = tmp_path / "common"
    below.mkdir()
    (below / "zero.json").write_text('{"zero_optimization": {"stage": 1}}')
    run = "run: {processes: 2, strategy: deepspeed, deepspeed: {config: zero.json}}\n"
    (below / "run.yaml").write_text(f"{run}{BATCH}")
    (tmp_path / "suite.yaml").write_text(f"include: [common/run.yaml]\nsuite: s\n{BLOCK}")
    suite, _ = open_suite(str(tmp_path / "suite.yaml"))
    assert suite.run.deepspeed is not None
    assert json.loads(suite.run.deepspeed.config) == {"zero_optimization": {"stage": 1}}
