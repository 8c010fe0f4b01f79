"""What recipes do to batches: mixing, grain, grey, size and brightness, against numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.batch import Batch
from harness.cells.recipe import Darken, Grain, Mixup, Recipe, Scale
from harness.core.errors import HarnessError
from harness.core.identity import seed
from harness.data.shards import to_float
from harness.training.alter import Alteration, area_weights, grey


def batch(images: int = 6, side: int = 8) -> Batch:
    random = torch.Generator().manual_seed(0)
    lq, gt = torch.rand(2, images, 3, side, side, generator=random)
    return Batch(lq, gt, None, [str(number) for number in range(images)])


def part(whole: Batch, rank: int, world: int) -> Batch:
    """What one of several processes has of a batch."""
    share = len(whole.keys) // world
    rows = slice(rank * share, (rank + 1) * share)
    assert whole.gt_BCHW is not None
    return Batch(whole.lq_BCHW[rows], whole.gt_BCHW[rows], None, whole.keys[rows])


def alter(given: Batch, step: int = 1, *, number: int = 3, **recipe: Any) -> Batch:
    altered, seen = Alteration(Recipe(**recipe), number, given.lq_BCHW.shape[-1])(given, step)
    assert torch.equal(seen, altered.lq_BCHW)
    return altered


def alter_shares(whole: Batch, world: int, step: int = 1, **recipe: Any) -> Batch:
    """What several processes make of a batch together. They exchange images as they are: nothing else changes them."""
    assert whole.gt_BCHW is not None
    shares = []
    for rank in range(world):
        own = part(whole, rank, world)

        def gather(images: torch.Tensor, own: Batch = own) -> Sequence[torch.Tensor]:
            of = whole.lq_BCHW if torch.equal(images, own.lq_BCHW) else whole.gt_BCHW
            assert of is not None
            return of.chunk(world)

        shares.append(Alteration(Recipe(**recipe), 3, own.lq_BCHW.shape[-1], rank, world, gather)(own, step)[0])
    gt = torch.cat([images for each in shares if (images := each.gt_BCHW) is not None])
    return replace(whole, lq_BCHW=torch.cat([each.lq_BCHW for each in shares]), gt_BCHW=gt)


def drawn(mixup: Mixup, step: int, group: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(weights, order) of a group; weights of one where it is left as it is."""
    random = np.random.default_rng(seed("mixup", 3, step, group))
    if random.random() >= mixup.chance:
        return np.ones(size), np.arange(size)
    weights = random.beta(mixup.alpha, mixup.alpha, size if mixup.per == "sample" else 1)
    return np.broadcast_to(weights, size), random.permutation(size)


def mixed(images: torch.Tensor, weights: np.ndarray, order: np.ndarray) -> np.ndarray:
    w, x = weights[:, None, None, None], images.numpy().astype(np.float64)
    return w * x + (1 - w) * x[order]


def assert_is(found: torch.Tensor | None, expected: np.ndarray) -> None:
    assert found is not None
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_number_mixes_half_of_the_batches_with_one_weight() -> None:
    given, left = batch(), 0
    for step in range(1, 41):
        weights, order = drawn(Mixup(alpha=1.2), step, 0, 6)
        result = alter(given, step, mixup=1.2)
        left += bool((weights == 1).all())
        assert len(set(weights)) == 1
        assert_is(result.lq_BCHW, mixed(given.lq_BCHW, weights, order))
        assert_is(result.gt_BCHW, mixed(given.gt_BCHW, weights, order))  # type: ignore[arg-type]
    assert 12 < left < 28


def test_every_batch_with_a_weight_each_from_a_step_on() -> None:
    """As MPRNet and Uformer: Denoising/train.py, `if epoch>5`."""
    mixup, given = Mixup(alpha=0.6, chance=1.0, per="sample", after=2), batch()
    for step in (1, 2):
        assert torch.equal(alter(given, step, mixup=mixup).lq_BCHW, given.lq_BCHW)
    for step in (3, 4, 5):
        weights, order = drawn(mixup, step, 0, 6)
        assert len(set(weights)) == 6
        assert_is(alter(given, step, mixup=mixup).gt_BCHW, mixed(given.gt_BCHW, weights, order))  # type: ignore[arg-type]


