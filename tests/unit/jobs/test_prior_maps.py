"""Priors that give maps: cached, in their controls, in training as it goes on, and in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.core.errors import HarnessError
from harness.data.features import FeatureRows, open_features
from harness.jobs import evaluate, train
from harness.models.assemble import build_model
from harness.parts.catalogue import REGISTRY
from tests import tiny_clip
from tests.small_world import RECIPE, SmallWorld, low_light, prepare, refined_cell, small_cell

SHAPE = (24, 4, 4)


@pytest.fixture
def patches(tmp_path: Path) -> PartRef:
    options = {**tiny_clip.write(tmp_path / "clip"), "view": "squash", "tokens": "patches"}
    return PartRef(name="clip", options=options)


def cell(prior: PartRef, **changes: Any) -> Cell:
    """Three steps of a small PTG-RM that reads maps."""
    refiner = PartRef(name="ptg_rm", options={"ablation": "concat_2d", "width": 4, "long_blocks": 1})
    variant = Variant(refiner=refiner, prior=prior, **changes)
    recipe = RECIPE.model_copy(update={"steps": 3, "crop": "grid", "stride": 320})
    return small_cell(task=low_light(), variant=variant, recipe=recipe)


def rows(world: SmallWorld, of: Cell) -> FeatureRows:
    features = of.train_features(0)
    assert features is not None
    return open_features(features, world.layout.data)


def test_controls_have_the_shape_of_the_map_that_they_are_made_from(world: SmallWorld, patches: PartRef) -> None:
    true, shuffled, mean = (
        cell(prior)
        for prior in (
            patches,
            PartRef(name="shuffled", derived_from=patches),
            PartRef(name="mean", derived_from=PartRef(name="shuffled", derived_from=patches)),
        )
    )
    random = cell(PartRef(name="random", options={"dim": 24, "grid": 4}))
    for each in (shuffled, mean, random):
        prepare(world, each)
    found = [rows(world, each) for each in (true, shuffled, mean, random)]
    assert [each.prior_dim for each in found] == [SHAPE] * 4
    assert [each.dim for each in found] == [384] * 4
    own = {row.tobytes() for row in found[0].all()}
    assert all(row.tobytes() in own for row in found[1].all())
    for made in found:
        assert np.allclose(np.linalg.norm(made.all(), axis=1), 1, atol=1e-5)
    vectors = rows(world, refined_cell())
    assert (vectors.prior_dim, vectors.shape) == (8, None)


def test_a_map_is_trained_on_and_evaluated_cached_and_live(world: SmallWorld, patches: PartRef) -> None:
    torch.set_num_threads(1)
    weights = []
    for policy in ("crop", "live"):
        subject = cell(patches, features=policy)
        prepare(world, subject)
        train.run(world.train_job(subject), world.context)
        weights.append(load_file(world.layout.final_weights(subject.id)))
        evaluate.run(world.evaluate_job(subject), world.context)
        assert {row["metric"] for row in world.rows(subject)} == {"psnr", "ssim"}
    assert weights[0]["refiner.join.prior.0.weight"].shape == (256, 24)
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_refiner_of_vectors_gets_no_maps() -> None:
    subject = small_cell(variant=Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss")))
    with pytest.raises(HarnessError, match="reads vectors"):
        build_model(subject, REGISTRY, SHAPE)
    assert build_model(subject, REGISTRY, 24).prior_shape is None
    assert build_model(cell(PartRef(name="nss")), REGISTRY, SHAPE).prior_shape == SHAPE
