"""The library's sets: their images are the stored ones, and data folders of runs link to them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.api.asking import fingerprint_of, opened
from harness.api.library import InLibrary, Note, read_note, write_note
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.shard_parts import waiting_folder
from harness.core.damage import noted_damage
from harness.core.errors import Damaged, DataError
from harness.data.images import images_of, open_dataset
from harness.data.library import link, make_link, prepared_images
from harness.data.prepare import prepare_part, prepare_set
from harness.data.prints import known_prints
from harness.data.shards import open_set
from harness.parts.catalogue import REGISTRY
from harness.parts.shared.pictures import looks
from tests.field_tree import write_lol


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library with LOL-v1, three pairs to train and two to test."""
    place = tmp_path / "library"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRIORBENCH_DATA", str(place))
    monkeypatch.setattr(looks, "_MEMORY", {})
    root = write_lol(tmp_path / "lol")
    digest = fingerprint_of(opened(REGISTRY, "lol_v1", {"root": str(root)}))
    ref = PartRef(name="lol_v1", digest=digest, files={"root": str(root)})
    for split in ("train", "test"):
        prepare_set(PreparedSet(dataset=ref, split=split), REGISTRY, place)
    write_note(Note(dataset=ref.model_copy(update={"files": {}}), splits={"train": 3, "test": 2}), place)
    shutil.rmtree(root)  # from here on nothing has the user's pictures
    return place


def named() -> InLibrary:
    """The data set as suites name it."""
    dataset = opened(REGISTRY, "lol_v1", {})
    assert isinstance(dataset, InLibrary)
    return dataset


def stored(split: str = "test", **degraded: PartRef) -> PreparedSet:
    return PreparedSet(dataset=named().note.dataset, split=split, **degraded)


