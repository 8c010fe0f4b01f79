"""Every built-in data set keeps the contract."""

from __future__ import annotations

from typing import Any

from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.testing.dataset import DatasetContract


class TestPhotos(DatasetContract):
    def make(self) -> Any:
        return Photos()


def test_every_data_set_is_here() -> None:
    assert {REGISTRY.load("dataset", name) for name in REGISTRY.names("dataset")} == {Photos}
