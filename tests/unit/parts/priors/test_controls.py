"""Controls: what they must not know, and what they must keep."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from harness.core.errors import DataError, HarnessError
from harness.parts.priors.controls import Mean, RandomVectors, Shuffled


def test_random_vectors_follow_their_key_and_nothing_else() -> None:
    prior = RandomVectors(dim=512)
    rows = prior.derive(None, None, ["a#0", "a#1", "b#0"], ["a", "a", "b"])
    assert rows.shape == (3, 512)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.array_equal(prior.derive(None, None, ["b#0", "a#0"], ["x", "y"]), rows[[2, 0]])
    # Independent directions in 512 dimensions: cosines have a standard deviation of 1/sqrt(512) = 0.044.
    assert np.abs(rows @ rows.T - np.eye(3)).max() < 0.2


def test_random_vectors_are_the_same_on_every_machine() -> None:
    first = RandomVectors(dim=4).derive(None, None, ["astronaut#0"], ["astronaut"])
    np.testing.assert_allclose(first, [[-0.08441928, -0.24591191, 0.01162032, -0.96553904]], rtol=1e-5)


def test_random_vectors_have_a_width() -> None:
    with pytest.raises(HarnessError, match="at least one number"):
        RandomVectors(dim=0)


IMAGES = ["a"] * 8 + ["b"] * 4 + ["c"] * 12 + ["a"] * 4


def dealt(images: list[str]) -> list[int]:
    """For every sample the index of the sample whose row it gets."""
    rows = np.arange(len(images), dtype=np.float32)[:, None]
    return (
        Shuffled(of=None).derive(rows, None, [f"k{n}" for n in range(len(images))], images)[:, 0].astype(int).tolist()
    )


def test_shuffled_gives_every_tile_a_row_of_one_other_image() -> None:
    source = dealt(IMAGES)
    pairs = {(image, IMAGES[place]) for image, place in zip(IMAGES, source, strict=True)}
    assert len(pairs) == 3
    assert all(image != other for image, other in pairs)
    assert {other for _, other in pairs} == {"a", "b", "c"}


def test_shuffled_spreads_over_the_rows_of_the_other_image_and_keeps_orientations_together() -> None:
    source = dealt(IMAGES)
    for image in "abc":
        own = [place for place, name in enumerate(IMAGES) if name == image]
        taken = Counter(source[place] for place in own)
        other = [place for place, name in enumerate(IMAGES) if name == IMAGES[source[own[0]]]]
        assert len(taken) == min(len(own), len(other))
        assert max(taken.values()) - min(taken.values()) <= 1
        assert all(own.index(place) % 4 == other.index(source[place]) % 4 for place in own)


def test_shuffled_depends_on_the_images_and_not_on_their_order() -> None:
    turned = IMAGES[::-1]
    other = {image: IMAGES[place] for image, place in zip(IMAGES, dealt(IMAGES), strict=True)}
    assert {image: turned[place] for image, place in zip(turned, dealt(turned), strict=True)} == other


def test_shuffled_with_a_single_image_says_so() -> None:
    with pytest.raises(DataError, match="only one source image"):
        dealt(["a", "a"])


def test_mean_is_the_train_rows_mean_at_unit_length_for_everyone() -> None:
    train = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    rows = Mean(of=None).derive(np.zeros((5, 2), np.float32), train, list("abcde"), list("abcde"))
    expected = np.array([2, 1]) / np.sqrt(5)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, np.tile(expected, (5, 1)), rtol=1e-6)


@pytest.mark.parametrize("prior", [Mean(of=None), Shuffled(of=None)])
def test_controls_of_another_prior_want_its_rows(prior: Mean | Shuffled) -> None:
    with pytest.raises(HarnessError, match="of another prior"):
        prior.derive(None, None, ["a"], ["a"])
