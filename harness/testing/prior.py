"""What every prior promises. Inherit the class that fits in a test file and say how to make yours.

class TestMine(PriorContract):
    def make(self):
        return Mine()
"""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.api.prior import PriorTraits
from harness.spec.options import refers_to
from harness.testing import checks
from harness.testing.part import PartContract, told

BATCH = 3


class _Contract(PartContract):
    """What extractors and controls have in common."""

    kind = "prior"

    def make(self) -> Any:
        raise NotImplementedError

    @cached_property
    def part(self) -> Any:
        return type(self.make())

    @property
    def positional(self) -> int:
        """A network that a cell has trained, where an option asks for one."""
        return int(any(refers_to(option) == "CellRef" for option in self.declared.options.values()))


class PriorContract(_Contract):
    """For extractors: one unit vector per image, always the same, from that image alone."""

    sides = (64, 80)

    def make(self) -> Any:
        """A fresh prior (harness.api.prior.Prior)."""
        raise NotImplementedError

    def images(self) -> Tensor:
        return checks.images(BATCH, 3, *self.sides)

    def test_follows_the_protocol(self) -> None:
        prior = self.make()
        assert isinstance(prior.traits, PriorTraits), "say traits = PriorTraits()"
        assert not prior.traits.derived, "one that encodes images is not derived"
        assert prior.dim >= 1, f"dim = {prior.dim}"
        if prior.traits.maps is not None:
            assert prod(prior.shape) == prior.dim, f"dim = {prior.dim}, and shape = {prior.shape}: D, rows and columns"

    def test_gives_unit_vectors(self) -> None:
        prior = self.make()
        vectors = prior.encode(self.images())
        assert vectors.shape == (BATCH, prior.dim), f"{BATCH} images and dim = {prior.dim}: {checks.told(vectors)}"
        assert vectors.dtype == torch.float32, f"{checks.told(vectors)}, not float32"
        assert vectors.isfinite().all(), "some numbers are not finite"
        lengths = vectors.norm(dim=1)
        assert torch.allclose(lengths, torch.ones(BATCH), atol=1e-5), f"lengths are {lengths.tolist()}, not 1"

    def test_tells_images_apart(self) -> None:
        vectors = self.make().encode(self.images())
        assert (vectors[0] - vectors[1]).abs().max() > 1e-6, "two images have the same vector"

    def test_is_fixed(self) -> None:
        """Gives the same vectors again, and trains nothing."""
        prior, lq = self.make(), self.images()
        vectors = prior.encode(lq)
        assert torch.equal(vectors, prior.encode(lq.clone())), "the same images again have other vectors"
        assert not vectors.requires_grad, "vectors ask for a gradient: encode under torch.no_grad()"
        if isinstance(prior, nn.Module):
            trained = [name for name, parameter in prior.named_parameters() if parameter.requires_grad]
            assert not trained, f"not frozen: {trained}"

    def test_leaves_the_random_state_alone(self) -> None:
        prior, before = self.make(), torch.random.get_rng_state()
        prior.encode(self.images())
        assert torch.equal(before, torch.random.get_rng_state()), "it draws from torch's global generator"

    def test_leaves_the_images_alone(self) -> None:
        lq = self.images()
        before = lq.clone()
        self.make().encode(lq)
        assert torch.equal(lq, before), "the images have changed"

    def test_row_depends_on_its_image_alone(self) -> None:
        prior, lq = self.make(), self.images()
        alone = torch.cat([prior.encode(image) for image in lq.split(1)])
        checks.assert_close(prior.encode(lq), alone, "in a batch and alone", tolerance=1e-5)

    def test_two_of_a_kind_agree(self) -> None:
        """Gives the same vectors when it is made anew."""
        lq = self.images()
        assert torch.equal(self.make().encode(lq), self.make().encode(lq)), "made anew, it gives other vectors"


class DerivedPriorContract(_Contract):
    """For controls, made of another prior's rows or of keys alone."""

    dim = 7

    def make(self) -> Any:
        """A fresh control (harness.api.prior.DerivedPrior)."""
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
        traits = self.make().traits
        assert isinstance(traits, PriorTraits), "say traits = PriorTraits(derived=True)"
        assert traits.derived, "say traits = PriorTraits(derived=True)"

    def test_gives_a_row_per_sample(self) -> None:
        rows = self.derive()
        assert rows.shape[0] == 6, f"6 samples have {told(rows)}"
        assert rows.ndim == 2, f"6 samples have {told(rows)}"
        assert rows.dtype == np.float32, f"{told(rows)}, not float32"
        assert np.isfinite(rows).all(), "some numbers are not finite"

    def test_is_fixed(self) -> None:
        assert np.array_equal(self.derive(), self.derive()), "asked twice, it gives other rows"