def test_groups_are_batches_of_their_own_whatever_the_number_of_processes() -> None:
    """As eight GPUs of Restormer: each throws a coin, draws a weight and an order for its share."""
    mixup, given = Mixup(alpha=1.2, groups=4), batch(12)
    for step in range(1, 9):
        expected = []
        for group in range(4):
            rows = given.lq_BCHW[3 * group : 3 * group + 3]
            expected.append(mixed(rows, *drawn(mixup, step, group, 3)))
        whole = alter(given, step, mixup=mixup).lq_BCHW
        assert_is(whole, np.concatenate(expected))
        for world in (2, 4):
            assert torch.equal(alter_shares(given, world, step, mixup=mixup).lq_BCHW, whole)


@pytest.mark.parametrize("mixup", [Mixup(alpha=1.2), Mixup(alpha=0.6, chance=1.0, per="sample", groups=2)], ids=str)
def test_groups_that_processes_share_are_mixed_as_one_process_does(mixup: Mixup) -> None:
    """12 images in 1 or 2 groups: 2, 3, 4 and 6 processes see parts of a group, 3 of them parts of two."""
    given = batch(12)
    for step in range(1, 7):
        whole = alter(given, step, mixup=mixup)
        for world in (2, 3, 4, 6, 12):
            found = alter_shares(given, world, step, mixup=mixup)
            assert torch.equal(found.lq_BCHW, whole.lq_BCHW)
            assert torch.equal(found.gt_BCHW, whole.gt_BCHW)  # type: ignore[arg-type]


def test_what_is_drawn_is_the_seeds_and_the_steps() -> None:
    given = batch()
    recipe: dict[str, Any] = {"mixup": 1.2, "grain": Grain(chance=0.5, sigma=0.1), "grey": 0.5}
    one = [alter(given, step, **recipe).lq_BCHW for step in range(1, 6)]
    torch.manual_seed(99)
    assert all(torch.equal(alter(given, step, **recipe).lq_BCHW, each) for step, each in enumerate(one, 1))
    other = [alter(given, step, number=4, **recipe).lq_BCHW for step in range(1, 6)]
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    plain = recipe | {"mixup": None}
    assert torch.equal(alter_shares(given, 2, 1, **plain).lq_BCHW, alter(given, 1, **plain).lq_BCHW)


def test_grain_is_on_the_input_alone_and_of_several_strengths() -> None:
    given = batch(300, side=16)
    given.lq_BCHW = given.lq_BCHW * 0.2 + 0.4
    result = alter(given, grain=Grain(chance=0.5, sigma=0.07, least=0.001))
    assert torch.equal(result.gt_BCHW, given.gt_BCHW)  # type: ignore[arg-type]
    spread = (result.lq_BCHW - given.lq_BCHW).flatten(1).std(1)
    spread = spread[spread > 1e-5]
    assert 120 < len(spread) < 180
    assert 0.0008 < float(spread.min()) < 0.006
    assert 0.064 < float(spread.max()) < 0.075
    assert float(spread.mean()) == pytest.approx((0.001 + 0.07) / 2, rel=0.1)


def test_grain_may_be_the_same_on_input_and_truth() -> None:
    given = batch(64)
    given.lq_BCHW, given.gt_BCHW = given.lq_BCHW * 0.4 + 0.3, given.lq_BCHW * 0.2 + 0.4
    result = alter(given, grain=Grain(chance=0.25, sigma=0.01, truth=True))
    assert given.gt_BCHW is not None
    assert result.gt_BCHW is not None
    one, other = result.lq_BCHW - given.lq_BCHW, result.gt_BCHW - given.gt_BCHW
    touched = one.flatten(1).any(1)
    assert 8 <= int(touched.sum()) <= 26
    torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert float(one[touched].std()) == pytest.approx(0.01, rel=0.05)
    clipped = alter(batch(), grain=Grain(chance=1.0, sigma=3.0))
    assert (float(clipped.lq_BCHW.min()), float(clipped.lq_BCHW.max())) == (0, 1)


