"""A declared data set as a whole: its digest, its numbers, its examples, its report, and plug-ins that declare one."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from harness.api.asking import fingerprint_of, splits_of
from harness.api.asking import opened as asked
from harness.api.library import InLibrary
from harness.api.source import Count, Files
from harness.core.errors import DataError, Unfit
from harness.core.identity import file_sha256
from harness.core.registry import Entry, Registry
from harness.data.example import write_example
from harness.parts.catalogue import BUILT_IN
from harness.parts.datasets.gopro import GoPro
from harness.parts.datasets.lol_v1 import LOLv1
from harness.parts.shared.declared.base import Declared
from harness.parts.shared.pictures import looks
from harness.testing.catalogued import PartUnderTest, contract_for
from harness.testing.dataset import DatasetContract
from tests.unit.parts.shared.declared.conftest import Write, layout, opened
from tests.unit.testing.made import broken

PAIRS = layout(
    train=Files(lq=("train/in/*",), gt=("train/gt/*",)),
    test=Files(lq=("test/in/*",), gt=("test/gt/*",)),
)


def files(train: int = 3, test: int = 2) -> dict[str, Any]:
    numbers = {"train": train, "test": test}
    return {
        f"{split}/{side}/{name}.png": 20 * name + len(split) + 7 * (side == "gt")
        for split, number in numbers.items()
        for side in ("in", "gt")
        for name in range(number)
    }


def test_the_digest_is_of_content_and_names(write: Write, tmp_path: Path) -> None:
    root = write(files())
    first = opened(root, PAIRS).fingerprint()
    shutil.copytree(root, tmp_path / "copy")
    assert opened(tmp_path / "copy", PAIRS).fingerprint() == first
    write({"train/in/0.png": 77})
    other = opened(root, PAIRS).fingerprint()
    assert other != first
    os.rename(root / "test/in/1.png", root / "test/in/7.png")
    os.rename(root / "test/gt/1.png", root / "test/gt/7.png")
    assert opened(root, PAIRS).fingerprint() not in (first, other)


def test_files_are_hashed_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(files())
    first = opened(root, PAIRS).fingerprint()
    monkeypatch.setattr(looks, "_MEMORY", {})  # as another process has it
    monkeypatch.setattr(looks, "file_sha256", lambda path: pytest.fail(f"{path} is hashed again"))
    assert opened(root, PAIRS).fingerprint() == first


@pytest.mark.parametrize(
    ("count", "refused", "warned"),
    [
        (Count(3), "", ""),
        (Count(4), "train: 3 images, and 4 are known", ""),
        (Count(4, also=(3,)), "", "train has 3 images, as another known copy; the usual one has 4"),
        (Count(5, also=(2,)), "train: 3 images, and 5 are known (2 of other copies)", ""),
        (Count(4, sure=False), "", "train has 3 images, and 4 are known, by sources that are not sure"),
        (Count(scenes=3), "", ""),
        (Count(3, scenes=6), "train: 3 scenes, and 6 are known", ""),
        (Count(scenes=6, sure=False), "", "train has 3 scenes, and 6 are known, by sources that are not sure"),
    ],
)
def test_numbers_that_are_sure_are_asked_for(write: Write, count: Count, refused: str, warned: str) -> None:
    root = write(files())
    dataset = opened(root, PAIRS, counts={"train": count})
    if refused:
        with pytest.raises(Unfit) as caught:
            dataset.check_all()
        assert refused in str(caught.value)
        assert "half there" in str(caught.value)
    else:
        assert [text[: len(warned)] for text in dataset.check_all()] == [warned] * bool(warned)
    write({"EXAMPLE.json": b"{}"})
    assert opened(root, PAIRS, counts={"train": count}).check_all() == []


def test_examples_are_told_from_real_images(write: Write) -> None:
    root = write(files())
    real = opened(root, PAIRS).fingerprint()
    write({"EXAMPLE.json": b"{}"})
    assert opened(root, PAIRS).fingerprint() == f"example-{real}"


def test_a_marker_of_examples_is_found_around_the_folder_and_in_it(write: Write, tmp_path: Path) -> None:
    top = write({f"a/Toy/{name}": level for name, level in files().items()})
    inside = replace(PAIRS, inside=("Toy",))
    for place, root in (("a/Toy", top / "a"), ("a", top / "a/Toy"), ("a/Toy", top / "a/Toy"), ("", top / "a/Toy")):
        marker = top / place / "EXAMPLE.json"
        for said in ({}, {"files": {str(at): file_sha256(at) for at in top.rglob("*.png")}}):
            marker.write_text(json.dumps(said))
            assert opened(root, inside).is_example, (place, said)
        marker.unlink()
        assert not opened(root, inside).is_example


def test_a_download_among_the_files_of_an_example_is_told(write: Write) -> None:
    root = write(files())
    known = {str(path): file_sha256(path) for path in root.rglob("*.png")}
    write({"EXAMPLE.json": json.dumps({"files": known}).encode(), "train/in/9.png": 99, "train/gt/9.png": 100})
    with pytest.raises(Unfit) as caught:
        opened(root, PAIRS).fingerprint()
    said = "EXAMPLE.json: 2 files are not of the example, as train/gt/9.png (remove EXAMPLE.json and the 10 files"
    assert said in str(caught.value)
    away = root.parent / "away"
    shutil.copytree(root, away / "mine", ignore=shutil.ignore_patterns("EXAMPLE.json"))
    (away / "EXAMPLE.json").write_text(json.dumps({"files": {"other.png": "0" * 64}}))
    assert not opened(away / "mine", PAIRS).is_example, "it is of what else lies there"


def test_pairs_of_one_file_are_told(write: Write) -> None:
    root = write(files())
    shutil.copy(root / "train/in/1.png", root / "train/gt/1.png")
    for check in (opened(root, PAIRS).check_names, opened(root, PAIRS).check_all):
        with pytest.raises(
            Unfit, match=r"1 file has the same bytes as the partner(.|\n)*train/in/1.png: as train/gt/1"
        ):
            check()


def test_the_digest_is_of_a_name_in_each_form(write: Write) -> None:
    both = [f"{split}/{side}" for split in ("train", "test") for side in ("in", "gt")]
    root = write({f"{folder}/\u00e9.png": at for at, folder in enumerate(both)})
    composed = opened(root, PAIRS).fingerprint()
    for folder in both:
        os.rename(root / folder / "\u00e9.png", root / folder / "e\u0301.PNG")
    assert opened(root, PAIRS).fingerprint() == composed


def test_all_that_does_not_fit_is_one_report(write: Write) -> None:
    root = write(files(4, 3))
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 4), dtype=np.uint8)
    Image.fromarray(noise, "RGBA").save(root / "train/in/0.png")
    Image.fromarray(noise, "CMYK").save(root / "train/in/1.jpg")
    os.remove(root / "train/in/1.png")
    Image.fromarray(noise[..., 0]).save(root / "train/gt/2.png")
    whole = (root / "test/gt/0.png").read_bytes()
    write({"test/gt/0.png": whole[:-5], "test/in/1.png": b"", "test/in/2.png": np.zeros((5, 8, 3), np.uint8)})
    write({"test/gt/9.png": 4})
    with pytest.raises(Unfit) as caught:
        opened(root, PAIRS, counts={"test": Count(15)}).check_all()
    text = str(caught.value)
    for said in (
        "8 things do not fit in this copy of Toy-1, so nothing is prepared",
        "test: 3 images, and 15 are known",
        "train/in/0.png: it is transparent in places",
        "train/in/1.jpg: its colours are CMYK",
        "train/gt/2.png: 1 × uint8, the rest 3 × uint8",
        "test/gt/0.png: the file is cut off",
        "test/in/1.png: it has 0 bytes",
        "test/in/2.png: 5×8, and test/gt/2.png is 6×8",
        "test/gt/9.png: no lq file belongs to it",
    ):
        assert said in text, text


def test_a_palette_is_the_colours_that_it_stands_for(write: Write) -> None:
    root = write(files())
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:3] = (200, 30, 7)
    Image.fromarray(pixels).quantize(4).save(root / "train/in/0.png")
    dataset = opened(root, PAIRS)
    assert dataset.check_all() == []
    image = next(iter(dataset.images("train")))
    assert np.array_equal(image.degraded, pixels)


def test_chosen_images_come_in_their_order(write: Write) -> None:
    dataset = opened(write(files()), PAIRS)
    assert [image.key for image in dataset.images_at("train", ["2", "0"])] == ["2", "0"]
    with pytest.raises(DataError, match="train has no image '9'"):
        dataset.images_at("train", ["9"])
    with pytest.raises(DataError, match="there is no split 'val'"):
        dataset.keys("val")


def test_without_a_folder_it_asks_for_its_preparation() -> None:
    with pytest.raises(DataError) as caught:
        opened(None, PAIRS).fingerprint()
    assert caught.value.hint == "bench data prepare NAME --from DIR"


PLUGIN = '''
"""A data set of our group."""

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.data.example import write_example
from harness.parts.catalogue import BUILT_IN
from harness.parts.datasets.gopro import GoPro
from harness.parts.datasets.lol_v1 import LOLv1
from harness.parts.shared.declared.base import Declared


class Night(Declared):
    """Night streets."""

    traits = DatasetTraits(
        licence="ours",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Night-7",
            page="https://night.example",
            citation="We, 2026",
            size="5 pairs",
            layouts=(
                Layout(
                    name="ours",
                    of="our disk",
                    splits={
                        "train": Files(lq=("train/in/*",), gt=("train/gt/*",)),
                        "test": Files(lq=("test/in/*",), gt=("test/gt/*",)),
                    },
                ),
            ),
            counts={"train": Count(3)},
            tasks=("low_light",),
            protocol="rgb_uint8",
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Registry:
    file = tmp_path / "night.py"
    file.write_text(PLUGIN)
    return Registry([Entry("dataset", "night", f"{file}:Night")])


def test_a_plug_in_declares_one(plugin: Registry, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(plugin, "night", {"root": str(write(files()))})
    assert isinstance(found, Declared)
    assert splits_of(found) == ("train", "test")
    assert len(fingerprint_of(found)) == 16
    assert found.check_all() == []
    with TemporaryDirectory() as empty:
        monkeypatch.setenv("PRIORBENCH_DATA", empty)
        stored = asked(plugin, "night", {})
        assert isinstance(stored, InLibrary)
        with pytest.raises(DataError) as caught:
            fingerprint_of(stored)
    assert caught.value.what == "Night-7 is not prepared (5 pairs; https://night.example)"
    assert caught.value.hint == "bench data prepare night --from DIR"


def test_it_travels_to_other_processes(write: Write) -> None:
    root = write({f"{split}/{side}/1.png": 9 for split in ("our485", "eval15") for side in ("low", "high")})
    dataset = LOLv1(root=str(root))
    known = dataset.fingerprint()
    assert pickle.loads(pickle.dumps(dataset)).fingerprint() == known


class TestContract(DatasetContract):
    """A declared data set keeps the promises of all data sets."""

    @pytest.fixture(autouse=True)
    def _tree(self, tmp_path: Path) -> None:
        registry = Registry(BUILT_IN)
        type(self).root = write_example(registry, "gopro", tmp_path / "gopro", "restormer")

    root: ClassVar[Path]

    def make(self) -> GoPro:
        return GoPro(root=str(self.root))

    def moved(self, folder: Path) -> GoPro:
        shutil.copytree(self.root, folder / "copy")
        return GoPro(root=str(folder / "copy"))


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ('("train/in/1.png", "train/gt/2.png")', "no lq file belongs to it"),
        ('("train/in/1.png", "train/gt/1.png"), ("x/2.png", "y/2.png")', "ours, train: 2 examples, 1 found"),
    ],
)
def test_the_contract_catches_examples_that_are_not_found(tmp_path: Path, train: str, said: str) -> None:
    part = with_examples(tmp_path, train).load("dataset", "night")
    case: Any = type("Case", (DatasetContract,), {"part": part})()
    with pytest.raises((AssertionError, DataError), match=said):
        case.test_examples_lie_in_their_layouts()


def test_a_plug_in_without_its_images_is_tested_on_its_examples(tmp_path: Path) -> None:
    registry = with_examples(tmp_path, '("train/in/1.png", "train/gt/1.png")', *BUILT_IN)
    (entry,) = (entry for entry in registry.entries() if entry.name == "night")
    case = contract_for(PartUnderTest(entry, registry, {}))()
    assert case.make().fingerprint().startswith("example-")
    assert broken(case) == set()


def test_the_data_set_of_the_guide_is_sound(tmp_path: Path) -> None:
    text = (Path(__file__).parents[5] / "docs" / "dataset.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "(Declared)" in block)
    (tmp_path / "night.py").write_text(code)
    entry = Entry("dataset", "night", f"{tmp_path / 'night.py'}:Night")
    case = contract_for(PartUnderTest(entry, Registry([*BUILT_IN, entry]), {}))()
    assert broken(case) == set()
    assert case.make().keys("train") == [("street1/0", "street1")]


def with_examples(folder: Path, train: str, *more: Entry) -> Registry:
    """The plug-in with these samples as examples of its training split."""
    file = folder / "night.py"
    examples = f'examples={{"train": ({train},), "test": (("test/in/1.png", "test/gt/1.png"),)}},'
    file.write_text(PLUGIN.replace('of="our disk",', f'of="our disk", {examples}'))
    return Registry([*more, Entry("dataset", "night", f"{file}:Night")])
