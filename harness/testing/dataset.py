"""What every data set promises. Inherit the class in a test file and say how to make yours.

class TestMine(DatasetContract):
    def make(self):
        return Mine(folder="/where/it/lies")
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from contextlib import chdir
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from harness.api.dataset import SourceImage
from harness.api.source import Layout
from harness.api.task import PROTOCOLS
from harness.core.errors import DataError
from harness.data.images import checked_image
from harness.testing.part import PartContract

PROCESS = """
import json, pickle, sys
from importlib.util import module_from_spec, spec_from_file_location
file, name, sys.path[:] = sys.argv[1], sys.argv[2], sys.argv[3:]
spec = spec_from_file_location(name, file)
sys.modules[name] = module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
answer = {"torch": "torch" in sys.modules}
content = sys.stdin.buffer.read()
if content:
    dataset = pickle.loads(content)
    answer["fingerprint"] = dataset.fingerprint()
    answer["keys"] = [list(dataset.keys(split)) for split in dataset.splits()]
print(json.dumps(answer))
"""
"""Imports the data set's module alone, and asks the data set the same questions again."""


class DatasetContract(PartContract):
    """Named splits of images, the same on every machine."""

    kind = "dataset"
    looked_at: ClassVar[int] = 8
    """How many images of each split are decoded."""

    def make(self) -> Any:
        """A fresh data set (harness.api.dataset.Dataset)."""
        raise NotImplementedError

    def moved(self, folder: Path) -> Any:
        """The same data set with its files copied below an empty folder; None where it has none that can be moved."""
        return None

    @cached_property
    def part(self) -> Any:
        return type(self.make())

    def test_names_its_splits(self) -> None:
        """Names its splits, each once."""
        splits = list(self.make().splits())
        assert splits, "there is no split"
        assert all(isinstance(split, str) and split for split in splits), f"splits are names, not {splits}"
        assert len(set(splits)) == len(splits), f"a split is named twice: {splits}"

    def test_keys_are_unique(self) -> None:
        """Gives every image of a split a key of its own."""
        dataset = self.make()
        for split in dataset.splits():
            pairs = list(dataset.keys(split))
            assert pairs, f"the split {split} has no images"
            for pair in pairs:
                assert len(pair) == 2, f"{split}: {pair!r} is not a (key, scene) pair"
                assert all(isinstance(text, str) and text for text in pair), f"{split}: {pair!r} is not a pair of texts"
            keys = [key for key, _ in pairs]
            twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
            assert not twice, f"{split}: these keys stand twice: {', '.join(twice[:5])}"

    def test_order_is_fixed(self) -> None:
        """Lists its images in the same order every time."""
        dataset, other = self.make(), self.make()
        for split in dataset.splits():
            first = list(dataset.keys(split))
            assert list(dataset.keys(split)) == first, f"{split}: asked twice, another order"
            assert list(other.keys(split)) == first, f"{split}: made anew, another order"

    def test_no_scene_is_in_two_splits(self) -> None:
        """Has no scene in two splits."""
        dataset = self.make()
        home: dict[str, str] = {}
        for split in dataset.splits():
            for scene in {scene for _, scene in dataset.keys(split)}:
                other = home.setdefault(scene, split)
                assert other == split, f"the scene {scene!r} is in {other} and in {split}"

    def test_images_are_what_their_declaration_says(self) -> None:
        """Gives sound images in the order of their keys, with degraded ones where it declares pairs."""
        dataset = self.make()
        for split in dataset.splits():
            wanted = list(dataset.keys(split))
            images = list(islice(dataset.images(split), self.looked_at))
            assert len(images) == min(self.looked_at, len(wanted)), f"{split}: {len(wanted)} keys, {len(images)} images"
            for (key, scene), image in zip(wanted, images, strict=False):
                found = image.key, image.scene
                assert found == (key, scene), f"{split}: the image {found} comes where keys() has {(key, scene)}"
                try:
                    checked_image(image, f"split {split}", pairs=self._may_pair)
                except DataError as error:
                    raise AssertionError(f"{key}: {error.what} · try: {error.hint}") from error

    def test_images_that_share_a_truth_have_the_same(self) -> None:
        """Gives the same clean image, in one scene, wherever it gives the same name for it (`truth`)."""
        dataset = self.make()
        for split in dataset.splits():
            known: dict[str, SourceImage] = {}
            for image in islice(dataset.images(split), self.looked_at):
                first = image if image.truth is None else known.setdefault(image.truth, image)
                assert _same(image.pixels, first.pixels), (
                    f"{split}: {image.key} has another {image.truth} than {first.key}"
                )
                assert image.scene == first.scene, f"{split}: {image.key} and {first.key} show one truth in two scenes"

    def test_images_stay_the_same(self) -> None:
        """Gives the same pixels every time."""
        dataset, other = self.make(), self.make()
        for split in dataset.splits():
            for one, two in islice(zip(dataset.images(split), other.images(split), strict=True), 2):
                same = _same(one.pixels, two.pixels) and _same(one.degraded, two.degraded)
                assert same, f"{split}: {one.key} differs when it is read again"

    def test_chosen_images_are_the_same(self) -> None:
        """Gives the images of chosen keys, in their order, as it gives them with all others (`random_access`)."""
        dataset = self.make()
        if not dataset.traits.random_access:
            return
        for split in dataset.splits():
            images = {image.key: image for image in islice(dataset.images(split), self.looked_at)}
            keys = list(images)[::-1]
            chosen = list(dataset.images_at(split, keys))
            assert [image.key for image in chosen] == keys, f"{split}: images_at() gives other keys, or another order"
            for image in chosen:
                whole = images[image.key]
                same = _same(image.pixels, whole.pixels) and _same(image.degraded, whole.degraded)
                assert same, f"{split}: images_at() gives other pixels of {image.key} than images()"
                assert (image.scene, image.truth) == (whole.scene, whole.truth), f"{split}: {image.key}: other facts"
            try:
                list(dataset.images_at(split, ["no such key"]))
            except DataError:
                continue
            raise AssertionError(f"{split}: images_at() takes a key that is not there; raise DataError")

    def test_says_what_it_leaves_out(self) -> None:
        """Names the files that it leaves out, each with a reason and without the place of its folder (`skips`)."""
        dataset = self.make()
        if not dataset.traits.skips:
            return
        for split in dataset.splits():
            left = list(dataset.skipped(split))
            assert left == list(dataset.skipped(split)), f"{split}: asked twice, skipped() gives another list"
            for pair in left:
                assert len(pair) == 2, f"{split}: {pair!r} is not a (file, why) pair"
                assert all(isinstance(text, str) and text for text in pair), f"{split}: {pair!r} is not a pair of texts"
                assert not Path(pair[0]).is_absolute(), f"{split}: {pair[0]} names the place; leave the folder out"

    def test_examples_lie_in_their_layouts(self) -> None:
        """Finds each of its layouts by the names of its examples, and in it these samples and no others (`source`)."""
        source = self.part.traits.source
        if source is None:
            return
        assert source.protocol in PROTOCOLS, f"no protocol is called {source.protocol!r}"
        unknown = set(source.counts) - set(source.splits())
        assert not unknown, f"counts of splits that no layout has: {', '.join(sorted(unknown))}"
        for layout in source.layouts:
            assert set(layout.examples) == set(layout.splits), f"{layout.name}: every split has examples"
            with TemporaryDirectory() as folder:
                _write_names(Path(folder), layout)
                found = self.part(root=folder)
                for split, samples in layout.examples.items():
                    number = len(found.keys(split))
                    assert number == len(samples), f"{layout.name}, {split}: {len(samples)} examples, {number} found"

    @property
    def _may_pair(self) -> bool:
        return self.part.traits.pairs is not False

    def test_fingerprint_is_stable(self) -> None:
        """Has a fingerprint that does not change, whatever was read before."""
        dataset = self.make()
        first = dataset.fingerprint()
        assert isinstance(first, str), f"a fingerprint is a text, not {first!r}"
        assert first, "the fingerprint is empty"
        for split in dataset.splits():
            next(iter(dataset.images(split)), None)
        assert dataset.fingerprint() == first, "it has changed after images were read"
        assert self.make().fingerprint() == first, "made anew, it is another one"
        with TemporaryDirectory() as elsewhere, chdir(elsewhere):
            assert self.make().fingerprint() == first, "it depends on the working directory"

    def test_fingerprint_does_not_know_the_place(self) -> None:
        """Has a fingerprint of the content, wherever the files lie."""
        with TemporaryDirectory() as elsewhere:
            moved = self.moved(Path(elsewhere))
            if moved is None:
                return
            found, first = moved.fingerprint(), self.make().fingerprint()
        assert found == first, "a copy of the files has another one: leave paths and times out of it"

    def test_planning_can_ask_without_torch(self) -> None:
        """Does not import torch with its module, and gives the same answers in another process."""
        dataset = self.make()
        sent = _pickled(dataset)
        command = [sys.executable, "-c", PROCESS, inspect.getfile(self.part), self.part.__module__, *sys.path]
        # Sets and hash() of texts differ between processes; this one is sure to have another seed.
        environment = {**os.environ, "PYTHONHASHSEED": "17"}
        done = subprocess.run(command, input=sent, capture_output=True, env=environment)
        assert done.returncode == 0, f"its module cannot be imported alone: {done.stderr.decode()[-300:].strip()}"
        answer = json.loads(done.stdout.splitlines()[-1])
        assert not answer["torch"], "its module imports torch, which planning does without"
        if sent:
            assert answer["fingerprint"] == dataset.fingerprint(), "another process finds another fingerprint"
            keys = [[list(pair) for pair in dataset.keys(split)] for split in dataset.splits()]
            assert answer["keys"] == keys, "another process finds other keys, or another order"


def _write_names(folder: Path, layout: Layout) -> None:
    """Files with the names of the examples, of which only MATLAB files have any content, and empty lists of groups."""
    from scipy.io import savemat

    names = [name for samples in layout.examples.values() for sample in samples for name in sample]
    lists = [group.file for files in layout.splits.values() for group in files.groups if group.file]
    for name in (*names, *lists):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mat":
            savemat(path, {"blocks": np.zeros((1, 1, 8, 8, 3), np.uint8)})
        elif name in lists:
            np.save(path, np.zeros(0, np.int64)) if path.suffix == ".npy" else path.write_text("")
        else:
            path.write_bytes(b"?")


def _pickled(dataset: Any) -> bytes:
    """The data set for another process; nothing where it holds what cannot be sent."""
    try:
        return pickle.dumps(dataset)
    except (pickle.PicklingError, TypeError, AttributeError):
        return b""


def _same(one: np.ndarray | None, two: np.ndarray | None) -> bool:
    """Whether both are the same pixels, or nothing."""
    if one is None or two is None:
        return one is two
    return one.dtype == two.dtype and np.array_equal(one, two)
