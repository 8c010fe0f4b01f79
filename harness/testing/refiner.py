"""What every refiner promises. Inherit the class in a test file and say how to make yours.

class TestMine(RefinerContract):
    def make(self, prior_dim, channels=None):
        return Mine(prior_dim, channels, width=8)

`channels` is for refiners that sit on features. One that cannot sit on images gives it a default of its own, such as
`channels=(8, 4, 4)`; one that can sit on images alone leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from harness.api.reference import Placement
from harness.api.refiner import RefinerTraits
from harness.testing import checks, shares
from harness.testing.part import PartContract

BATCH = 2
PRIOR_DIM = 36

SCALES = {"image": (1,), "tap": (4,), "decoder": (4, 2, 1)}
"""Sides of the image divided by those of each map that is refined."""


@dataclass(frozen=True)
class Given:
    """What a refiner is called with; the rows of every tensor are images."""

    placement: Placement
    lq_BCHW: Tensor
    prior_BD: Tensor | None
    maps: tuple[Tensor, ...]
    """What it refines: Î (beyond [0, 1] in places), the map of the deepest tap, or all decoder features."""

    def row(self, n: int) -> Given:
        """The same for one of the images."""
        return self.rows(slice(n, n + 1))

    def rows(self, places: slice) -> Given:
        """The same for some of the images."""
        prior = None if self.prior_BD is None else self.prior_BD[places]
        return Given(self.placement, self.lq_BCHW[places], prior, tuple(x[places] for x in self.maps))

    def unlike(self) -> Given:
        """Twice as many, from dark to bright."""
        prior = None if self.prior_BD is None else self.prior_BD.repeat(2, 1)
        lq, *maps = (shares.exposed(x.repeat(2, 1, 1, 1)) for x in (self.lq_BCHW, *self.maps))
        return Given(self.placement, lq, prior, tuple(maps))

    def with_prior(self, prior_BD: Tensor | None) -> Given:
        return Given(self.placement, self.lq_BCHW, prior_BD, self.maps)


class RefinerContract(PartContract):
    """Refined images and maps of the size of the input, on every placement that the traits name."""

    kind = "refiner"
    prior_dims: tuple[int, ...] = (1, PRIOR_DIM, 512)
    tap_channels = 10
    decoder_channels: tuple[int, ...] = (8, 4, 4)
    """Of decoder features at 1/4, 1/2 and the full size of the image."""
    bf16_tolerance = 0.1
    """Largest relative error under bfloat16 autocast, against float32."""

    def make(self, prior_dim: int, channels: Any = None) -> Any:
        """A fresh refiner, an nn.Module. One that needs no prior leaves `prior_dim` out.

        `channels`, on features: those of the deepest tap, or a tuple for all decoder features, coarse to fine.
        """
        raise NotImplementedError

    @cached_property
    def part(self) -> Any:
        return type(self.make(PRIOR_DIM))

    @property
    def traits(self) -> RefinerTraits:
        found: RefinerTraits = self.part.traits
        return found

    @property
    def positional(self) -> int:
        """The prior's width where it needs a prior, and the channels of what it edits."""
        return int(self.traits.needs_prior) + int("features" in self.traits.placements)

    def fresh(self, placement: Placement, prior_dim: int = PRIOR_DIM) -> Any:
        """What `make` gives for a placement."""
        if placement == "image":
            return self.make(prior_dim)
        return self.make(prior_dim, self.tap_channels if self.traits.edits == "tap" else self.decoder_channels)

    def stirred(self, placement: Placement, prior_dim: int = PRIOR_DIM) -> Any:
        refiner = self.fresh(placement, prior_dim)
        checks.stir(refiner)
        return refiner

    def each(self) -> Iterator[tuple[Any, Given]]:
        """A stirred refiner and what to call it with, for each placement."""
        for placement in self.traits.placements:
            yield self.stirred(placement), self.given(placement)

    def given(self, placement: Placement, prior_dim: int = PRIOR_DIM, *, sides: tuple[int, int] = (32, 48)) -> Given:
        """Inputs of one placement. `sides` of the image are raised to the next that the refiner takes."""
        traits = self.traits
        height, width = (checks.side_for(1, traits.size_multiple, side) for side in sides)
        prior = checks.unit_rows(BATCH, prior_dim) if traits.needs_prior else None
        lq = checks.images(BATCH, 3, height, width)
        if placement == "image":
            return Given(placement, lq, prior, (1.2 * checks.images(BATCH, 3, height, width, seed=1) - 0.1,))
        channels = (self.tap_channels,) if traits.edits == "tap" else self.decoder_channels
        maps = tuple(
            checks.images(BATCH, C, max(1, height // scale), max(1, width // scale), seed=C)
            for C, scale in zip(channels, SCALES[traits.edits], strict=True)
        )
        return Given(placement, lq, prior, maps)

    def test_declares_what_it_is(self) -> None:
        refiner = self.make(PRIOR_DIM)
        assert isinstance(refiner, nn.Module), f"{self.part.__name__} is not an nn.Module"
        assert isinstance(refiner.traits, RefinerTraits), "say traits = RefinerTraits(…)"
        checks.assert_stages_name_modules(refiner, refiner.traits.stages)

    def test_keeps_the_size_for_any_prior_width(self) -> None:
        for placement in self.traits.placements:
            for prior_dim in self.prior_dims:
                self._check_sizes(self.stirred(placement, prior_dim), self.given(placement, prior_dim))

    def test_smallest_size_works(self) -> None:
        for placement in self.traits.placements:
            # On features: so small that the coarsest map is one position large.
            sides = (1, 1) if placement == "image" else (4, 4)
            self._check_sizes(self.stirred(placement), self.given(placement, sides=sides))

    def test_odd_sizes_work_once_padded(self) -> None:
        for placement in self.traits.placements:
            given = self.given(placement, sides=(37, 29))
            if placement == "image":
                lq, initial = (checks.images(BATCH, 3, 37, 29, seed=seed) for seed in (0, 1))
                lq, initial = (checks.pad_to(image, self.traits.size_multiple) for image in (lq, initial))
                given = Given(placement, lq, given.prior_BD, (initial,))
            self._check_sizes(self.stirred(placement), given)

    def _check_sizes(self, refiner: nn.Module, given: Given) -> None:
        with checks.evaluated(refiner):
            result = refined(refiner, given)
        for x, before in zip(result, given.maps, strict=True):
            assert x.shape == before.shape, f"on {given.placement} {checks.told(before)} becomes {checks.told(x)}"
            assert x.isfinite().all(), f"some values are not finite on {given.placement}"

    def test_gradient_reaches_every_parameter(self) -> None:
        for refiner, given in self.each():
            lost = checks.without_gradient(refiner, partial(_total, refiner, given))
            assert not lost, f"no gradient on {given.placement} for {', '.join(lost)}"

    def test_gradient_reaches_the_initial_restoration(self) -> None:
        """Has a gradient to the initial restoration, or, on features, to every map."""
        for refiner, given in self.each():
            for x in given.maps:
                x.requires_grad_(True)
            total = _total(refiner, given)
            assert total.requires_grad, f"no gradient on {given.placement}"
            total.backward()
            for x in given.maps:
                assert x.grad is not None, f"no gradient on {given.placement}"
                assert x.grad.isfinite().all(), f"some gradients are not finite on {given.placement}"
                assert x.grad.any(), f"the gradient is zero everywhere on {given.placement}"

    def test_uses_the_prior(self) -> None:
        """Uses the prior's vector, or ignores it if it needs none."""
        for refiner, given in self.each():
            with checks.evaluated(refiner):
                result = refined(refiner, given)
                if given.prior_BD is None:
                    other = refined(refiner, given.with_prior(checks.unit_rows(BATCH, PRIOR_DIM)))
                    assert all(map(torch.equal, result, other)), "a prior vector that it does not need has an effect"
                else:
                    other = refined(refiner, given.with_prior(-given.prior_BD))
                    assert all(map(_differ, result, other)), "another prior vector changes nothing"

    def test_edits_depend_on_the_knowledge_that_it_brings(self) -> None:
        """Lets the degraded image decide its edits of decoder features, if no prior guides it."""
        traits = self.traits
        if "features" not in traits.placements or traits.edits == "tap" or traits.needs_prior:
            return
        refiner, given = self.stirred("features"), self.given("features")
        other = Given(given.placement, given.lq_BCHW.flip(-1), given.prior_BD, given.maps)
        with checks.evaluated(refiner):
            assert all(map(_differ, refined(refiner, given), refined(refiner, other))), "another image, the same edits"

    def test_takes_the_result_of_the_pass_before(self) -> None:
        """Takes the result of the pass before, if it asks for more than one pass."""
        if self.traits.passes == 1:
            return
        refiner, given = self.stirred("features"), self.given("features")
        with checks.evaluated(refiner):
            edits, _ = refiner.edits(given.lq_BCHW, given.prior_BD, None, given.lq_BCHW.flip(-1))
            result = [edit(x) for edit, x in zip(edits, given.maps, strict=True)]
            assert all(map(_differ, refined(refiner, given), result)), "the result of the pass before changes nothing"

    def test_image_does_not_depend_on_its_batch(self) -> None:
        """Refines an image in test as it does alone, whatever is beside it, dark or bright."""
        for refiner, two in self.each():
            given = two.unlike()
            with checks.evaluated(refiner):
                together = refined(refiner, given)
                alone = [refined(refiner, given.row(n)) for n in range(shares.BATCH)]
            for level, x in enumerate(together):
                each = torch.cat([one[level] for one in alone])
                checks.assert_close(x, each, f"in a batch and alone, on {given.placement}", tolerance=1e-5)

    def test_shares_of_a_batch_train_as_the_whole(self) -> None:
        """Refines an image the same in training, whether one process has its batch or several share it."""
        for refiner, given in self.each():
            found = shares.tried(refiner.train(), partial(_rows_refined, given.unlike()))
            shares.assert_rows_alike(found, tolerance=1e-4)
            shares.assert_buffers_alike(found, tolerance=1e-4)

    def test_leaves_its_inputs_alone(self) -> None:
        """Leaves images and prior vectors unchanged."""
        for refiner, given in self.each():
            initial = given.maps if given.placement == "image" else ()
            inputs = [x for x in (given.lq_BCHW, given.prior_BD, *initial) if x is not None]
            before = [x.clone() for x in inputs]
            with checks.evaluated(refiner):
                refined(refiner, given)
            same = all(map(torch.equal, inputs, before))
            assert same, f"what it is given has changed on {given.placement}: others read it after it"

    def test_state_round_trip(self) -> None:
        for refiner, given in self.each():
            other = self.fresh(given.placement)
            other.load_state_dict(refiner.state_dict(), strict=True)
            with checks.evaluated(refiner), checks.evaluated(other):
                same = all(map(torch.equal, refined(refiner, given), refined(other, given)))
            assert same, f"another refiner with its state gives another result on {given.placement}"

    def test_weights_come_from_the_seed(self) -> None:
        for placement in self.traits.placements:
            same = checks.same_twice(partial(self.fresh, placement))
            assert same, "draw weights from PyTorch's global CPU generator only"

    def test_outputs_hold_what_the_call_gives(self) -> None:
        if not self.traits.outputs or "image" not in self.traits.placements:
            return
        refiner, given = self.stirred("image"), self.given("image")
        with checks.evaluated(refiner):
            outputs = refiner.outputs(given.lq_BCHW, *given.maps, given.prior_BD)
            same = torch.equal(outputs["restored"], *refined(refiner, given))
        assert same, "`restored` of the outputs is not what the call gives"

    def test_starts_near_the_initial_restoration(self) -> None:
        """Starts near the initial restoration, within 0.1 on average: a trained backbone must not be spoilt."""
        if "image" not in self.traits.placements:
            return
        refiner, given = self.fresh("image"), self.given("image")
        initial = (given.lq_BCHW + 0.1).clamp(0, 1)
        with checks.evaluated(refiner):
            change = (refiner(given.lq_BCHW, initial, given.prior_BD) - initial).abs().mean()
        assert change < 0.1, f"fresh weights change it by {change:.3f} on average"

    def test_bfloat16_autocast_is_near(self) -> None:
        for placement in self.traits.placements:
            refiner, given = self.fresh(placement), self.given(placement)
            with checks.evaluated(refiner):
                expected = refined(refiner, given)
                with torch.autocast("cpu", torch.bfloat16):
                    result = refined(refiner, given)
            for x, y in zip(result, expected, strict=True):
                checks.assert_close(x, y, f"bfloat16 autocast on {placement}", tolerance=self.bf16_tolerance)


def refined(refiner: Any, given: Given) -> list[Tensor]:
    """The maps, as the refiner leaves them."""
    if given.placement == "image":
        return [refiner(given.lq_BCHW, *given.maps, given.prior_BD)]
    if refiner.traits.edits == "tap":
        return [refiner.edit(x, given.prior_BD) for x in given.maps]
    truth = given.lq_BCHW if refiner.training and refiner.traits.reads_truth is not None else None
    edits, _ = refiner.edits(given.lq_BCHW, given.prior_BD, truth)
    return [edit(x) for edit, x in zip(edits, given.maps, strict=True)]


def _rows_refined(given: Given, refiner: Any, places: slice) -> list[Tensor]:
    return refined(refiner, given.rows(places))


def _total(refiner: Any, given: Given) -> Tensor:
    return checks.total(refined(refiner, given))


def _differ(one: Tensor, other: Tensor) -> bool:
    """Whether every image's map changed."""
    return bool(((one - other).abs().amax((1, 2, 3)) > 1e-6).all())
