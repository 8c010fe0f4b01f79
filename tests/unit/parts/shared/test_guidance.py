"""Controls for refiners with knowledge of their own: images and noise that stand in for an image's own."""

from __future__ import annotations

import torch

from harness.parts.shared.guidance import KEPT, SIDE, OtherImages, content_numbers, noise
from harness.testing import checks


def test_numbers_tell_images_apart_and_depend_on_nothing_else() -> None:
    images = checks.images(6, 3, 20, 28)
    numbers = content_numbers(images).tolist()
    assert len(set(numbers)) == 6
    assert all(0 <= number < 2**62 for number in numbers)
    assert [content_numbers(image)[0] for image in images.split(1)] == numbers
    assert content_numbers(images.flip(-1).flip(-1)).tolist() == numbers
    assert not set(numbers) & set(content_numbers(images.flip(-1)).tolist())
    nearly = images.clone()
    nearly[0, 0, 0, 0] += 1e-6
    assert content_numbers(nearly)[0] != numbers[0]
    assert content_numbers(nearly)[1:].tolist() == numbers[1:]


def test_numbers_choose_evenly() -> None:
    eighths = content_numbers(checks.images(400, 3, 8, 8)) % KEPT
    assert eighths.bincount(minlength=KEPT).min() > 25


def test_noise_is_even_and_the_same_for_the_same_image() -> None:
    images = checks.images(3, 3, 16, 16)
    drawn = noise(images, 5, 40, 30)
    assert drawn.shape == (3, 5, 40, 30)
    assert 0 <= drawn.min() < drawn.max() < 1
    assert abs(drawn.mean().item() - 1 / 2) < 0.01
    assert abs(drawn.var().item() - 1 / 12) < 0.005
    assert torch.equal(noise(images[1:2], 5, 40, 30)[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(noise(images, 5, 40, 30, turn=1), drawn)


def test_an_image_is_replaced_by_one_of_the_first_of_the_training() -> None:
    others, images = OtherImages(), checks.images(KEPT + 2, 3, SIDE, SIDE)
    others.remember(images[:3])
    others.remember(images[3:])
    others.remember(checks.images(1, 3, SIDE, SIDE, seed=1))
    assert others.count.item() == KEPT
    assert torch.equal(others.images_N3SS, images[:KEPT])
    shown = checks.images(20, 3, 8, 8, seed=2)
    given = others(shown)
    places = (content_numbers(shown) % KEPT).tolist()
    assert torch.equal(given, images[places][..., :8, :8])
    assert len(set(places)) > 3
    assert torch.equal(others(shown[4:5])[0], given[4])
    assert torch.equal(others(shown, turn=1), images[[(place + 1) % KEPT for place in places]][..., :8, :8])


def test_larger_images_are_covered_by_mirroring_and_kept_from_their_middle() -> None:
    others = OtherImages()
    small = torch.arange(6.0).view(1, 1, 2, 3).expand(1, 3, -1, -1)
    others.remember(small)
    assert others.images_N3SS[0, 0, :4, :7].tolist() == [
        [0, 1, 2, 1, 0, 1, 2],
        [3, 4, 5, 4, 3, 4, 5],
        [0, 1, 2, 1, 0, 1, 2],
        [3, 4, 5, 4, 3, 4, 5],
    ]
    large = checks.images(1, 3, SIDE + 20, SIDE + 7)
    others.remember(large)
    assert torch.equal(others.images_N3SS[1], large[0, :, 10 : 10 + SIDE, 3 : 3 + SIDE])
    given = others(checks.images(1, 3, 2 * SIDE, 2 * SIDE))[0]
    kept = given[:, :SIDE, :SIDE]
    assert any(torch.equal(kept, image) for image in others.images_N3SS)
    assert torch.equal(given[:, SIDE : 2 * SIDE - 2, :SIDE], kept[:, 1 : SIDE - 1].flip(1))


def test_what_is_kept_is_saved_and_is_no_parameter() -> None:
    others, fresh = OtherImages(), OtherImages()
    assert torch.equal(others.images_N3SS, fresh.images_N3SS)
    assert not list(others.parameters())
    others.remember(checks.images(2, 3, 16, 16))
    fresh.load_state_dict(others.state_dict())
    shown = checks.images(9, 3, 24, 24, seed=3)
    assert torch.equal(others(shown), fresh(shown))
