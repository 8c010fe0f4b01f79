"""The prepared samples and cached prior vectors that a train or evaluate job reads, opened and checked together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.api.sets import FeatureSet, PreparedSet
from harness.core.errors import DataError
from harness.data.features import FeatureRows, open_features
from harness.data.shards import ShardSet, open_set
from harness.records.model import RunRecord, vectors_of, weights_of


@dataclass(frozen=True)
class Inputs:
    """One open set, with its prior rows where there are any."""

    samples: PreparedSet
    shards: ShardSet
    features: FeatureRows | None = None

    @property
    def data(self) -> dict[str, str]:
        """Digests of the manifests read, for the record."""
        name = f"{self.samples.name}/{self.samples.split}"
        digests = {name: self.shards.manifest_sha256}
        return digests if self.features is None else digests | {vectors_of(name): self.features.manifest_sha256}

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the weights behind the prior's rows, for the record."""
        return {} if self.features is None else dict(self.features.manifest["weights"])


def open_inputs(samples: PreparedSet, features: FeatureSet | None, data: Path) -> Inputs:
    """Opens both below the data folder. Raises DataError when one is missing or damaged, or they do not match."""
    shards = open_set(samples, data)
    if features is None:
        return Inputs(samples, shards)
    rows = open_features(features, data)
    if rows.samples_manifest_sha256 != shards.manifest_sha256:
        raise DataError(
            "the prior vectors were made of other shards than those that are there now",
            where=str(features.folder(data)),
            hint="bench run SUITE computes them again",
        )
    return Inputs(samples, shards, rows)


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
