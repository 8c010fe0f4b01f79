"""Files of weights that a user exchanges between reading the suite and running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.jobs.run import do_job
from harness.parts.catalogue import REGISTRY
from harness.planning.job import FeaturesWork, TrainWork
from harness.weights.files import needed_files, weights_digest
from tests.small_world import SmallWorld, refined_cell


@pytest.mark.parametrize("policy", ["image", "live"])
def test_a_users_file_that_was_exchanged_is_refused(world: SmallWorld, tmp_path: Path, policy: str) -> None:
    file, config = tmp_path / "clip.safetensors", tmp_path / "clip.json"
    file.write_bytes(b"weights"), config.write_text("{}")
    files = {"checkpoint": str(file), "config": str(config)}
    digest = weights_digest(needed_files(REGISTRY.load("prior", "clip").traits, files, "prior clip"))
    cell = refined_cell(PartRef(name="clip", files=files, digest=digest), features=policy)
    rows = cell.train_features(0)
    job = world.job(FeaturesWork(features=rows) if rows else TrainWork(cell=cell))
    file.write_bytes(b"WEIGHTS")
    with pytest.raises(DataError, match="prior clip: changed since the suite was read") as caught:
        do_job(job, world.layout)
    assert caught.value.kind == "weights"
    assert str(file) in caught.value.where
    assert digest != file_sha256(file)
