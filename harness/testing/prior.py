"""What every prior promises. Inherit the class that fits in a test file and say how to make yours.

class TestMine(PriorContract):
    def make(self):
        return Mine()
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.api.parts import DerivedPrior, Prior
from harness.testing import checks

BATCH = 3


class PriorContract:
    """For extractors: one unit vector an image, fixed, and of that image alone."""

    sides = (64, 80)

    def make(self) -> Any:
        """A fresh prior with `dim` and `encode`."""
        raise NotImplementedError

    def images(self) -> Tensor:
        return checks.images(BATCH, 3, *self.sides)

    def test_follows_the_protocol(self) -> None:
        assert isinstance(self.make(), Prior)

    def test_gives_unit_vectors(self) -> None:
        prior = self.make()
        vectors = prior.encode(self.images())
        assert vectors.shape == (BATCH, prior.dim)
        assert vectors.dtype == torch.float32
        assert vectors.isfinite().all()
        assert torch.allclose(vectors.norm(dim=1), torch.ones(BATCH), atol=1e-5)

    def test_tells_images_apart(self) -> None:
        vectors = self.make().encode(self.images())
        assert (vectors[0] - vectors[1]).abs().max() > 1e-6

    def test_is_fixed(self) -> None:
        prior, lq = self.make(), self.images()
        vectors = prior.encode(lq)
        assert torch.equal(vectors, prior.encode(lq.clone()))
        assert not vectors.requires_grad
        if isinstance(prior, nn.Module):
            trained = [name for name, parameter in prior.named_parameters() if parameter.requires_grad]
            assert not trained, f"not frozen: {trained}"

    def test_leaves_the_random_state_alone(self) -> None:
        prior, before = self.make(), torch.random.get_rng_state()
        prior.encode(self.images())
        assert torch.equal(before, torch.random.get_rng_state())

    def test_leaves_the_images_alone(self) -> None:
        lq = self.images()
        before = lq.clone()
        self.make().encode(lq)
        assert torch.equal(lq, before)

    def test_row_depends_on_its_image_alone(self) -> None:
        prior, lq = self.make(), self.images()
        alone = torch.cat([prior.encode(image) for image in lq.split(1)])
        checks.assert_close(prior.encode(lq), alone, "in a batch and alone", tolerance=1e-5)

    def test_two_of_a_kind_agree(self) -> None:
        lq = self.images()
        assert torch.equal(self.make().encode(lq), self.make().encode(lq))


class DerivedPriorContract:
    """For controls, made of another prior's rows and of keys."""

    dim = 7

    def make(self) -> Any:
        """A fresh control with `derive`."""
        raise NotImplementedError

    def derive(self, order: list[int] | None = None) -> np.ndarray:
        """The control's rows for six samples of three source images, in the given order."""
        picked = list(range(6)) if order is None else order
        random = np.random.default_rng(0)
        rows, train_rows = (random.standard_normal((n, self.dim)).astype(np.float32) for n in (6, 9))
        rows, train_rows = (array / np.linalg.norm(array, axis=1, keepdims=True) for array in (rows, train_rows))
        keys = [f"image{position // 2}.{position % 2}" for position in picked]
        derived: np.ndarray = self.make().derive(
            rows[picked], train_rows, keys, [f"image{position // 2}" for position in picked]
        )
        return derived

    def test_follows_the_protocol(self) -> None:
        assert isinstance(self.make(), DerivedPrior)

    def test_gives_a_row_a_sample(self) -> None:
        rows = self.derive()
        assert rows.shape[0] == 6
        assert rows.ndim == 2
        assert rows.dtype == np.float32
        assert np.isfinite(rows).all()

    def test_is_fixed(self) -> None:
        assert np.array_equal(self.derive(), self.derive())
