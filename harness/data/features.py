"""Cached prior vectors on disk: safetensors files in the order of the samples, and a manifest.

A sample is known by its number: the row of the set's index or, where features are of what training cuts (policy
`crop`), its place in the list of training samples (harness.data.draw). The tensor `samples` of a file holds the numbers
of its samples, in rising order. Row `position × orientations + place` of its tensor `rows` is the vector of the sample
at `position` there, in one of its orientations: that at `place` among those of the augmentation
(harness.api.reference.ORIENTATIONS). N samples, D numbers per vector. A map is one row, too, flattened; the manifest
then holds its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harness.api.prior import PriorDim
from harness.api.sets import FeatureSet
from harness.core.damage import damage_noted, unreadable
from harness.core.errors import Damaged, DataError
from harness.core.identity import canonical_json, file_sha256, known_sha256, sealed, unsealed
from harness.core.outlast import outlast
from harness.core.paths import atomic_folder, unread, write_json
from harness.core.version import package_version

MANIFEST = "manifest.json"
FORMAT = 2
_REMAKE = "bench run SUITE computes these vectors again"


class Piece(NamedTuple):
    """The rows of some samples, as they go into one file."""

    samples: np.ndarray
    """Their numbers, N integers in rising order."""
    rows: np.ndarray
    """N·orientations × D float32, orientations innermost."""


class FeatureRows:
    """The vectors of one feature set. Its files are memory-mapped, so only the rows that are used are read."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], manifest_sha256: str) -> None:
        self.manifest = manifest
        self.manifest_sha256 = manifest_sha256
        self.samples_manifest_sha256: str = manifest["samples_manifest_sha256"]
        self.dim: int = manifest["dim"]
        self.shape: tuple[int, int, int] | None = tuple(manifest["shape"]) if "shape" in manifest else None
        self.orientations: int = manifest["orientations"]
        files = [_open(folder / shard["file"]) for shard in manifest["shards"]]
        self._files: list[Any] = [file.get_slice("rows") for file in files]
        self.samples: np.ndarray = np.concatenate([file.get_tensor("samples") for file in files])
        """The numbers of the samples that have rows: all of them, but those without a degraded image."""
        self._ends = np.cumsum([shard["samples"] for shard in manifest["shards"]])

    @property
    def prior_dim(self) -> PriorDim:
        """What a refiner is made for: the numbers of a vector, or the shape of a map."""
        return self.shape or self.dim

    def __len__(self) -> int:
        """N × orientations."""
        return len(self.samples) * self.orientations

    def row(self, index: int, place: int = 0) -> np.ndarray:
        """The float32 vector [D] of the sample of this number in one of its orientations, by place among those of the
        augmentation.

        The place does not matter in a set that has one row per sample. IndexError for a sample that has no rows.
        """
        position = int(np.searchsorted(self.samples, index))
        if position == len(self.samples) or self.samples[position] != index:
            raise IndexError(f"there is no vector of sample {index}, but of {len(self.samples)} others")
        file = int(np.searchsorted(self._ends, position, side="right"))
        within = position - (int(self._ends[file - 1]) if file else 0)
        row: np.ndarray = self._files[file][within * self.orientations + (place if self.orientations > 1 else 0)]
        return row

    def all(self) -> np.ndarray:
        """All rows [N·orientations, D] in the order of the samples, orientations innermost."""
        return np.concatenate([file[:] for file in self._files])


def write_features(
    features: FeatureSet,
    data: Path,
    pieces: Iterable[Piece],
    *,
    samples_manifest_sha256: str,
    weights: Mapping[str, str] | None = None,
    parents: Sequence[str] = (),
    shape: tuple[int, int, int] | None = None,
) -> None:
    """Writes a feature set. The folder appears whole or not at all; an existing one is kept.

    `pieces`: in the order of the samples; each makes a file, and only one is held at a time.
    `weights`: digests of the prior's files of weights, or of the checkpoint of its cell. `parents`: digests of the
    manifests of the rows that a derived prior's are made from. `shape`: D, rows and columns where rows are maps.
    Raises DataError for rows that are not finite or that differ in width, so that no training ever reads them.
    """
    entries: list[dict[str, Any]] = []
    dim: int | None = None
    last = -1
    with atomic_folder(features.folder(data)) as folder:
        for number, piece in enumerate(pieces):
            _check_piece(piece, dim, features.orientations, last, f"prior {features.prior.name}, file {number}")
            dim, last = piece.rows.shape[1], int(piece.samples[-1])
            file = folder / f"{number:06d}.safetensors"
            tensors = {"rows": np.ascontiguousarray(piece.rows), "samples": piece.samples.astype(np.int64)}
            save_file(tensors, file)
            entries.append({"file": file.name, "samples": len(piece.samples), "sha256": file_sha256(file)})
        if dim is None:
            what = "no degraded image to encode"
            raise DataError(what, where=features.name, hint="a data set, or a task, that gives degraded images")
        if shape is not None and prod(shape) != dim:
            raise DataError(f"rows of {dim} numbers for maps of {shape}", where=f"prior {features.prior.name}")
        manifest = {
            "format": FORMAT,
            "features": features.identity(),
            "dim": dim,
            **({"shape": list(shape)} if shape else {}),
            "orientations": features.orientations,
            "samples": sum(entry["samples"] for entry in entries),
            "samples_manifest_sha256": samples_manifest_sha256,
            "weights": dict(weights or {}),
            **({"parents": list(parents)} if parents else {}),
            "harness": package_version(),
            "shards": entries,
        }
        write_json(folder / MANIFEST, sealed(manifest))


