"""Prior vectors on disk: what is read is what was written, or an error that says why not."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, Grid, PreparedSet, Samples
from harness.core.damage import noted_damage
from harness.core.errors import Damaged, DataError
from harness.core.identity import file_sha256, sealed, unsealed
from harness.core.paths import write_json
from harness.data.features import MANIFEST, FeatureRows, Piece, open_features, row_keys, write_features

SAMPLES = Samples(stored=PreparedSet(dataset=PartRef(name="d"), split="train"))
FEATURES = FeatureSet(prior=PartRef(name="nss"), samples=SAMPLES, reference=SAMPLES, augment="flip")
SHARDS = [np.random.default_rng(n).random((2 * samples, 5), dtype=np.float32) for n, samples in enumerate((3, 1, 4))]
NUMBERS = [0, 1, 2, 4, 7, 8, 9, 11]
"""Of the samples that have rows: the others bring no degraded image."""


def pieces(shards: list[np.ndarray], orientations: int = 2) -> list[Piece]:
    numbers = iter(NUMBERS if orientations == 2 else range(100))
    return [Piece(np.array([next(numbers) for _ in range(len(rows) // orientations)]), rows) for rows in shards]


def write(data: Path, features: FeatureSet = FEATURES, shards: list[np.ndarray] = SHARDS) -> Path:
    found = pieces(shards, features.orientations)
    write_features(features, data, found, samples_manifest_sha256="ab" * 32, weights={"w": "cd" * 32})
    return features.folder(data)


def test_rows_come_back_by_sample_and_orientation(tmp_path: Path) -> None:
    write(tmp_path)
    rows = open_features(FEATURES, tmp_path)
    assert (rows.dim, rows.orientations, len(rows)) == (5, 2, 16)
    assert rows.samples.tolist() == NUMBERS
    expected = np.concatenate(SHARDS)
    for position, number in enumerate(NUMBERS):
        for orientation in (0, 1):
            row = rows.row(number, orientation)
            assert row.dtype == np.float32
            assert np.array_equal(row, expected[2 * position + orientation])
    assert np.array_equal(rows.all(), expected)


@pytest.mark.parametrize("number", [-1, 3, 5, 10, 12, 99])
def test_a_sample_without_rows_is_an_error_and_not_its_neighbour(tmp_path: Path, number: int) -> None:
    write(tmp_path)
    with pytest.raises(IndexError, match=f"no vector of sample {number},"):
        open_features(FEATURES, tmp_path).row(number, 0)


def test_with_one_orientation_the_orientation_does_not_matter(tmp_path: Path) -> None:
    plain = FEATURES.model_copy(update={"augment": "none"})
    write(tmp_path, plain)
    rows = open_features(plain, tmp_path)
    assert np.array_equal(rows.row(15, 5), SHARDS[2][7])


def test_the_manifest_says_what_the_rows_are(tmp_path: Path) -> None:
    folder = write(tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert FeatureSet.model_validate(manifest["features"]) == FEATURES
    assert manifest["samples_manifest_sha256"] == "ab" * 32
    assert manifest["weights"] == {"w": "cd" * 32}
    assert [shard["samples"] for shard in manifest["shards"]] == [3, 1, 4]
    assert [shard["sha256"] for shard in manifest["shards"]] == [
        file_sha256(folder / f"{n:06d}.safetensors") for n in range(3)
    ]
    rows = open_features(FEATURES, tmp_path)
    assert rows.manifest_sha256 == unsealed((folder / MANIFEST).read_bytes()).sha256
    assert rows.samples_manifest_sha256 == "ab" * 32


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    assert [file.read_bytes() for file in sorted(write(tmp_path / "a").iterdir())] == [
        file.read_bytes() for file in sorted(write(tmp_path / "b").iterdir())
    ]


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([SHARDS[0], np.full((2, 5), np.nan, np.float32)], "not finite"),
        ([SHARDS[0], np.zeros((2, 4), np.float32)], r"instead of float32 \[N, 5\]"),
        ([np.zeros((2, 5))], "rows of float64"),
        ([np.zeros((3, 5), np.float32)], "3 rows are not 2 for each of 1 samples"),
        ([], "no degraded image"),
    ],
)
def test_wrong_rows_leave_nothing_behind(tmp_path: Path, shards: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path, shards=shards)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with pytest.raises(DataError, match="have not been made"):
        open_features(FEATURES, tmp_path)


def _truncate(folder: Path) -> None:
    path = folder / "000001.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def _flip_a_bit(folder: Path) -> None:
    path = folder / "000001.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _swap_shape(folder: Path) -> None:
    save_file({"rows": SHARDS[0].T.copy(), "samples": np.arange(3)}, folder / "000000.safetensors")


def _edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(sealed(manifest)))

    return damage


def _into_a_folder(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()


def _alter_a_digit(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace("abab", "bbab", 1))


DAMAGES = {
    "truncated": (_truncate, "not as it was written"),
    "bit": (_flip_a_bit, "not as it was written"),
    "other shape": (_swap_shape, "not as it was written"),
    "file gone": (lambda folder: (folder / "000002.safetensors").unlink(), "is missing"),
    "manifest gone": (lambda folder: (folder / MANIFEST).unlink(), "have not been made"),
    "manifest cut": (lambda folder: (folder / MANIFEST).write_text('{"format": 1'), "manifest is damaged"),
    "no JSON object": (lambda folder: (folder / MANIFEST).write_text("[]"), "manifest is damaged"),
    "manifest a folder": (_into_a_folder, "cannot be read: this is a folder"),
    "manifest altered": (_alter_a_digit, "its content is not what was sealed"),
    "no dim": (_edit(lambda manifest: manifest.pop("dim")), "manifest is damaged"),
    "another prior": (_edit(lambda manifest: manifest["features"]["prior"].update(name="clip")), "other vectors"),
    "another count": (_edit(lambda manifest: manifest["shards"][0].update(samples=2)), "not F32"),
    "another format": (_edit(lambda manifest: manifest.update(format=1)), "other vectors"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_found_when_opened(tmp_path: Path, case: str) -> None:
    damage, message = DAMAGES[case]
    folder = write(tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        open_features(FEATURES, tmp_path)
    assert str(folder) in caught.value.where
    assert caught.value.kind == "data"
    assert message in noted_damage(folder)  # for the next plan


def test_a_manifest_of_an_earlier_release_is_believed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    sha256, whole = open_features(FEATURES, tmp_path).manifest_sha256, json.loads((folder / MANIFEST).read_text())
    del whole["sealed"]
    write_json(folder / MANIFEST, whole)
    assert open_features(FEATURES, tmp_path).manifest_sha256 == sha256 == file_sha256(folder / MANIFEST)


def test_without_verification_only_names_and_shapes_count(tmp_path: Path) -> None:
    folder = write(tmp_path)
    _flip_a_bit(folder)
    assert isinstance(open_features(FEATURES, tmp_path, verify=False), FeatureRows)
    _truncate(folder)
    with pytest.raises(DataError, match="damaged"):
        open_features(FEATURES, tmp_path, verify=False)


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE, errno.EMFILE])
def test_vectors_that_cannot_be_read_now_are_not_noted(tmp_path: Path, code: int, monkeypatch) -> None:
    def refuse(path: Path) -> str:
        raise OSError(code, os.strerror(code))

    folder = write(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("harness.data.features.known_sha256", refuse)
        with pytest.raises(DataError, match="cannot be read") as caught:
            open_features(FEATURES, tmp_path)
    assert (type(caught.value), noted_damage(folder)) == (DataError, "")
    (folder / MANIFEST).write_text("{")
    with pytest.raises(Damaged):
        open_features(FEATURES, tmp_path, verify=False)
    assert noted_damage(folder) == ""


def test_a_set_that_is_there_is_kept(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, shards=[SHARDS[0] + 1])
    assert np.array_equal(open_features(FEATURES, tmp_path).all(), np.concatenate(SHARDS))


def test_row_keys_have_orientations_innermost() -> None:
    assert row_keys(["a", "b"], 2) == ["a#0", "a#1", "b#0", "b#1"]


GRID = Grid(height=64, width=64, stride=32)
CONTROL = PartRef(name="mean", derived_from=PartRef(name="nss"))
TEST = Samples(stored=PreparedSet(dataset=PartRef(name="d"), split="test"))


def test_parents_of_derived_priors() -> None:
    of_train = FeatureSet(prior=CONTROL, samples=SAMPLES, reference=SAMPLES, augment="flip")
    of_test = FeatureSet(prior=CONTROL, samples=TEST, reference=SAMPLES)
    assert FEATURES.parents == ()
    assert of_train.parents == (FEATURES,)
    assert [parent.samples for parent in of_test.parents] == [TEST, SAMPLES]
    assert {parent.prior.name for parent in of_test.parents} == {"nss"}
    assert [parent.reference for parent in of_test.parents] == [TEST, SAMPLES]  # one encoding for every training


def test_only_the_reference_is_cut_to_crops() -> None:
    of_test = FeatureSet(prior=CONTROL, samples=TEST, reference=SAMPLES, policy="crop", grid=GRID, resize=(400, 608))
    own, train = of_test.parents
    assert (own.cut, own.grid, own.resize) == (False, None, None)
    assert own == FeatureSet(prior=PartRef(name="nss"), samples=TEST, reference=TEST)
    assert (train.cut, train.grid, train.resize) == (True, GRID, (400, 608))
    assert train.name.endswith("/train in crops of 64x64 every 32")
    assert of_test.name.endswith("/test")


def test_what_does_not_depend_on_the_training_is_called_alike_for_every_training() -> None:
    other = Samples(stored=PreparedSet(dataset=PartRef(name="e"), split="train"))
    found = [
        FeatureSet(prior=PartRef(name="nss"), samples=TEST, reference=each, policy=policy, grid=grid).shared
        for each, policy, grid in ((SAMPLES, "image", None), (other, "image", None), (other, "crop", GRID))
    ]
    assert len({each.digest for each in found}) == 1
    control = FeatureSet(prior=CONTROL, samples=TEST, reference=SAMPLES)
    assert control.shared == control


def test_a_map_is_a_flat_row_with_its_shape_on_record(tmp_path: Path) -> None:
    shards = [np.random.default_rng(0).random((4, 12), dtype=np.float32)]
    write_features(FEATURES, tmp_path, pieces(shards), samples_manifest_sha256="ab" * 32, shape=(2, 3, 2))
    rows = open_features(FEATURES, tmp_path)
    assert (rows.dim, rows.shape, rows.prior_dim) == (12, (2, 3, 2), (2, 3, 2))
    assert np.array_equal(rows.all(), shards[0])


def test_a_shape_must_be_that_of_the_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows of 5 numbers for maps of"):
        write_features(FEATURES, tmp_path, pieces(SHARDS), samples_manifest_sha256="ab" * 32, shape=(2, 3, 2))
    folder = write(tmp_path)
    assert open_features(FEATURES, tmp_path).prior_dim == 5
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(sealed(manifest | {"shape": [2, 3, 2]})))
    with pytest.raises(DataError, match="other vectors"):
        open_features(FEATURES, tmp_path)
