"""What the loader joins to a training batch is, bit for bit, what the prior gives for that batch."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from harness.api.batch import Batch
from harness.api.declaration import declaration
from harness.api.reference import Augment, PartRef
from harness.api.sets import FeatureSet
from harness.cells.cell import RULES, Cell, Variant
from harness.cells.recipe import Recipe
from harness.core.paths import Layout
from harness.data.features import open_features
from harness.data.prepare import prepare_set
from harness.data.shards import ShardSet
from harness.jobs import features as features_job
from harness.jobs.context import Context
from harness.models.assemble import build_model
from harness.models.priors import build_prior, encode_exact
from harness.models.weights import save_weights
from harness.parts.catalogue import REGISTRY
from harness.planning.job import FeaturesWork, Job
from harness.training.data import TrainLoader
from tests import tiny_clip

PATCH, STRIDE = 64, 224


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("run")
    return Context(Layout(folder, folder / "data"), REGISTRY)


def photos() -> PartRef:
    return PartRef(name="photos", digest=REGISTRY.load("dataset", "photos")().fingerprint())


def cell(prior: PartRef | None, task: str, source: Cell | None = None, **recipe: object) -> Cell:
    backbone = PartRef(
        name="nafnet",
        options={"width": 4, "enc_blk_nums": [1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1]},
    )
    variant = Variant(refiner=PartRef(name="ptg_rm"), prior=prior) if prior else Variant()
    return Cell(
        task=PartRef(name=task, derived_from=PartRef(name=declaration(REGISTRY, "task", task).traits.degradation)),
        train=photos(),
        backbone=backbone,
        variant=variant,
        recipe=Recipe(patch=PATCH, stride=STRIDE, **recipe),
        prior_source=source,
        rules=RULES,
    )


def made(name: str, context: Context, tmp_path: Path) -> tuple[PartRef, Cell | None]:
    """A prior's reference, as a suite resolves it, with what it needs on disk."""
    if name == "clip":
        return PartRef(name="clip", options=tiny_clip.write(tmp_path)), None
    if name == "restoration":
        source = cell(None, "derain")
        network = build_model(source, REGISTRY, None)
        save_weights(network, context.layout.checkpoints(source.id) / "final.safetensors")
        return PartRef(name="restoration", digest=source.id), source
    return PartRef(name=name), None


def cached(features: FeatureSet, context: Context, source: Cell | None = None) -> ShardSet:
    """Runs the jobs that training depends on; gives the shards."""
    shards = prepare_set(features.samples, REGISTRY, context.layout.data)
    features_job.run(Job(work=FeaturesWork(features=features, prior_source=source)), context)
    return shards


def batches(shards: ShardSet, features: FeatureSet, context: Context, augment: Augment) -> list[Batch]:
    rows = open_features(features, context.layout.data)
    loader = TrainLoader(shards, rows, batch=8, seed=3, augment=augment)
    return list(islice(iter(loader), 4))


@pytest.mark.parametrize("task", ["low_light", "gaussian_denoise"])
@pytest.mark.parametrize("name", ["nss", "clip", "restoration"])
def test_cached_equals_live(name: str, task: str, context: Context, tmp_path: Path) -> None:
    ref, source = made(name, context, tmp_path)
    features = cell(ref, task, source).train_features()
    assert features is not None
    assert features.orientations == 8
    shards = cached(features, context, source)
    prior = build_prior(ref, REGISTRY, prior_source=source, layout=context.layout)
    assert not prior.traits.derived
    seen: set[bytes] = set()
    for batch in batches(shards, features, context, "dihedral"):
        live_BD = encode_exact(prior, batch.lq_BCHW)
        assert batch.prior_BD is not None
        assert batch.prior_BD.dtype == live_BD.dtype == torch.float32
        assert torch.equal(batch.prior_BD, live_BD)
        seen |= {row.numpy().tobytes() for row in live_BD}
    # 32 tiles of five photographs in eight orientations: a join that ignored which is which could not pass above.
    assert len(seen) > 24


def test_cached_equals_live_in_the_four_flips(context: Context) -> None:
    """nss counts slopes to the right and to the left apart, so it tells the orientations from each other."""
    features = cell(PartRef(name="nss"), "low_light", augment="flips").train_features()
    assert features is not None
    assert features.orientations == 4
    shards = cached(features, context)
    prior = build_prior(PartRef(name="nss"), REGISTRY, prior_source=None, layout=context.layout)
    for batch in batches(shards, features, context, "flips"):
        assert batch.prior_BD is not None
        assert torch.equal(batch.prior_BD, encode_exact(prior, batch.lq_BCHW))


def test_the_image_policy_gives_every_tile_the_vector_of_its_whole_degraded_image(context: Context) -> None:
    ref = PartRef(name="nss")
    variant = Variant(refiner=PartRef(name="ptg_rm"), prior=ref, features="image")
    subject = cell(ref, "low_light").model_copy(update={"variant": variant})
    features = subject.train_features()
    assert features is not None
    shards = cached(features, context)
    whole = prepare_set(
        features.samples.model_copy(update={"tile": None, "stride": None}), REGISTRY, context.layout.data
    )
    prior = build_prior(ref, REGISTRY, prior_source=None, layout=context.layout)
    expected = {
        sample.image: encode_exact(prior, torch.from_numpy(sample.lq / 255).float().permute(2, 0, 1)[None])[0]
        for sample in whole.samples()
    }
    image = {row.key: row.image for row in shards.rows}
    assert len(expected) == 5
    for batch in batches(shards, features, context, "dihedral"):
        assert batch.prior_BD is not None
        for key, row in zip(batch.keys, batch.prior_BD, strict=True):
            torch.testing.assert_close(row, expected[image[key]], rtol=0, atol=1e-5)


def test_controls_read_the_rows_of_the_prior_they_control(context: Context) -> None:
    inner = cell(PartRef(name="nss"), "low_light").train_features()
    assert inner is not None
    shards = cached(inner, context)
    true = open_features(inner, context.layout.data)
    scene = {tuple(true.row(row.shard, row.position, n)): row.scene for row in shards.rows for n in range(8)}
    for name in ("shuffled", "mean", "random"):
        of = PartRef(name="nss") if name != "random" else None
        ref = PartRef(name=name, derived_from=of, options={} if of else {"dim": 36})
        features = cell(ref, "low_light").train_features()
        assert features is not None
        cached(features, context)
        rows = open_features(features, context.layout.data)
        assert len(rows) == len(true) == 8 * len(shards)
        for row in shards.rows:
            got = tuple(rows.row(row.shard, row.position, 5))
            if name == "shuffled":
                assert scene[got] != row.scene
            else:
                assert got not in scene


def test_the_mean_is_one_vector_for_train_and_test(context: Context) -> None:
    train = cell(PartRef(name="mean", derived_from=PartRef(name="nss")), "low_light")
    features, test = train.train_features(), train.test_features(train.test_set(train.train))
    assert features is not None
    assert test is not None
    for parent in (*features.parents, *test.parents):
        cached(parent, context)
    cached(features, context)
    cached(test, context)
    rows = [open_features(each, context.layout.data).all() for each in (features, test)]
    assert (rows[0] == rows[0][0]).all()
    assert (rows[1] == rows[0][0]).all()


def test_a_finished_job_is_not_done_again_and_a_damaged_result_is(context: Context) -> None:
    features = cell(PartRef(name="random"), "low_light").train_features()
    assert features is not None
    cached(features, context)
    folder = features.folder(context.layout.data)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    cached(features, context)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    damaged = folder / "000000.safetensors"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    cached(features, context)
    assert damaged.read_bytes() == content