def _check_piece(piece: Piece, dim: int | None, orientations: int, last: int, where: str) -> None:
    samples, rows = piece
    if rows.ndim != 2 or rows.dtype != np.float32 or rows.shape[1] != (dim or rows.shape[1]):
        raise DataError(f"rows of {rows.dtype} {rows.shape} instead of float32 [N, {dim or 'D'}]", where=where)
    if len(rows) != len(samples) * orientations or not len(rows):
        raise DataError(f"{len(rows)} rows are not {orientations} for each of {len(samples)} samples", where=where)
    if not np.isfinite(rows).all():
        raise DataError("the prior gave values that are not finite", where=where, kind="nan")
    assert (np.diff(np.r_[last, samples]) > 0).all(), where


def open_features(features: FeatureSet, data: Path, *, verify: bool = True) -> FeatureRows:
    """Opens a feature set.

    `verify` compares every file with its recorded SHA-256; without it only names and shapes are checked. Raises
    Damaged when it is missing, not as it was written, or of other samples or priors, DataError when a file of it cannot
    be read. With `verify`, Damaged is also noted in the folder (harness.core.damage), so
    that the next run computes the vectors again.
    """
    folder = features.folder(data)
    with damage_noted(folder, wanted=verify):
        return _opened(features, folder, verify)


def _opened(features: FeatureSet, folder: Path, verify: bool) -> FeatureRows:
    manifest, sha256 = _read_manifest(folder)
    path = str(folder / MANIFEST)
    try:
        same = canonical_json(manifest["features"]) == canonical_json(features.identity())
        shards = [(shard["file"], shard["samples"], shard["sha256"]) for shard in manifest["shards"]]
        current = manifest["format"] == FORMAT and manifest["orientations"] == features.orientations
        rows_of = {file: samples * features.orientations for file, samples, _ in shards}
        dim = int(manifest["dim"])
        current = current and ("shape" not in manifest or prod(manifest["shape"]) == dim)
        _ = manifest["samples_manifest_sha256"] + "", dict(manifest["weights"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"the manifest is damaged ({type(error).__name__})", where=path, hint=_REMAKE) from error
    if not (same and current):
        raise Damaged("the manifest describes other vectors than these", where=path, hint=_REMAKE)
    for file, _, wanted in shards:
        _check(folder / file, (rows_of[file], dim), features.orientations, wanted if verify else None)
    return FeatureRows(folder, manifest, sha256)


def _read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its digest (harness.core.identity.Unsealed)."""
    path = folder / MANIFEST
    try:
        found = unsealed(outlast(path.read_bytes, path))
    except (FileNotFoundError, NotADirectoryError):
        hint = "run the suite, which computes them"
        raise Damaged("these prior vectors have not been made", where=str(folder), hint=hint) from None
    except OSError as error:
        raise unreadable(path, error, f"the manifest cannot be read: {unread(error)}", again=_REMAKE) from error
    except ValueError as error:
        raise Damaged(f"the manifest is damaged ({error})", where=str(path), hint=_REMAKE) from error
    return found.content, found.sha256


def _check(path: Path, shape: tuple[int, int], orientations: int, sha256: str | None) -> None:
    try:
        outlast(path.stat, path)
        changed = sha256 is not None and known_sha256(path) != sha256
    except FileNotFoundError:
        raise Damaged("a file of prior vectors is missing", where=str(path), hint=_REMAKE) from None
    except OSError as error:
        raise unreadable(path, error, f"cannot be read: {unread(error)}", again=_REMAKE) from error
    if changed:
        raise Damaged("a file of prior vectors is not as it was written", where=str(path), hint=_REMAKE)
    file = _open(path)
    slices = {name: file.get_slice(name) for name in list(file.keys())}
    found = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
    if found != {"rows": ("F32", list(shape)), "samples": ("I64", [shape[0] // orientations])}:
        dtype, shape_found = found.get("rows", ("nothing", []))
        what = f"prior vectors {dtype} {shape_found}, not F32 {list(shape)}"
        raise Damaged(what, where=str(path), hint=_REMAKE)


def _open(path: Path) -> Any:
    try:
        path.open("rb").close()  # as safetensors does not say why a file cannot be opened
        return safe_open(path, framework="numpy")
    except OSError as error:
        raise unreadable(path, error, f"a file of prior vectors is damaged: {unread(error)}", again=_REMAKE) from error
    except SafetensorError as error:
        raise Damaged("a file of prior vectors is damaged", where=str(path), hint=_REMAKE) from error


def row_keys(keys: Sequence[str], orientations: int) -> list[str]:
    """Names of all rows of samples, for derived priors: `<key>#<orientation>`, orientations innermost."""
    return [f"{key}#{orientation}" for key in keys for orientation in range(orientations)]
