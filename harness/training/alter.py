"""Changes of whole batches in training: noise, grey, size, mixing, brightness.

What is drawn depends on the cell's seed, the step and a sample's place in the batch alone: not on the network, the
prior or the number of processes. So all variants of a backbone meet equal batches, and a resumed training needs no
state.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from harness.api.batch import Batch
from harness.cells.patches import Patch, Sides, sides_of
from harness.cells.recipe import Darken, Grain, Mixup, Recipe, Scale
from harness.core.errors import HarnessError
from harness.core.identity import seed as named_seed
from harness.parts.ops.exchange import gathered
from harness.training.pixels import scaled

GREY = (0.2126, 0.7152, 0.07228)
"""Weights of red, green and blue in IFAN's grey, whose sum is 1.00008."""


@dataclass(frozen=True)
class Alteration:
    """What a recipe does to the batches of one rank, which are part `rank` of `world` equal parts of every batch.

    `patch`: what the network sees, pixels; the crops of a batch may be larger (harness.cells.recipe.Scale).
    """

    recipe: Recipe
    seed: int
    patch: Patch
    rank: int = 0
    world: int = 1
    gather: Callable[[Tensor], Sequence[Tensor]] = gathered
    """A tensor of every process, in the order of ranks."""

    def __call__(self, batch: Batch, step: int) -> tuple[Batch, Tensor]:
        """The batch as losses see it, and the degraded images that the network sees, in optimizer step `step`.

        Changed images are float32, white at 1; a batch that nothing changes stays as it is. Prior rows are left out:
        they belong to the images before the change. All processes take their steps together (collective).
        """
        recipe = self.recipe
        if not recipe.alters_inputs:
            return batch, batch.lq_BCHW
        gt_BCHW, clean_BCHW = (None if each is None else scaled(each) for each in (batch.gt_BCHW, batch.clean_BCHW))
        lq_BCHW, gt_BCHW = self._samples("paired", step, scaled(batch.lq_BCHW), gt_BCHW)
        clean_BCHW = None if clean_BCHW is None else self._samples("clean", step, clean_BCHW, None)[0]
        if recipe.mixup is not None and step > recipe.mixup.after:
            lq_BCHW, gt_BCHW = self._mixed(recipe.mixup, step, lq_BCHW, gt_BCHW)
        seen_BCHW = lq_BCHW
        if recipe.darken is not None:
            divisors = [_divisor(recipe.darken, random) for random in self._randoms("darken", step, len(lq_BCHW))]
            seen_BCHW = lq_BCHW / lq_BCHW.new_tensor(divisors)[:, None, None, None]
        return replace(batch, lq_BCHW=lq_BCHW, gt_BCHW=gt_BCHW, clean_BCHW=clean_BCHW, prior_BD=None), seen_BCHW

    def _samples(
        self, purpose: str, step: int, lq_BCHW: Tensor, gt_BCHW: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Grain, grey and size, in IFAN's order; both images of a sample change alike."""
        recipe = self.recipe
        if (recipe.grain, recipe.grey, recipe.scale) == (None, None, None):
            return lq_BCHW, gt_BCHW
        changed = [
            _changed(list(images), recipe, sides_of(self.patch), random)
            for *images, random in zip(
                *([lq_BCHW] if gt_BCHW is None else [lq_BCHW, gt_BCHW]),
                self._randoms(purpose, step, len(lq_BCHW)),
                strict=True,
            )
        ]
        lq_BCHW, *others = (torch.stack(images) for images in zip(*changed, strict=True))
        return lq_BCHW, others[0] if others else None

    def _randoms(self, purpose: str, step: int, images: int) -> list[np.random.Generator]:
        """A generator for each sample of the rank, by its place in the whole batch."""
        places = range(self.rank * images, (self.rank + 1) * images)
        return [np.random.default_rng(named_seed("alter", purpose, self.seed, step, place)) for place in places]

    def _mixed(self, mixup: Mixup, step: int, lq_BCHW: Tensor, gt_BCHW: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Each group of the whole batch mixed with a generator of its own.

        Where a group is shared by processes, all of them exchange their images.
        """
        share = len(lq_BCHW)
        weights, others = _mixture(mixup, self.seed, step, share * self.world)
        own = slice(self.rank * share, (self.rank + 1) * share)
        apart = bool((others // share != torch.arange(len(others)) // share).any())
        weights_B111, mixed = weights[own, None, None, None], bool((weights[own] != 1).any())

        def mix(images_BCHW: Tensor) -> Tensor:
            whole = torch.cat([*self.gather(images_BCHW)]) if apart else images_BCHW
            first = 0 if apart else own.start
            return torch.lerp(whole[others[own] - first], images_BCHW, weights_B111) if mixed else images_BCHW

        if not (mixed or apart):
            return lq_BCHW, gt_BCHW
        return mix(lq_BCHW), None if gt_BCHW is None else mix(gt_BCHW)


def _mixture(mixup: Mixup, seed: int, step: int, images: int) -> tuple[Tensor, Tensor]:
    """For every sample of a whole batch its weight, and the place of the one that it is mixed with; 1 for samples that
    are left as they are."""
    weights, others = torch.ones(images), torch.arange(images)
    size = images // mixup.groups
    for group in range(mixup.groups):
        random = np.random.default_rng(named_seed("mixup", seed, step, group))
        if random.random() < mixup.chance:
            part = slice(group * size, (group + 1) * size)
            drawn = random.beta(mixup.alpha, mixup.alpha, size if mixup.per == "sample" else 1)
            weights[part] = torch.from_numpy(drawn).float()
            others[part] = group * size + torch.from_numpy(random.permutation(size))
    return weights, others


def _changed(images: list[Tensor], recipe: Recipe, patch: Sides | None, random: np.random.Generator) -> list[Tensor]:
    """The images of one sample, C×H×W, with grain, made grey, and cut. Each of these draws its own numbers anyway.

    Input and truth may differ in channels, as both views of a dual-pixel camera and the one sharp image do.
    """
    grain_coin, grain_share, grey_coin, *cut = random.random(7).tolist()
    if recipe.grain is not None and grain_coin < recipe.grain.chance:
        images = _grained(images, recipe.grain, grain_share, random)
    if recipe.grey is not None and grey_coin < recipe.grey:
        images = [grey(image_CHW) for image_CHW in images]
    if recipe.scale is not None:
        assert patch is not None, "whole images have no size to be cut to"
        images = [_cut(image_CHW, recipe.scale, patch, cut) for image_CHW in images]
    return images


def _grained(images: list[Tensor], grain: Grain, share: float, random: np.random.Generator) -> list[Tensor]:
    """The images of one sample with noise on the first, or on all of them. `share`: uniform number for its strength.

    Raises HarnessError for a truth of other channels than its input, which cannot have the same noise.
    """
    first, *others = images
    if grain.truth and any(other.shape != first.shape for other in others):
        what = f"the noise of an input of {len(first)} channels does not fit a truth of {len(others[0])}"
        raise HarnessError(what, where="recipe.grain.truth", hint="truth: false")
    least = grain.sigma if grain.least is None else grain.least
    drawn_CHW = random.normal(0.0, least + (grain.sigma - least) * share, tuple(first.shape))
    noise_CHW = torch.from_numpy(drawn_CHW).float()
    noisy = images if grain.truth else [first]
    return [*((image_CHW + noise_CHW).clamp(0, 1) for image_CHW in noisy), *images[len(noisy) :]]


def grey(image_CHW: Tensor) -> Tensor:
    """An image in [0, 1] as IFAN makes it grey: the luminance of values that are taken as linear, encoded as sRGB.

    github.com/codeslake/IFAN, data_loader/utils.py, `color_to_gray`. Bright ones exceed 1 by 4e-5. Both views of a
    dual-pixel camera (6 channels) become grey each; an image of one channel is grey already, and stays as it is.
    """
    if len(image_CHW) == 1:
        return image_CHW
    views_VCHW = image_CHW.unflatten(0, (-1, len(GREY)))
    linear = (views_VCHW * image_CHW.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
    return encoded.expand_as(views_VCHW).flatten(0, 1)


def _cut(image_CHW: Tensor, scale: Scale, patch: Sides, drawn: list[float]) -> Tensor:
    """A patch of an image, which may be made smaller before. `drawn`: uniform numbers: coin, factor, row, column."""
    coin, share, *shares = drawn
    factor = scale.least + (1 - scale.least) * share if coin < scale.chance else 1.0
    for axis, (length, place) in enumerate(zip(patch, shares, strict=True), start=-2):
        whole = image_CHW.shape[axis]
        side = max(length, int(whole * factor))
        start = int(place * (side - length + 1))
        if side == whole:
            image_CHW = image_CHW.narrow(axis, start, length)
        else:
            weights = area_weights(whole, side)[start : start + length].to(image_CHW.dtype)
            image_CHW = weights @ image_CHW if axis == -2 else image_CHW @ weights.T
    return image_CHW


def area_weights(whole: int, side: int) -> Tensor:
    """The side×whole matrix that makes `side` pixels of `whole`: each the mean of the area that it covers."""
    edges = np.arange(side + 1) * (whole / side)
    pixels = np.arange(whole)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return torch.from_numpy(overlap.clip(min=0) * (side / whole))


def _divisor(darken: Darken, random: np.random.Generator) -> float:
    """github.com/VITA-Group/EnlightenGAN, data/unaligned_dataset.py: hundredths, both ends included."""
    coin = random.random()
    least, most = round(100 * darken.least), round(100 * darken.most)
    return float(random.integers(least, most + 1)) / 100 if coin < darken.chance else 1.0
