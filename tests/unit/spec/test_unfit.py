"""Settings that are right by themselves and that no run could serve: the device, the images of the training set."""

from __future__ import annotations

from pathlib import Path

import pytest

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
