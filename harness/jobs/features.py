"""The features job: encodes one prepared set with one prior, or derives its rows from another prior's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import numpy as np
import torch

from harness.api.prior import DerivedPrior, MapPrior, Prior
from harness.api.reference import ORIENTATIONS
from harness.api.sets import FeatureSet
from harness.core.errors import DataError
from harness.core.identity import file_sha256
from harness.data.features import FeatureRows, open_features, row_keys, write_features
from harness.data.orientation import orient
from harness.data.prepare import prepare_set
from harness.data.shards import ShardSet, open_set, to_float
from harness.jobs.context import Context
from harness.models.priors import build_prior, encode_exact, gives_maps
from harness.planning.job import FeaturesWork, Job

BATCH_PIXELS = 1 << 20
"""Pixels that go to a GPU at once; a CPU takes one image at a time whatever the batch."""


def run(job: Job, context: Context) -> None:
    """Writes the feature set of a FeaturesWork, unless it is there, whole, and of the current shards.

    Raises DataError when the shards, or the rows that a derived prior needs, are missing or damaged; MissingWeights
    when the prior's weights are.
    """
    work = job.work
    assert isinstance(work, FeaturesWork), work.kind
    features, data = work.features, context.layout.data
    shards = open_set(features.samples, data)
    if _is_current(features, shards, context):
        return
    shutil.rmtree(features.folder(data), ignore_errors=True)
    prior = build_prior(features.prior, context.registry, prior_source=work.prior_source, layout=context.layout)
    weights = _weights(work, context)
    device = torch.device("cuda" if torch.cuda.is_available() and job.run.gpus != 0 else "cpu")
    parents = [open_features(parent, data) for parent in features.parents]
    shape = None
    if gives_maps(features.prior, context.registry):
        shape = parents[0].shape if parents else cast(MapPrior, prior).shape
    if prior.traits.derived:
        weights |= {name: sha256 for parent in parents for name, sha256 in parent.manifest["weights"].items()}
        rows = _derived(cast(DerivedPrior, prior), features, shards, parents)
    elif features.policy == "image" and features.samples.tile is not None:
        rows = _of_images(cast(Prior, prior), features, shards, context, device)
    else:
        rows = _encoded(cast(Prior, prior), shards, ORIENTATIONS[features.augment], device)
    write_features(features, data, rows, samples_manifest_sha256=shards.manifest_sha256, weights=weights, shape=shape)


def _is_current(features: FeatureSet, shards: ShardSet, context: Context) -> bool:
    try:
        return open_features(features, context.layout.data).samples_manifest_sha256 == shards.manifest_sha256
    except DataError:
        return False


def _weights(work: FeaturesWork, context: Context) -> dict[str, str]:
    """Digest of the weights behind the vectors, by prior or cell name, for the manifest."""
    source, ref = work.prior_source, work.features.prior
    if source is not None:
        return {f"cell {source.id}": file_sha256(context.layout.final_weights(source.id))}
    return {ref.name: ref.digest} if ref.digest else {}


def _encoded(prior: Prior, shards: ShardSet, orientations: Sequence[int], device: torch.device) -> Iterator[np.ndarray]:
    """For every shard its rows, float32 [samples·orientations, D]."""
    images = (orient(to_float(sample.lq), number) for sample in shards.samples() for number in orientations)
    rows = (row for batch in _batches(images) for row in _encode(prior, batch, device))
    for count in _counts(shards):
        yield np.stack([next(rows) for _ in range(count * len(orientations))])


def _encode(prior: Prior, images: list[np.ndarray], device: torch.device) -> np.ndarray:
    lq_BCHW = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
    return encode_exact(prior, lq_BCHW).cpu().numpy()


def _batches(images: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Neighbours of one size, at most BATCH_PIXELS together (or one image)."""
    batch: list[np.ndarray] = []
    for image in images:
        full = batch and (len(batch) + 1) * image.shape[0] * image.shape[1] > BATCH_PIXELS
        if batch and (full or image.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def _counts(shards: ShardSet) -> list[int]:
    """Samples of every shard."""
    return [shard.samples for shard in shards.manifest.shards]


def _of_images(
    prior: Prior, features: FeatureSet, shards: ShardSet, context: Context, device: torch.device
) -> Iterator[np.ndarray]:
    """For every shard of tiles the rows of the whole images that they were cut from, float32 [samples, D].

    A degraded image does not depend on the tiles it is cut to (harness.data.prepare), so the set of whole images holds
    the very pixels that the tiles were cut from. It is prepared here if it does not exist yet.
    """
    whole = features.samples.model_copy(update={"tile": None, "stride": None})
    images = prepare_set(whole, context.registry, context.layout.data)
    vectors = np.concatenate(list(_encoded(prior, images, (0,), device)))
    place = {row.image: index for index, row in enumerate(images.rows)}
    rows = iter(shards.rows)
    for count in _counts(shards):
        yield vectors[[place[row.image] for row in islice(rows, count)]]


def _derived(
    prior: DerivedPrior, features: FeatureSet, shards: ShardSet, parents: list[FeatureRows]
) -> Iterator[np.ndarray]:
    """For every shard its rows of a control, float32 [samples·orientations, D]; `parents` as FeatureSet.parents."""
    orientations = features.orientations
    # Shots of one scene are as good as one image: a control must not get its own scene's vector either.
    images = [row.scene for row in shards.rows for _ in range(orientations)]
    names = [row.image if features.policy == "image" else row.key for row in shards.rows]
    keys = row_keys(names, orientations)
    rows = prior.derive(
        parents[0].all() if parents else None,
        # Upright rows only, so that train and test sets, which differ in orientations, get one and the same mean.
        parents[-1].all()[::orientations] if parents else None,
        keys,
        images,
    )
    if rows.shape[:1] != (len(keys),):
        raise DataError(
            f"{len(rows)} rows for {len(keys)} samples and orientations", where=f"prior {features.prior.name}"
        )
    ends = np.cumsum(_counts(shards)) * orientations
    yield from np.split(np.ascontiguousarray(rows, dtype=np.float32), ends[:-1])
