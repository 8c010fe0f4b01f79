"""The prepared samples and cached prior vectors that a train or evaluate job reads, opened and checked together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api.sets import FeatureSet, PreparedSet, Samples
from harness.core.errors import DataError
from harness.core.registry import Registry
from harness.data.features import FeatureRows, open_features
from harness.data.samples import OpenSamples, open_samples
from harness.records.model import RunRecord, vectors_of, weights_of


@dataclass(frozen=True)
class Inputs:
    """One open set of samples, with its prior rows where there are any."""

    samples: Samples
    opened: OpenSamples
    features: FeatureRows | None = None
    wanted: FeatureSet | None = None
    """The feature set whose rows these are."""

    @property
    def data(self) -> dict[str, str]:
        """Digests of the manifests read, for the record: of the stored set, of that which it is made of, of vectors."""
        stored = self.opened.stored
        digests = {_name_of(self.samples.stored): stored.manifest_sha256}
        if self.samples.stored.source is not None and stored.source is not None:
            digests[_name_of(self.samples.stored.source)] = stored.source.manifest_sha256
        if self.features is not None and self.wanted is not None:
            digests[vectors_of(self.wanted.name)] = self.features.manifest_sha256
        return digests

    @property
    def skipped(self) -> dict[str, dict[str, str]]:
        """The files that the data set left out as it was told, and why, by the stored set's name, for the record."""
        stored, wanted = self.opened.stored, self.samples.stored
        found = {_name_of(wanted): stored.manifest.skipped}
        if stored.source is not None and wanted.source is not None:
            found[_name_of(wanted.source)] = stored.source.manifest.skipped
        return {name: {each.file: each.why for each in files} for name, files in found.items() if files}

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the weights behind the prior's rows, for the record."""
        return {} if self.features is None else dict(self.features.manifest["weights"])


def _name_of(stored: PreparedSet) -> str:
    return f"{stored.name}/{stored.split}"


def open_inputs(samples: Samples, features: FeatureSet | None, registry: Registry, data: Path) -> Inputs:
    """Opens both below the data folder. Raises DataError when one is missing or damaged, or they do not match."""
    return with_features(open_samples(samples, registry, data), features, data)


def with_features(opened: OpenSamples, features: FeatureSet | None, data: Path) -> Inputs:
    """Joins the rows of a feature set to open samples. Raises DataError as `open_inputs`."""
    if features is None:
        return Inputs(opened.samples, opened)
    rows = open_features(features, data)
    if rows.samples_manifest_sha256 != opened.manifest_sha256:
        raise DataError(
            "the prior vectors were made of other shards than those that are there now",
            where=str(features.folder(data)),
            hint="bench run SUITE computes them again",
        )
    return Inputs(opened.samples, opened, rows, features)


def scorable(opened: OpenSamples) -> np.ndarray:
    """The rows of a test set that have both a degraded and a clean image, which metrics compare; of a set without any
    clean image those that have a degraded one, which metrics without reference score."""
    wanted = opened.has_lq & opened.has_gt if opened.has_gt.any() else opened.has_lq
    found: np.ndarray = np.flatnonzero(wanted)
    return found


def not_pairs(opened: OpenSamples, title: str) -> tuple[str, ...]:
    """What readers of the values should know of a test set some of whose images have no counterpart; else nothing.

    Raises DataError for one of which no image can be scored.
    """
    whys = ("no clean image", ~opened.has_gt), ("no degraded image", ~opened.has_lq)
    told = " and ".join(f"{missing.sum()} have {why}" for why, missing in whys if missing.any())
    if not len(scorable(opened)):
        what = f"no image can be scored: of {len(opened)} images {told or 'none is there'}"
        raise DataError(what, where=f"test set {title}", hint="metrics compare pairs: give a test set that has both")
    if not opened.has_gt.any():
        return (f"{title}: it has no clean images, and is scored by metrics without reference alone",)
    return (f"{title}: of {len(opened)} images {told}, and are not scored",) if told else ()


def one_of_each(given: Iterable[Mapping[str, str]], where: str) -> dict[str, str]:
    """The digests of all, by name. Raises DataError when two of them are of one cell's weights and differ."""
    found: dict[str, str] = {}
    for name, sha256 in (item for each in given for item in each.items()):
        before, found[name] = found.get(name, sha256), sha256
        if before != sha256 and name.startswith(weights_of("")):  # parts of several kinds may share a name
            what = f"what it is made from mixes two states of {name}: {before[:12]}… and {sha256[:12]}…"
            raise DataError(what, where=where, hint="bench run SUITE makes the older ones again")
    return found


def refuse_mix(inputs: Inputs, record: RunRecord | None) -> None:
    """Raises DataError when a test set's vectors were made by other weights than those that the training saw."""
    if record is not None and record.training is not None:
        trained = record.provenance.weights
        common = {name: sha256 for name, sha256 in inputs.weights.items() if name in trained}
        one_of_each((trained, common), f"prior vectors of {inputs.samples.dataset.name}/{inputs.samples.split}")
