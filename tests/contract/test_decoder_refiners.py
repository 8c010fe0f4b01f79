"""Refiners of decoder features keep what the others promise, as far as it can be asked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.parts.catalogue import REGISTRY
from harness.testing import checks
from tests import tiny_hrnet

CHANNELS = (8, 4, 4)


class TestSKF:
    name = "skf"

    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path) -> None:
        self.options = tiny_hrnet.write(tmp_path)

    def make(self) -> Any:
        return REGISTRY.load("refiner", self.name)(CHANNELS, **self.options)

    def inputs(self, height: int = 32, width: int = 48) -> tuple[Tensor, list[Tensor]]:
        """Degraded images, and a decoder's features at 1/4, 1/2 and full size."""
        sides = [(max(1, height // s), max(1, width // s)) for s in (4, 2, 1)]
        features = [checks.images(2, C, *size, seed=C) for C, size in zip(CHANNELS, sides, strict=True)]
        return checks.images(2, 3, height, width), features

    def edited(self, refiner: Any, lq: Tensor, features: list[Tensor]) -> list[Tensor]:
        edits, _ = refiner.edits(lq, None, None)
        return [edit(x) for edit, x in zip(edits, features, strict=True)]

    @pytest.mark.parametrize("sides", [(32, 48), (37, 29), (4, 4)])
    def test_keeps_the_shapes(self, sides: tuple[int, int]) -> None:
        refiner = self.make()
        lq, features = self.inputs(*sides)
        with checks.evaluated(refiner):
            made = self.edited(refiner, lq, features)
        assert [x.shape for x in made] == [x.shape for x in features]
        assert all(x.isfinite().all() for x in made)

    def test_gradient_reaches_every_parameter_and_the_features(self) -> None:
        refiner = self.make()
        lq, features = self.inputs()
        features = [x.requires_grad_(True) for x in features]

        def loss() -> Tensor:
            return torch.stack([x.square().mean() for x in self.edited(refiner, lq, features)]).sum()

        assert not checks.without_gradient(refiner, loss)
        assert all(x.grad is not None and x.grad.any() for x in features)

    def test_image_does_not_depend_on_its_batch(self) -> None:
        refiner = self.make()
        lq, features = self.inputs()
        with checks.evaluated(refiner):
            together = self.edited(refiner, lq, features)
            alone = [self.edited(refiner, lq[n : n + 1], [x[n : n + 1] for x in features]) for n in range(2)]
        for level, x in enumerate(together):
            checks.assert_close(x, torch.cat([one[level] for one in alone]), "in a batch and alone", tolerance=1e-5)

    def test_knowledge_counts(self) -> None:
        refiner = self.make()
        lq, features = self.inputs()
        with checks.evaluated(refiner):
            pairs = zip(self.edited(refiner, lq, features), self.edited(refiner, lq.flip(-1), features), strict=True)
            assert all((x - y).abs().max() > 1e-6 for x, y in pairs)

    def test_state_round_trip(self) -> None:
        refiner, other = self.make(), self.make()
        other.load_state_dict(refiner.state_dict(), strict=True)
        lq, features = self.inputs()
        with checks.evaluated(refiner), checks.evaluated(other):
            assert all(map(torch.equal, self.edited(refiner, lq, features), self.edited(other, lq, features)))

    def test_weights_come_from_the_seed(self) -> None:
        assert checks.same_twice(self.make)

    def test_bfloat16_autocast_is_near(self) -> None:
        refiner = self.make()
        lq, features = self.inputs()
        with checks.evaluated(refiner):
            expected = self.edited(refiner, lq, features)
            with torch.autocast("cpu", torch.bfloat16):
                made = self.edited(refiner, lq, features)
        for x, y in zip(made, expected, strict=True):
            checks.assert_close(x, y, "bfloat16 autocast", tolerance=0.1)
