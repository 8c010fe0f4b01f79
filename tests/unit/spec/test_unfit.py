"""Settings that are right by themselves and that no run could serve: the device, the images of the training set."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import SpecErrors
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite

DATASET = '''
from harness.api.dataset import DatasetTraits


class Tiny:
    """Pictures of 48 pixels and more."""

    traits = DatasetTraits(shortest_side=48)

    def __init__(self) -> None: ...

    def splits(self):
        return ("train", "test")

    def fingerprint(self):
        return "tiny-1"


CATALOGUE = (("dataset", "tiny", "Tiny"),)
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


BLOCK = "blocks:\n  - {task: low_light, dataset: photos, backbone: nafnet}\n"


@pytest.mark.parametrize(("gpus", "refused"), [("0", False), ("1", False), ("auto", False), ("2", True), ("8", True)])
def test_a_job_has_one_gpu_at_most(tmp_path: Path, gpus: str, refused: bool) -> None:
    found = mistakes(tmp_path, f"run: {{gpus: {gpus}}}\n{BLOCK}")
    assert [path for path, _, _ in found] == (["run.gpus"] if refused else [])
    if refused:
        assert found[0][2].startswith("gpus: 1, or gpus: 0")


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
        ("photos", "recipe: {patch: 428}", "recipe.patch", "of photos has a side of 427 pixels", "patch: 427 or less"),
        ("tiny", "recipe: {patch: 64}", "recipe.patch", "a side of 48 pixels, and patch is 64", "patch: 48 or less"),
        (
            "tiny",
            "recipe: {patch: 32, scale: {chance: 0.5, least: 0.5}}",
            "recipe.patch",
            "cuts from tiles of 64",
            "patch: 24, or a larger scale.least",
        ),
        (
            "tiny",
            "recipe: {patch: 32}, variant: {refiner: ptg_rm, prior: random, regime: frozen, base_recipe: {patch: 64}}",
            "variant.base_recipe.patch",
            "patch is 64",
            "patch: 48 or less",
        ),
    ],
)
def test_tiles_larger_than_an_image(tmp_path: Path, dataset: str, more: str, path: str, words: str, hint: str) -> None:
    found = mistakes(tmp_path, block(dataset, more))
    assert [(at, to_try) for at, _, to_try in found] == [(f"blocks.0.{path}", hint)]
    assert words in found[0][1]


@pytest.mark.parametrize(
    ("dataset", "more"),
    [
        ("photos", "recipe: {patch: 427}"),
        ("tiny", "recipe: {patch: 48}"),
        ("tiny", "recipe: {patch: 24, scale: {chance: 0.5, least: 0.5}}"),
    ],
)
def test_tiles_as_large_as_the_smallest_image(tmp_path: Path, dataset: str, more: str) -> None:
    assert mistakes(tmp_path, block(dataset, more)) == []


def test_photos_says_the_truth_of_its_images() -> None:
    photos = REGISTRY.load("dataset", "photos")
    sides = [min(image.pixels.shape[:2]) for image in photos().images("train")]
    assert min(sides) == photos.traits.shortest_side