def test_the_images_are_the_stored_ones_all_or_chosen(library: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    clean = [random.integers(0, 256, (24, 32, 3), dtype=np.uint8)[:, :, ::-1] for _ in range(3)]
    found = list(images_of(open_dataset(named().note.dataset, REGISTRY), "train", "lol_v1"))
    assert [(image.key, image.scene) for image in found] == list(named().keys("train"))
    for image, pixels in zip(found, clean, strict=True):
        assert np.array_equal(image.pixels, pixels)
        assert np.array_equal(image.degraded, pixels // 4)
    (chosen,) = images_of(named(), "train", "lol_v1", ["3"])
    assert (chosen.key, np.array_equal(chosen.pixels, clean[2])) == ("3", True)
    with pytest.raises(DataError, match="has no image '9'"):
        next(prepared_images(named(), "train", ["9"]))


def test_the_ends_of_a_split_are_told_from_its_index(library: Path) -> None:
    first, last = named().ends("train")
    assert (first.key, last.key) == ("1", "3")
    assert (first.height, first.width, first.degraded, first.clean) == (24, 32, 3, 3)


def test_another_data_folder_links_to_the_set_and_its_prints(library: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = prepare_set(stored(), REGISTRY, data)
    place = stored().folder(data)
    assert place.is_symlink()
    assert place.resolve() == stored().folder(library).resolve()
    assert made.index.keys == ["1", "2"]
    assert known_prints(stored().dataset, "test", data) is not None
    assert not waiting_folder(stored(), data).exists()
    before = os.lstat(place).st_mtime_ns
    prepare_set(stored(), REGISTRY, data)
    assert os.lstat(place).st_mtime_ns == before
    prepare_part(stored("train"), 1, 2, REGISTRY, data)
    assert not stored("train").folder(data).exists(), "parts make nothing of a set that is linked"


def test_a_link_that_leads_nowhere_is_replaced_and_so_is_what_is_no_set(library: Path, tmp_path: Path) -> None:
    for number, lay in enumerate((lambda path: path.symlink_to(tmp_path / "gone"), Path.mkdir)):
        data = tmp_path / f"data{number}"
        place = stored().folder(data)
        place.parent.mkdir(parents=True)
        lay(place)
        prepare_set(stored(), REGISTRY, data)
        assert place.is_symlink()
        assert (place / "manifest.json").is_file()
        assert [path.name for path in place.parent.iterdir()] == ["test"]


def test_degraded_images_are_made_of_the_linked_clean_ones(library: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    by = PartRef(name="low_light")
    declared = stored(degradation=by)
    assert prepare_set(declared, REGISTRY, data).source is not None
    assert stored().folder(data).is_symlink()
    assert not declared.folder(data).is_symlink()


def test_a_library_whose_files_are_gone_or_damaged_names_the_command(library: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shard = stored().folder(library) / "000000.tar"
    prepare_set(stored(), REGISTRY, data)
    content = shard.read_bytes()
    shard.write_bytes(content[:-600])
    with pytest.raises(DataError, match="the library's set is damaged") as damaged:
        prepare_set(stored(), REGISTRY, data)
    assert damaged.value.hint == "bench data prepare lol_v1 --from DIR"
    assert stored().folder(data).is_symlink(), "the link is as it was"
    shutil.rmtree(stored().folder(library))
    for place in (data, library, tmp_path / "another"):
        with pytest.raises(DataError, match=r"its split test is not in the library .* any more") as gone:
            prepare_set(stored(), REGISTRY, place)
        assert gone.value.hint == "bench data prepare lol_v1 --from DIR"
        assert not stored().folder(place).exists()


def test_a_set_that_is_not_prepared_names_the_command_and_the_page(library: Path) -> None:
    with pytest.raises(DataError, match=r"GoPro is not prepared \(.*https://") as error:
        fingerprint_of(opened(REGISTRY, "gopro", {}))
    assert error.value.hint == "bench data prepare gopro --from DIR"


def lol(folder: Path) -> InLibrary:
    dataset = opened(REGISTRY, "lol_v1", {})
    assert isinstance(dataset, InLibrary)
    assert dataset.folder == folder
    return dataset


def as_version(folder: Path, version: str) -> Note:
    """The library as another version of the part prepared it."""
    note = read_note("lol_v1", folder)
    assert note is not None
    old = note.model_copy(update={"dataset": note.dataset.model_copy(update={"version": version})})
    write_note(old, folder)
    return old


def test_a_library_of_another_version_of_the_part_is_to_be_prepared_again(library: Path) -> None:
    as_version(library, "0")
    with pytest.raises(DataError, match="prepared for version 0 of this data set, and this is version 1") as caught:
        fingerprint_of(lol(library))
    assert caught.value.hint == "bench data prepare lol_v1 --from DIR"


def test_no_link_is_made_to_another_set_than_the_one_that_is_wanted(library: Path, tmp_path: Path) -> None:
    dataset = lol(library)
    wanted = PreparedSet(dataset=dataset.note.dataset.model_copy(update={"version": "0"}), split="test")
    with pytest.raises(DataError, match=f"the library has {dataset.stored('test').name}, and not {wanted.name}"):
        link(dataset, wanted, tmp_path / "data")
    assert not os.path.lexists(wanted.folder(tmp_path / "data"))


def test_a_link_to_another_set_leaves_no_note_of_damage_in_a_sound_one(library: Path, tmp_path: Path) -> None:
    dataset = lol(library)
    wanted = PreparedSet(dataset=dataset.note.dataset.model_copy(update={"version": "0"}), split="test")
    there, place = dataset.stored("test").folder(library), wanted.folder(tmp_path / "data")
    make_link(there, place)
    with pytest.raises(Damaged, match="the manifest is of another set"):
        open_set(wanted, tmp_path / "data")
    assert noted_damage(there) == ""
    shard = there / "000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    link_of_it = dataset.stored("test").folder(tmp_path / "data")
    make_link(there, link_of_it)
    with pytest.raises(Damaged):
        open_set(dataset.stored("test"), tmp_path / "data")
    assert "000000.tar" in noted_damage(there), "damage of what it holds is"
