"""The prepared samples and cached prior vectors that a train or evaluate job reads, opened and checked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.api.sets import FeatureSet, PreparedSet
from harness.core.errors import DataError
from harness.data.features import FeatureRows, open_features
from harness.data.shards import ShardSet, open_set


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
        return digests if self.features is None else digests | {f"features of {name}": self.features.manifest_sha256}

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
            hint="remove this folder and run the same command again",
        )
    return Inputs(samples, shards, rows)
