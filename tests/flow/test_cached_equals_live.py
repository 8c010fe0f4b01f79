"""What the loader joins to a training batch is, bit for bit, what the prior gives for that batch, where it says so."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.api.batch import Batch
from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.api.sets import FeatureSet
from harness.cells.cell import RULES, Cell, Variant
from harness.cells.recipe import Recipe, Stage
from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.data.features import FeatureRows, open_features
from harness.data.prepare import prepare_set
from harness.data.samples import OpenSamples, open_samples
from harness.jobs import features as features_job
from harness.jobs.context import Context
from harness.models.assemble import build_model
from harness.models.priors import build_prior, encode_exact
from harness.models.weights import save_weights
from harness.parts.catalogue import REGISTRY
from harness.planning.job import FeaturesWork, Job
from harness.training.data import TrainLoader
from tests import tiny_clip

NSS = PartRef(name="nss")
GRID = {"crop": "grid", "patch": 64, "stride": 320}
SCALES = {torch.uint8: 255, torch.uint16: 65535, torch.float32: 1}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("run")
    return Context(Layout(folder, folder / "data"), REGISTRY)


def photos() -> PartRef:
    return PartRef(name="photos", digest=REGISTRY.load("dataset", "photos")().fingerprint())


def cell(
    prior: PartRef | None,
    task: str,
    source: Cell | None = None,
    *,
    features: str = "crop",
    views: int = 1,
    **recipe: Any,
) -> Cell:
    """A cell of PTG-RM with a prior, or of the backbone alone, over the grid of crops unless the recipe says others."""
    backbone = PartRef(
        name="nafnet",
        options={"width": 4, "enc_blk_nums": [1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1]},
    )
    variant = (
        Variant(refiner=PartRef(name="ptg_rm"), prior=prior, features=features, views=views) if prior else Variant()
    )
    degradation = declaration(REGISTRY, "task", task).traits.degradation
    drawn = declaration(REGISTRY, "degradation", degradation).traits.acts == "drawn"
    return Cell(
        task=PartRef(name=task, derived_from=PartRef(name=degradation, drawn=drawn)),
        train=photos(),
        backbone=backbone,
        variant=variant,
        recipe=Recipe(**(GRID | recipe)),
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


def cached(
    features: FeatureSet | None, context: Context, source: Cell | None = None
) -> tuple[OpenSamples, FeatureRows]:
    """Runs the jobs that training depends on; gives what they leave."""
    assert features is not None
    data = context.layout.data
    prepare_set(features.samples.stored, REGISTRY, data)
    for each in (*features.parents, features):
        features_job.run(Job(work=FeaturesWork(features=each, prior_source=source)), context)
    return open_samples(features.samples, REGISTRY, data), open_features(features, data)


def batches(subject: Cell, context: Context, source: Cell | None = None, *, stage: int = 0) -> Iterator[Batch]:
    opened, rows = cached(subject.train_features(stage), context, source)
    return iter(TrainLoader(opened, rows, subject.recipe, stage, seed=3))


def seen(batch: Batch) -> Tensor:
    """The degraded images as the network gets them."""
    pixels = batch.lq_BCHW.numpy().astype(np.float32) / np.float32(SCALES[batch.lq_BCHW.dtype])
    return torch.from_numpy(pixels)


@pytest.mark.parametrize("name", ["nss", "clip", "restoration"])
def test_crops_of_a_grid_have_the_live_vectors(name: str, context: Context, tmp_path: Path) -> None:
    ref, source = made(name, context, tmp_path)
    subject = cell(ref, "low_light", source)
    prior = build_prior(ref, REGISTRY, prior_source=source, layout=context.layout)
    found: set[bytes] = set()
    for batch in islice(batches(subject, context, source), 4):
        live_BD = encode_exact(prior, seen(batch))
        assert batch.prior_BD is not None
        assert batch.prior_BD.dtype == live_BD.dtype == torch.float32
        assert torch.equal(batch.prior_BD, live_BD)
        found |= {row.numpy().tobytes() for row in live_BD}
    # 32 crops of five photographs in eight orientations: a join that ignored which is which could not pass above.
    assert len(found) > 24


@pytest.mark.parametrize(
    "recipe",
    [
        {"augment": "flips"},
        {"augment": "flip", "patch": [48, 80]},
        {"resize": [128, 160]},
        {"patch": 448, "stride": 448, "pad": "reflect", "augment": "none"},
        {"patch": "whole", "stride": None, "batch": 1},
        {"patch": "whole", "stride": None, "resize": [96, 96]},
    ],
    ids=str,
)
def test_whatever_is_cut_by_a_grid_has_the_live_vectors(recipe: dict[str, Any], context: Context) -> None:
    """nss counts slopes to the right and to the left apart, so it tells the orientations from each other."""
    prior = build_prior(NSS, REGISTRY, prior_source=None, layout=context.layout)
    for batch in islice(batches(cell(NSS, "low_light", **({"batch": 4} | recipe)), context), 2):
        assert batch.prior_BD is not None
        assert torch.equal(batch.prior_BD, encode_exact(prior, seen(batch)))


def test_every_stage_has_the_live_vectors_of_its_own_grid(context: Context) -> None:
    subject = cell(NSS, "low_light", steps=8, stages=(Stage(steps=4), Stage(steps=4, patch=96, batch=2)))
    prior = build_prior(NSS, REGISTRY, prior_source=None, layout=context.layout)
    for stage, side in enumerate((64, 96)):
        batch = next(batches(subject, context, stage=stage))
        assert batch.lq_BCHW.shape[-1] == side
        assert torch.equal(batch.prior_BD, encode_exact(prior, seen(batch)))


def test_whole_images_have_the_live_vectors_in_every_orientation(context: Context) -> None:
    recipe: dict[str, Any] = {"crop": "random", "stride": None, "patch": "whole", "batch": 1}
    subject = cell(NSS, "low_light", features="image", views=8, **recipe)
    assert subject.train_features(0).orientations == 8
    prior = build_prior(NSS, REGISTRY, prior_source=None, layout=context.layout)
    found: set[tuple[str, bytes]] = set()
    for batch in islice(batches(subject, context), 12):
        assert torch.equal(batch.prior_BD, encode_exact(prior, seen(batch)))
        found.add((batch.keys[0], batch.prior_BD.numpy().tobytes()))
    assert len(found) > 5  # images come back in other orientations


@pytest.mark.parametrize("task", ["low_light", "gaussian_denoise"])
def test_a_random_crop_has_the_vector_of_its_whole_degraded_image(task: str, context: Context) -> None:
    subject = cell(NSS, task, features="image", crop="random", stride=None)
    opened, rows = cached(subject.train_features(0), context)
    assert (rows.orientations, len(rows)) == (1, 5)
    prior = build_prior(NSS, REGISTRY, prior_source=None, layout=context.layout)
    whole = {}
    for row, key in enumerate(opened.index.keys):
        picture = opened.picture(row)
        scaled = picture.astype(np.float32) / np.float32(255) if picture.dtype == np.uint8 else picture
        whole[key] = encode_exact(prior, torch.from_numpy(scaled.transpose(2, 0, 1).copy())[None])[0]
    assert len({row.numpy().tobytes() for row in whole.values()}) == 5
    for batch in islice(batches(subject, context), 2):
        assert batch.prior_BD is not None
        for key, row in zip(batch.keys, batch.prior_BD, strict=True):
            assert torch.equal(row, whole[key])
        assert not torch.equal(batch.prior_BD, encode_exact(prior, seen(batch)))


def test_under_image_a_new_patch_or_test_set_encodes_nothing_anew(context: Context) -> None:
    one, other = (cell(NSS, "low_light", features="image", crop="random", stride=None, patch=side) for side in (64, 96))
    assert one.train_features(0).folder(context.layout.data) == other.train_features(0).folder(context.layout.data)
    test = one.test_set(one.train).samples()
    assert one.test_features(test) == cell(NSS, "low_light").test_features(test)  # test images are whole for everybody
    folder = one.train_features(0).folder(context.layout.data)
    cached(one.train_features(0), context)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    cached(one.test_features(test), context)
    cached(other.train_features(0), context)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_noise_that_is_drawn_anew_has_the_vector_of_the_fixed_test_like_draw(context: Context) -> None:
    subject = cell(NSS, "gaussian_denoise", features="image", crop="random", stride=None)
    opened, rows = cached(subject.train_features(0), context)
    assert opened.noise is not None
    assert np.array_equal(opened.picture(2), opened.picture(2))
    again = [next(batches(subject, context)) for _ in range(2)]
    assert torch.equal(again[0].prior_BD, again[1].prior_BD)
    assert rows.manifest["features"]["samples"]["noise"]["name"] == "gaussian_noise"


def test_controls_read_the_rows_of_the_prior_they_control(context: Context) -> None:
    opened, true = cached(cell(NSS, "low_light").train_features(0), context)
    assert true.manifest["samples"] > 5
    crops = TrainLoader(opened, true, cell(NSS, "low_light").recipe, 0, seed=3)._streams[0].samples
    scenes = [opened.index.scenes[crops.row(number)] for number in range(len(crops))]
    scene = {tuple(true.row(number, n)): scenes[number] for number in range(len(crops)) for n in range(8)}
    for name in ("shuffled", "mean", "random"):
        of = NSS if name != "random" else None
        ref = PartRef(name=name, derived_from=of, options={} if of else {"dim": 36})
        _, rows = cached(cell(ref, "low_light").train_features(0), context)
        assert len(rows) == len(true) == 8 * len(crops)
        for number in range(len(crops)):
            got = tuple(rows.row(number, 5))
            if name == "shuffled":
                assert scene[got] != scenes[number]
            else:
                assert got not in scene


@pytest.mark.parametrize("policy", ["crop", "image"])
def test_the_mean_is_one_vector_for_train_and_test(policy: str, context: Context) -> None:
    recipe: dict[str, Any] = {} if policy == "crop" else {"crop": "random", "stride": None}
    train = cell(PartRef(name="mean", derived_from=NSS), "low_light", features=policy, **recipe)
    test = train.test_features(train.test_set(train.train).samples())
    rows = [cached(each, context)[1] for each in (train.train_features(0), test)]
    assert (rows[0].all() == rows[0].all()[0]).all()
    assert (rows[1].all() == rows[0].all()[0]).all()
    of_crops = cached(cell(NSS, "low_light", features=policy, augment="none", **recipe).train_features(0), context)[1]
    expected = of_crops.all().astype(np.float64).mean(0)
    np.testing.assert_allclose(rows[1].all()[0], expected / np.linalg.norm(expected), rtol=1e-6, atol=1e-7)


def test_rows_that_one_file_cannot_hold_go_into_several(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files hold rows up to a budget, and so does the memory of the job."""
    subject = cell(NSS, "low_light", augment="flip")
    _, expected = cached(subject.train_features(0), context)
    monkeypatch.setattr("harness.data.pictures.PIECE_BYTES", 4 * expected.dim * 2 * 7)
    other = Context(Layout(context.layout.out / "pieces", context.layout.out / "pieces" / "data"), REGISTRY)
    _, rows = cached(subject.train_features(0), other)
    counts = [shard["samples"] for shard in rows.manifest["shards"]]
    assert max(counts) == 7
    assert len(counts) > len(expected.manifest["shards"])
    assert np.array_equal(rows.all(), expected.all())
    assert np.array_equal(rows.row(9, 1), expected.row(9, 1))


def test_images_smaller_than_a_crop_of_the_grid_are_named(context: Context) -> None:
    with pytest.raises(DataError, match="smaller than the 448×448 pixels"):
        cached(cell(NSS, "low_light", patch=448, stride=448).train_features(0), context)


def test_a_finished_job_is_not_done_again_and_a_damaged_result_is(context: Context) -> None:
    features = cell(PartRef(name="random"), "low_light").train_features(0)
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