def test_grey_is_ifans() -> None:
    """0.2126 R + 0.7152 G + 0.07228 B, then the curve of sRGB: mid grey 0.5 becomes 0.7354."""
    image = batch(1).lq_BCHW
    image[0, :, 0, 0] = torch.tensor([0.5, 0.5, 0.5])
    image[0, :, 0, 1] = torch.tensor([0.001, 0.002, 0.003])
    image[0, :, 0, 2] = 0
    found = torch.stack([grey(image[0])]).numpy()
    linear = np.tensordot([0.2126, 0.7152, 0.07228], image[0].double().numpy(), 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found[0], np.stack([expected] * 3), atol=1e-6)
    np.testing.assert_allclose(found[0, 0, 0], [0.735386, 12.92 * 0.00185984, 0, *found[0, 0, 0, 3:]], atol=1e-5)
    result = alter(batch(40), grey=0.3)
    one, other = ((x[:, 0] == x[:, 2]).flatten(1).all(1) for x in (result.lq_BCHW, result.gt_BCHW))  # type: ignore[index]
    assert torch.equal(one, other)
    assert 4 <= int(one.sum()) <= 20


def test_areas_are_averaged() -> None:
    assert torch.equal(area_weights(4, 2), torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]).double())
    thirds = torch.tensor([[2, 1, 0], [0, 1, 2]]).double() / 3
    torch.testing.assert_close(area_weights(3, 2), thirds)
    rows = area_weights(366, 257)
    torch.testing.assert_close(rows.sum(1), torch.ones(257).double())
    torch.testing.assert_close(rows.sum(0), torch.full((366,), 257 / 366).double())


def test_tiles_are_cut_from_smaller_images() -> None:
    """The image is its own coordinates, so that a tile tells where it lies and how small it was made."""
    side, patch = 40, 28
    down, right = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    image = torch.stack([down, right, down]).expand(80, 3, side, side).float()
    given = Batch(image, image * 2, None, [""] * 80)
    recipe = Recipe(patch=patch, scale=Scale(chance=0.5, least=0.7))
    result, seen = Alteration(recipe, 3, patch)(given, 1)
    assert result.gt_BCHW is not None
    assert seen.shape == result.gt_BCHW.shape == (80, 3, patch, patch)
    torch.testing.assert_close(result.gt_BCHW, 2 * seen)
    # The mean over an area of pixels that are constant in themselves is a ramp within half a pixel.
    slopes, across = ((seen[:, 0, -1, 0] - seen[:, 0, 0, 0]) / 27, (seen[:, 1, 0, -1] - seen[:, 1, 0, 0]) / 27)
    factors = 1 / slopes
    assert 20 < int((factors == 1).sum()) < 60
    assert 0.69 <= float(factors.min()) < 0.75
    torch.testing.assert_close(slopes, across, rtol=0, atol=0.02)
    assert len({float(value) for value in seen[factors == 1][:, 0, 0, 0]}) > 5
    assert float(seen.max()) <= side
    assert recipe.crops == ((side, side),)


def test_inputs_are_darkened_as_enlightengan_varies_them() -> None:
    """Half of them are divided by 2.00, 2.01, … or 4.00."""
    given = batch(400, side=2)
    result, seen = Alteration(Recipe(darken=Darken(chance=0.5)), 3, 2)(given, 7)
    assert torch.equal(result.lq_BCHW, given.lq_BCHW)
    assert torch.equal(result.gt_BCHW, given.gt_BCHW)  # type: ignore[arg-type]
    divisors = (given.lq_BCHW / seen).flatten(1).double()
    torch.testing.assert_close(divisors, divisors[:, :1].expand_as(divisors), rtol=1e-5, atol=0)
    hundredths = (100 * divisors[:, 0]).round()
    torch.testing.assert_close(100 * divisors[:, 0], hundredths, rtol=1e-5, atol=0)
    dark = hundredths[hundredths != 100]
    assert 160 < len(dark) < 240
    assert (200 <= float(dark.min()) < 210, 390 < float(dark.max()) <= 400) == (True, True)


def test_without_alterations_the_batch_is_the_same_object() -> None:
    given = batch()
    altered, seen = Alteration(Recipe(), 0, 8)(given, 1)
    assert altered is given
    assert seen is given.lq_BCHW


