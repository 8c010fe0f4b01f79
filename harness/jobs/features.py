"""The features job: encodes the pictures of one set with one prior, or derives its rows from another prior's."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from harness.api.prior import DerivedPrior, MapPrior, Prior
from harness.api.sets import FeatureSet
from harness.core.beat import beat
from harness.core.damage import forget_damage, held, set_aside, sweep
from harness.core.errors import Damaged
from harness.core.guests import fault
from harness.core.memory import memory_told
from harness.data.features import FeatureRows, Piece, open_features, row_keys, write_features
from harness.data.pictures import Pictures
from harness.data.samples import OpenSamples, open_samples
from harness.data.shards import to_float
from harness.jobs.context import Context
from harness.models.priors import build_prior, encode_exact, gives_maps, width_of
from harness.models.upstream import sound_weights
from harness.parts.guard import called, check_derived
from harness.planning.job import FeaturesWork, Job
from harness.records.model import weights_of

log = logging.getLogger(__name__)

BATCH_PIXELS = 1 << 20
"""Pixels that go to a GPU at once; a CPU takes one image at a time whatever the batch."""

ROUNDING = 1e-3
"""What may differ between two vectors of one image on a GPU, as a share of the largest number."""


def run(job: Job, context: Context) -> None:
    """Writes the feature set of a FeaturesWork, unless it is there, whole, and of the current shards and weights.

    One that is there and is damaged or of others is set aside, and is back in its place when this fails; two runs that
    want the same set do not make it both. Raises DataError when the shards, the rows that a derived prior needs, or the
    weights of its network are missing or damaged, or when the set that is there cannot be read; MissingWeights when the
    prior's weights are missing.
    """
    work = job.work
    assert isinstance(work, FeaturesWork), work.kind
    features, data = work.features, context.layout.data
    opened = open_samples(features.samples, context.registry, data)
    parents = [open_features(parent, data) for parent in features.parents]
    weights = _weights(work, parents, context)
    folder = features.folder(data)
    if _is_current(features, opened, parents, weights, data):
        return
    with held(folder):
        sweep(folder)
        if _is_current(features, opened, parents, weights, data):  # another run may have made it since
            return
        with set_aside(folder):
            _make(job, work, opened, parents, weights, context)


def _make(
    job: Job,
    work: FeaturesWork,
    opened: OpenSamples,
    parents: Sequence[FeatureRows],
    weights: Mapping[str, str],
    context: Context,
) -> None:
    features, data = work.features, context.layout.data
    prior = build_prior(features.prior, context.registry, prior_source=work.prior_source, layout=context.layout)
    device = torch.device("cuda" if torch.cuda.is_available() and job.run.gpus != 0 else "cpu")
    shape = None
    if gives_maps(features.prior, context.registry):
        shape = parents[0].shape if parents else cast(MapPrior, prior).shape
    pictures = Pictures(features, opened)
    if prior.traits.derived:
        pieces = _derived(cast(DerivedPrior, prior), features, pictures, parents)
    else:
        opened.check_noise()
        pieces = _encoded(cast(Prior, prior), pictures, features.orientations, device)
    write_features(
        features,
        data,
        pieces,
        samples_manifest_sha256=opened.manifest_sha256,
        weights=weights,
        parents=[parent.manifest_sha256 for parent in parents],
        shape=shape,
    )


def _is_current(
    features: FeatureSet,
    opened: OpenSamples,
    parents: Sequence[FeatureRows],
    weights: Mapping[str, str],
    data: Path,
) -> bool:
    """Whether the vectors are there, whole, and of what they would be made of now."""
    folder = features.folder(data)
    try:
        found = open_features(features, data)
    except Damaged as error:
        log.warning("to be made: %s", error)
        return False
    forget_damage(folder)
    return (
        found.samples_manifest_sha256 == opened.manifest_sha256
        and found.manifest["weights"] == weights
        and found.manifest.get("parents", []) == [parent.manifest_sha256 for parent in parents]
    )


def _weights(work: FeaturesWork, parents: Sequence[FeatureRows], context: Context) -> dict[str, str]:
    """Digests of the weights behind the vectors, by prior or cell name, for the manifest."""
    source, ref = work.prior_source, work.features.prior
    if source is not None:
        return {weights_of(source.id): sound_weights(source, context.layout)}
    own = {ref.name: ref.digest} if ref.digest else {}
    return own | {name: sha256 for parent in parents for name, sha256 in parent.manifest["weights"].items()}


def _encoded(prior: Prior, pictures: Pictures, orientations: int, device: torch.device) -> Iterator[Piece]:
    """The rows of every file, of which one is held at a time.

    The first images are encoded once more at the end. Raises HarnessError when their rows are others then: a row is of
    its image alone, whatever came before.
    """
    repeat = _Repeat(prior, device, width_of(prior))
    rows = (row for batch in _batches(iter(pictures)) for row in repeat.encode(batch))
    pieces = pictures.pieces(repeat.dim)
    for number, samples in enumerate(pieces, start=1):
        found = np.stack([next(rows) for _ in range(len(samples) * orientations)])
        if number == len(pieces):
            repeat.check()
        yield Piece(samples, found)


def check_steady(prior: Prior, image: np.ndarray, device: torch.device) -> None:
    """Raises HarnessError for a prior that gives one image (H×W×C, as pictures are) two vectors.

    Before a training that asks it for vectors as it goes, and would be worth nothing.
    """
    repeat = _Repeat(prior, device, width_of(prior))
    repeat.encode([to_float(image)])
    repeat.check("gives one image two vectors")


class _Repeat:
    """A prior, and the first images that it encoded, for a look whether it still does so."""

    def __init__(self, prior: Prior, device: torch.device, dim: int) -> None:
        self.prior, self.device, self.dim = prior, device, dim
        self._first: tuple[list[np.ndarray], np.ndarray] | None = None

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        rows = _encode(self.prior, images, self.device, self.dim)
        if self._first is None:
            seen = len(images) if self.device.type == "cuda" else 1  # a batch of another size rounds otherwise there
            self._first = images[:seen], rows[:seen]
        return rows

    def check(self, what: str = "gives the first image another vector after the others than before them") -> None:
        """Raises HarnessError when the first rows have changed: at all on a CPU, beyond rounding on a GPU."""
        if self._first is None:
            return
        images, before = self._first
        again = _encode(self.prior, images, self.device, self.dim)
        slack = ROUNDING * float(np.abs(before).max(initial=0.0)) if self.device.type == "cuda" else 0.0
        if np.abs(again.astype(np.float64) - before).max(initial=0.0) > slack:
            hint = "encode depends on its image alone: no counters, running statistics or random numbers"
            raise fault(self.prior, what, hint)


def _encode(prior: Prior, images: list[np.ndarray], device: torch.device, dim: int) -> np.ndarray:
    beat()
    height, width = images[0].shape[:2]
    told = f"it saw {len(images)} images of height {height} and width {width}"
    with memory_told(told, where=f"prior {type(prior).__name__}"):
        lq_BCHW = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
        return encode_exact(prior, lq_BCHW, dim).cpu().numpy()


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


def _derived(
    prior: DerivedPrior, features: FeatureSet, pictures: Pictures, parents: Sequence[FeatureRows]
) -> Iterator[Piece]:
    """The rows of every file of a control; `parents` as FeatureSet.parents."""
    orientations = features.orientations
    # Shots of one scene are as good as one image: a control must not get its own scene's vector either.
    images = [scene for scene in pictures.scenes for _ in range(orientations)]
    keys = row_keys(pictures.keys, orientations)
    own = parents[0].all() if parents else None
    # Upright rows only, so that train and test sets, which differ in orientations, get one and the same mean.
    train = parents[-1].all()[:: parents[-1].orientations] if parents else None
    with called(prior):
        rows = prior.derive(own, train, list(keys), images)
    check_derived(prior, rows, len(keys), own.shape[1] if own is not None else None)
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    start = 0
    for samples in pictures.pieces(rows.shape[1]):
        after = start + len(samples) * orientations
        yield Piece(samples, rows[start:after])
        start = after
