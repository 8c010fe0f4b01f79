"""Cached prior vectors on disk: one safetensors file beside each shard, and a manifest.

Row `position × orientations + place` of a file is the vector of the sample at `position` in the shard, in one of its
orientations: that at `place` among those of the augmentation (harness.api.reference.ORIENTATIONS). N samples, D numbers
per vector. A map is one row, too, flattened; the manifest then holds its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harness.api.prior import PriorDim
from harness.api.sets import FeatureSet
from harness.core.damage import damage_noted, is_damage
from harness.core.errors import Damaged, DataError
from harness.core.identity import canonical_json, file_sha256, known_sha256, sealed, unsealed
from harness.core.paths import atomic_folder, unread, write_json
from harness.core.version import package_version

MANIFEST = "manifest.json"
FORMAT = 1
_REMAKE = "bench run SUITE computes these vectors again"


class FeatureRows:
    """The vectors of one feature set. Its files are memory-mapped, so only the rows that are used are read."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], manifest_sha256: str) -> None:
        self.manifest = manifest
        self.manifest_sha256 = manifest_sha256
        self.samples_manifest_sha256: str = manifest["samples_manifest_sha256"]
        self.dim: int = manifest["dim"]
        self.shape: tuple[int, int, int] | None = tuple(manifest["shape"]) if "shape" in manifest else None
        self.orientations: int = manifest["orientations"]
        self._files: list[Any] = [_open(folder / shard["file"]) for shard in manifest["shards"]]
        self._counts: list[int] = [shard["samples"] for shard in manifest["shards"]]

    @property
    def prior_dim(self) -> PriorDim:
        """What a refiner is made for: the numbers of a vector, or the shape of a map."""
        return self.shape or self.dim

    def __len__(self) -> int:
        """N × orientations."""
        return sum(self._counts) * self.orientations

    def row(self, shard: int, position: int, place: int = 0) -> np.ndarray:
        """The float32 vector [D] of a sample in one of its orientations, by place among those of the augmentation.

        The place does not matter in a set that has one row per sample.
        """
        if not 0 <= position < self._counts[shard]:
            raise IndexError(f"shard {shard} has {self._counts[shard]} samples, not one at {position}")
        index = position * self.orientations + (place if self.orientations > 1 else 0)
        row: np.ndarray = self._files[shard][index]
        return row

    def all(self) -> np.ndarray:
        """All rows [N·orientations, D] in shard order, orientations innermost."""
        return np.concatenate([file[:] for file in self._files])


def write_features(
    features: FeatureSet,
    data: Path,
    shards: Iterable[np.ndarray],
    *,
    samples_manifest_sha256: str,
    weights: Mapping[str, str] | None = None,
    parents: Sequence[str] = (),
    shape: tuple[int, int, int] | None = None,
) -> None:
    """Writes a feature set. The folder appears whole or not at all; an existing one is kept.

    `shards`: the rows [samples·orientations, D] of each shard, float32, in order; only one shard is held at a time.
    `weights`: digests of the prior's files of weights, or of the checkpoint of its cell. `parents`: digests of the
    manifests of the rows that a derived prior's are made from. `shape`: D, rows and columns where rows are maps.
    Raises DataError for rows that are not finite or that differ in width, so that no training ever reads them.
    """
    entries: list[dict[str, Any]] = []
    dim: int | None = None
    with atomic_folder(features.folder(data)) as folder:
        for number, rows in enumerate(shards):
            where = f"prior {features.prior.name}, shard {number}"
            if rows.ndim != 2 or rows.dtype != np.float32 or rows.shape[1] != (dim or rows.shape[1]):
                raise DataError(f"rows of {rows.dtype} {rows.shape} instead of float32 [N, {dim or 'D'}]", where=where)
            if len(rows) % features.orientations:
                raise DataError(f"{len(rows)} rows do not hold {features.orientations} orientations each", where=where)
            if not np.isfinite(rows).all():
                raise DataError("the prior gave values that are not finite", where=where, kind="nan")
            dim = rows.shape[1]
            file = folder / f"{number:06d}.safetensors"
            save_file({"rows": np.ascontiguousarray(rows)}, file)
            entries.append(
                {"file": file.name, "samples": len(rows) // features.orientations, "sha256": file_sha256(file)}
            )
        if dim is None:
            raise DataError("no shards to encode", where=str(features.samples.folder(data)))
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
        _check(folder / file, (rows_of[file], dim), wanted if verify else None)
    return FeatureRows(folder, manifest, sha256)


def _read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its digest (harness.core.identity.Unsealed)."""
    path = folder / MANIFEST
    try:
        found = unsealed(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        hint = "run the suite, which computes them"
        raise Damaged("these prior vectors have not been made", where=str(folder), hint=hint) from None
    except OSError as error:
        raise _unreadable(path, error, f"the manifest cannot be read: {unread(error)}") from error
    except ValueError as error:
        raise Damaged(f"the manifest is damaged ({error})", where=str(path), hint=_REMAKE) from error
    return found.content, found.sha256


def _check(path: Path, shape: tuple[int, int], sha256: str | None) -> None:
    try:
        path.stat()
        changed = sha256 is not None and known_sha256(path) != sha256
    except FileNotFoundError:
        raise Damaged("a file of prior vectors is missing", where=str(path), hint=_REMAKE) from None
    except OSError as error:
        raise _unreadable(path, error, f"cannot be read: {unread(error)}") from error
    if changed:
        raise Damaged("a file of prior vectors is not as it was written", where=str(path), hint=_REMAKE)
    rows = _open(path)
    if tuple(rows.get_shape()) != shape or rows.get_dtype() != "F32":
        raise Damaged(
            f"prior vectors {rows.get_dtype()} {rows.get_shape()}, not F32 {list(shape)}", where=str(path), hint=_REMAKE
        )


def _open(path: Path) -> Any:
    try:
        path.open("rb").close()  # as safetensors does not say why a file cannot be opened
        return safe_open(path, framework="numpy").get_slice("rows")
    except OSError as error:
        raise _unreadable(path, error, f"a file of prior vectors is damaged: {unread(error)}") from error
    except SafetensorError as error:
        raise Damaged("a file of prior vectors is damaged", where=str(path), hint=_REMAKE) from error


def _unreadable(path: Path, error: OSError, what: str) -> DataError:
    """The error for a file that cannot be read: it is damaged only where that will stay so."""
    if is_damage(error):
        return Damaged(what, where=str(path), hint=_REMAKE)
    return DataError(what, where=str(path), hint="see that it can be read, then run the same command again")


def row_keys(keys: Sequence[str], orientations: int) -> list[str]:
    """Names of all rows of samples, for derived priors: `<key>#<orientation>`, orientations innermost."""
    return [f"{key}#{orientation}" for key in keys for orientation in range(orientations)]