def test_oblong_patches_are_cut_from_smaller_images_along_both_sides() -> None:
    down, right = torch.meshgrid(torch.arange(40) + 0.5, torch.arange(50) + 0.5, indexing="ij")
    image = torch.stack([down, right, down]).expand(40, 3, 40, 50).float()
    recipe = Recipe(patch=(28, 35), scale=Scale(chance=1, least=0.7))
    assert recipe.crops == ((40, 50),)
    result, seen = Alteration(recipe, 3, (28, 35))(Batch(image, image * 2, None, [""] * 40), 1)
    assert seen.shape == (40, 3, 28, 35)
    torch.testing.assert_close(result.gt_BCHW, 2 * seen)
    tall, wide = ((seen[:, 0, -2, 0] - seen[:, 0, 1, 0]) / 25, (seen[:, 1, 0, -2] - seen[:, 1, 0, 1]) / 32)
    torch.testing.assert_close(tall, wide, rtol=0, atol=0.06)  # one factor; sides are whole numbers
    assert 1.0 <= float(tall.min()) < 1.1
    assert 1.3 < float(tall.max()) < 40 / 28 + 0.02


def test_stored_pixels_are_altered_as_the_floats_that_they_stand_for() -> None:
    random = np.random.default_rng(0)
    lq, gt = random.integers(0, 256, (2, 6, 3, 8, 8), dtype=np.uint8)
    stored = Batch(torch.from_numpy(lq), torch.from_numpy(gt), None, [""] * 6, torch.from_numpy(gt))
    whole, truth, clean = (torch.from_numpy(to_float(each)) for each in (lq, gt, gt))
    floats = Batch(whole, truth, None, [""] * 6, clean)
    options: dict[str, Any] = {"mixup": {"alpha": 1.2, "chance": 1}, "grain": Grain(chance=0.5, sigma=0.1), "grey": 0.5}
    one, other = alter(stored, **options), alter(floats, **options)
    for field in ("lq_BCHW", "gt_BCHW", "clean_BCHW"):
        assert torch.equal(getattr(one, field), getattr(other, field)), field
    same = alter(stored)
    assert same.lq_BCHW.dtype == torch.uint8, "nothing to do"


def test_both_views_of_a_camera_change_with_the_one_truth() -> None:
    """Inputs of six channels, truths of three: what is done to the input's first view is done to its truth."""
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(12, 3, 40, 40, generator=random) * 0.4 + 0.3
    given = Batch(torch.cat([truth, truth.flip(1)], 1), truth, None, [""] * 12)
    result, seen = Alteration(Recipe(patch=28, grey=0.5, scale=Scale(chance=0.5, least=0.7)), 3, 28)(given, 1)
    assert result.gt_BCHW is not None
    assert (seen.shape, result.gt_BCHW.shape) == ((12, 6, 28, 28), (12, 3, 28, 28))
    torch.testing.assert_close(seen[:, :3], result.gt_BCHW)
    alike = [bool((image[:3] == image[0]).all() and (image[3:] == image[3]).all()) for image in seen]
    assert 2 < sum(alike) < 10
    turned = torch.stack([torch.cat([grey(image), grey(image.flip(0))]) for image in truth])
    assert_is(alter(given, grey=1.0).lq_BCHW, turned.numpy())

    noisy = alter(given, grain=Grain(chance=1.0, sigma=0.01))
    spread = noisy.lq_BCHW - given.lq_BCHW
    assert float(spread.std()) == pytest.approx(0.01, rel=0.05)
    assert not torch.equal(spread[:, :3], spread[:, 3:]), "each view has noise of its own"
    assert torch.equal(noisy.gt_BCHW, truth)  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match="noise of an input of 6 channels does not fit a truth of 3"):
        alter(given, grain=Grain(chance=1.0, sigma=0.01, truth=True))


def test_what_has_one_channel_is_grey_already() -> None:
    random = torch.Generator().manual_seed(0)
    lq, gt = torch.rand(2, 6, 1, 8, 8, generator=random)
    result = alter(Batch(lq, gt, None, [""] * 6), grey=1.0)
    assert torch.equal(result.lq_BCHW, lq)
    assert torch.equal(result.gt_BCHW, gt)  # type: ignore[arg-type]
