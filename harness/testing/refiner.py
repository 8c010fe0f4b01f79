"""What every refiner promises. Inherit the class in a test file and say how to make yours for a prior width.

class TestMine(RefinerContract):
    def make(self, prior_dim):
        return Mine(prior_dim, width=8)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.testing import checks

BATCH = 2


class RefinerContract:
    """Tests for pytest; they try several prior widths."""

    prior_dims = (1, 36, 512)
    bf16_tolerance = 0.1
    """Largest relative error under bfloat16 autocast, against float32."""

    def make(self, prior_dim: int) -> Any:
        """A fresh refiner, an nn.Module with `size_multiple`. One that declares `needs_prior = False` has no width."""
        raise NotImplementedError

    def inputs(
        self, refiner: Any, prior_dim: int, *, sides: tuple[int, int] = (32, 48)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """I_d, Î (beyond [0, 1] in places) and unit prior vectors."""
        height, width = (checks.side_for(1, refiner.size_multiple, side) for side in sides)
        lq = checks.images(BATCH, 3, height, width)
        initial = 1.2 * checks.images(BATCH, 3, height, width, seed=1) - 0.1
        return lq, initial, checks.unit_rows(BATCH, prior_dim)

    def stirred(self, prior_dim: int = 36) -> Any:
        refiner = self.make(prior_dim)
        checks.stir(refiner)
        return refiner

    def test_keeps_the_size_for_any_prior_width(self) -> None:
        for prior_dim in self.prior_dims:
            refiner = self.stirred(prior_dim)
            lq, initial, prior = self.inputs(refiner, prior_dim)
            with checks.evaluated(refiner):
                refined = refiner(lq, initial, prior)
            assert isinstance(refiner, nn.Module)
            assert refined.shape == lq.shape
            assert refined.isfinite().all()

    def test_smallest_size_works(self) -> None:
        refiner = self.stirred()
        with checks.evaluated(refiner):
            assert refiner(*self.inputs(refiner, 36, sides=(1, 1))).isfinite().all()

    def test_odd_sizes_work_once_padded(self) -> None:
        refiner = self.stirred()
        lq, initial, prior = (checks.images(BATCH, 3, 37, 29, seed=seed) for seed in (0, 1, 2))
        lq, initial = (checks.pad_to(image, refiner.size_multiple) for image in (lq, initial))
        prior = checks.unit_rows(BATCH, 36)
        with checks.evaluated(refiner):
            assert refiner(lq, initial, prior).shape == lq.shape

    def test_gradient_reaches_every_parameter(self) -> None:
        refiner = self.stirred()
        given = self.inputs(refiner, 36)
        lost = checks.without_gradient(refiner, lambda: refiner(*given).square().mean())
        assert not lost, f"no gradient for {lost}"

    def test_gradient_reaches_the_initial_restoration(self) -> None:
        refiner = self.stirred()
        lq, initial, prior = self.inputs(refiner, 36)
        initial.requires_grad_(True)
        refiner(lq, initial, prior).square().mean().backward()
        assert initial.grad is not None
        assert initial.grad.isfinite().all()
        assert initial.grad.any()

    def test_uses_the_prior(self) -> None:
        """Or, if it needs none, does without."""
        refiner = self.stirred()
        lq, initial, prior = self.inputs(refiner, 36)
        if not getattr(refiner, "needs_prior", True):
            with checks.evaluated(refiner):
                assert torch.equal(refiner(lq, initial, None), refiner(lq, initial, prior))
            return
        with checks.evaluated(refiner):
            change = (refiner(lq, initial, prior) - refiner(lq, initial, -prior)).abs().amax((1, 2, 3))
        assert (change > 1e-6).all(), "another prior vector changes nothing"

    def test_image_does_not_depend_on_its_batch(self) -> None:
        refiner = self.stirred()
        given = self.inputs(refiner, 36)
        with checks.evaluated(refiner):
            together = refiner(*given)
            alone = torch.cat([refiner(*one) for one in zip(*(tensor.split(1) for tensor in given), strict=True)])
        checks.assert_close(together, alone, "in a batch and alone", tolerance=1e-5)

    def test_state_round_trip(self) -> None:
        refiner, other = self.stirred(), self.make(36)
        other.load_state_dict(refiner.state_dict(), strict=True)
        given = self.inputs(refiner, 36)
        with checks.evaluated(refiner), checks.evaluated(other):
            assert torch.equal(refiner(*given), other(*given))

    def test_weights_come_from_the_seed(self) -> None:
        assert checks.same_twice(lambda: self.make(36)), "draw weights from PyTorch's global CPU generator only"

    def test_starts_near_the_initial_restoration(self) -> None:
        """Fresh weights must not spoil a trained backbone: within 0.1 of Î, on average and inside [0, 1]."""
        refiner = self.make(36)
        lq, _, prior = self.inputs(refiner, 36)
        initial = (lq + 0.1).clamp(0, 1)
        with checks.evaluated(refiner):
            assert (refiner(lq, initial, prior) - initial).abs().mean() < 0.1

    def test_bfloat16_autocast_is_near(self) -> None:
        refiner = self.make(36)
        given = self.inputs(refiner, 36)
        with checks.evaluated(refiner):
            expected = refiner(*given)
            with torch.autocast("cpu", torch.bfloat16):
                refined = refiner(*given)
        checks.assert_close(refined, expected, "bfloat16 autocast", tolerance=self.bf16_tolerance)
