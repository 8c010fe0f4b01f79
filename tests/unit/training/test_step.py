"""One optimizer step: eq. 8, accumulation, clipping."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.api.batch import Batch, Restored
from harness.api.loss import LossInputs, LossTraits
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import Darken, LossTerm, Recipe
from harness.core.beat import beats
from harness.core.errors import HarnessError
from harness.data.shards import to_float
from harness.parts.catalogue import REGISTRY
from harness.parts.losses.charbonnier import Charbonnier
from harness.training.adversaries import Adversaries
from harness.training.alter import Alteration
from harness.training.device import start_accelerator
from harness.training.engines.ddp import start_ddp
from harness.training.objective import Images, Objective, Term, build_objective
from harness.training.passes import Passes
from harness.training.pixels import scaled
from harness.training.step import Stepper


class Pair(nn.Module):
    """F and R of one weight each: Î = a·I, Ī = Î + b·g."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.25))

    def forward(self, lq_BCHW: Tensor, prior_BD: Tensor | None) -> Restored:
        initial = self.a * lq_BCHW
        if prior_BD is None:
            return Restored(initial)
        return Restored(initial, initial + self.b * prior_BD.mean(1)[:, None, None, None])


def batch(images: int = 6, *, prior: bool = True) -> Batch:
    random = torch.Generator().manual_seed(0)
    lq, gt = torch.rand(2, images, 3, 8, 8, generator=random)
    return Batch(lq, gt, torch.rand(images, 4, generator=random) if prior else None, [str(i) for i in range(images)])


def objective(reduction: str = "mean", refined_weight: float = 1.0, weight: float = 1.0) -> Objective:
    options: dict[str, Any] = {"eps": 1e-3, "reduction": reduction}
    return Objective([Term(weight, Charbonnier(**options), options)], refined_weight)


def stepper(model: nn.Module, aim: Objective, *, micro: int | None = None, clip: float | None = None) -> Stepper:
    engine, passes = start_ddp("fp32", gpus=0), Passes(model, aim)
    engine.prepare(passes, torch.optim.SGD(model.parameters(), lr=1.0))
    return Stepper(engine, passes, micro, clip)


def of(aim: Objective, restored: Restored, given: Batch, *, share: float = 1.0, ranks: int = 1) -> Tensor:
    """The loss of a whole batch."""
    return aim(restored, Images(given.lq_BCHW, given.gt_BCHW), step=1, share=share, ranks=ranks)


def test_total_loss_is_equation_8() -> None:
    given, model = batch(), Pair()
    restored = model(given.lq_BCHW, given.prior_BD)
    charbonnier = Charbonnier(eps=1e-3)
    first = charbonnier(restored.initial_BCHW, given.gt_BCHW)
    second = charbonnier(restored.refined_BCHW, given.gt_BCHW)
    total = of(objective(refined_weight=0.3, weight=2.0), restored, given)
    torch.testing.assert_close(total, 2.0 * (first + 0.3 * second))


def test_without_a_refiner_only_the_first_term() -> None:
    given = batch(prior=False)
    restored = Pair()(given.lq_BCHW, None)
    expected = Charbonnier(eps=1e-3)(restored.initial_BCHW, given.gt_BCHW)
    torch.testing.assert_close(of(objective(), restored, given), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("micro", [1, 2, 4, 6, 100])
def test_micro_batches_change_neither_loss_nor_step(reduction: str, micro: int) -> None:
    """4 does not divide 6: the parts are of unequal size."""
    whole, parts = Pair(), Pair()
    one = stepper(whole, objective(reduction))(batch())
    other = stepper(parts, objective(reduction), micro=micro)(batch())
    torch.testing.assert_close(one, other)
    for expected, found in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(expected, found)
        assert expected.grad is None


def test_every_part_of_a_step_is_a_sign_of_life() -> None:
    for micro, parts in ((None, 1), (2, 3)):
        step, before = stepper(Pair(), objective(), micro=micro), beats()
        step(batch())
        assert beats() - before == parts


def test_sums_are_scaled_against_the_averaging_over_ranks() -> None:
    given, model = batch(), Pair()
    restored = model(given.lq_BCHW, None)
    mean, total = (of(objective(kind), restored, given, share=0.5, ranks=4) for kind in ("mean", "sum"))
    torch.testing.assert_close(total / given.gt_BCHW.numel() / 4, mean * 2)


def test_clipping_bounds_the_norm_of_the_gradient() -> None:
    free, clipped = Pair(), Pair()
    start = copy.deepcopy(free)
    stepper(free, objective("sum"))(batch())
    stepper(clipped, objective("sum"), clip=0.1)(batch())

    def moved(model: Pair) -> Tensor:
        return torch.stack(
            [a.detach() - b.detach() for a, b in zip(model.parameters(), start.parameters(), strict=True)]
        )

    assert moved(free).norm() > 10
    torch.testing.assert_close(moved(clipped).norm(), torch.tensor(0.1), rtol=1e-4, atol=0)
    torch.testing.assert_close(moved(clipped) / 0.1, moved(free) / moved(free).norm(), rtol=1e-4, atol=1e-6)


def test_live_prior_replaces_the_cached_one() -> None:
    cached, live = Pair(), Pair()
    rows = torch.rand(6, 4)
    given = batch()
    given.prior_BD = rows
    stepper(cached, objective())(given)
    base = stepper(live, objective())
    seen: list[Tensor] = []

    def encode(lq: Tensor) -> Tensor:
        seen.append(lq)
        return rows

    replace(base, encode_live=encode)(batch(prior=False))
    assert torch.equal(seen[0], given.lq_BCHW)
    assert all(torch.equal(a, b) for a, b in zip(cached.parameters(), live.parameters(), strict=True))


def test_losses_of_a_recipe_come_with_their_weights_and_options() -> None:
    terms = (LossTerm(part=PartRef(name="charbonnier", options={"eps": 0.5, "reduction": "sum"}), weight=0.1),)
    recipe = Recipe(losses=terms, refined_weight=2.0)
    part = PartRef(name="low_light")
    cell = Cell(task=part, train=part, backbone=part, recipe=recipe)
    built = build_objective(cell, recipe.parts[0], REGISTRY, torch.device("cpu"))
    (term,) = built.terms
    assert (term.weight, term.loss.eps, term.loss.reduction, built.refined_weight) == (0.1, 0.5, "sum", 2.0)
    assert term.refined_weight is None
    apart = recipe.parts[0].model_copy(update={"losses": (terms[0].model_copy(update={"refined_weight": 0.7}),)})
    assert build_objective(cell, apart, REGISTRY, torch.device("cpu")).terms[0].refined_weight == 0.7


def test_half_precision_losses_are_taken_in_float32() -> None:
    truth = torch.zeros(1, 3, 2, 2)
    restored = Restored(torch.full((1, 3, 2, 2), 1e-3, dtype=torch.bfloat16))
    total = of(objective(), restored, Batch(truth, truth, None, []))
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(2**0.5 * 1e-3, rel=1e-2)


def test_one_worker_changes_precision_between_jobs() -> None:
    assert start_accelerator("bf16", gpus=0).mixed_precision == "bf16"
    assert start_accelerator("fp32", gpus=0).mixed_precision == "no"


@pytest.mark.parametrize(
    ("weight", "refined_weight", "expected"), [(2.0, 10.0, (2.0, 3.0)), (2.0, 0.0, (2.0, 0.0)), (0.0, 10.0, (0.0, 3.0))]
)
def test_a_loss_may_weigh_more_or_less_on_the_refined_restoration(
    weight: float, refined_weight: float, expected: tuple[float, float]
) -> None:
    """λ₁ = 0.3 multiplies both kinds of weight; where a loss weighs nothing it is not even computed."""
    given, loss = batch(), Touchy()
    restored = Pair()(given.lq_BCHW, given.prior_BD)
    aim = Objective([Term(weight, loss, refined_weight=refined_weight)], refined_weight=0.3)
    first, second = expected
    torch.testing.assert_close(
        of(aim, restored, given), first * restored.initial_BCHW.mean() + second * restored.refined_BCHW.mean()
    )
    assert [refined for refined, _, _ in loss.seen] == [refined for refined in (False, True) if expected[refined]]


@pytest.mark.parametrize(("weight", "refined_weight"), [(1.0, None), (4.0, 0.5), (0.0, 10.0), (4.0, 0.0)])
def test_an_adversarys_own_loss_knows_no_weights(weight: float, refined_weight: float | None) -> None:
    """Its gradient is that of each restoration which the model trains on, Ī's by λ₁; micro-batches add up to it."""
    given, loss = batch(), Touchy()
    restored = Pair()(given.lq_BCHW, given.prior_BD)
    aim = Objective([Term(weight, loss, refined_weight=refined_weight)], 0.3, Adversaries([loss]))
    for part, share in ((slice(0, 4), 4 / 6), (slice(4, 6), 2 / 6)):
        piece = Restored(restored.initial_BCHW[part], restored.refined_BCHW[part])
        aim.train_adversaries(piece, Images(given.lq_BCHW[part]), step=1, share=share, ranks=1)
    shares = (float(weight > 0), 0.3 * (refined_weight != 0))
    expected = -(shares[0] * restored.initial_BCHW.mean() + shares[1] * restored.refined_BCHW.mean()).detach()
    torch.testing.assert_close(loss.w.grad, expected)


class Touchy(nn.Module):
    """A loss with a network of one weight w, which says w·mean(restored): w learns to grow, the model to shrink it."""

    traits = LossTraits(takes="inputs", reads="degraded", adversary=True)
    lr, betas = 0.1, (0.0, 0.9)

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
        self.seen: list[tuple[bool, bool, int]] = []

    def forward(self, inputs: LossInputs) -> Tensor:
        self.seen.append((inputs.refined, inputs.gt_BCHW is None, inputs.step))
        return self.w * inputs.restored_BCHW.mean()

    def own_loss(self, inputs: LossInputs) -> Tensor:
        assert not inputs.restored_BCHW.requires_grad
        assert (self.w.requires_grad, self.frozen.requires_grad) == (True, False)
        return -self.w * self.frozen * inputs.restored_BCHW.mean()


def test_an_adversary_is_trained_beside_the_model() -> None:
    """The model's step does not move it, its own step does not move the model; micro-batches change neither."""
    whole, parts = Pair(), Pair()
    losses = [Touchy(), Touchy()]
    for model, loss, micro in zip((whole, parts), losses, (None, 2), strict=True):
        aim = Objective([Term(1.0, loss)], 1.0, Adversaries([loss]))
        stepper(model, aim, micro=micro)(batch(), 7, rate=0.5)
    assert losses[0].w.item() == pytest.approx(1.0 + 0.05, rel=1e-5), "Adam's first step: lr · rate"
    assert [(refined, step) for refined, _, step in losses[0].seen] == [(False, 7), (True, 7)]
    torch.testing.assert_close(losses[0].w, losses[1].w)
    for expected, found in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(expected, found)
    assert whole.a.item() < 0.5
    assert losses[0].w.grad is None
    assert not losses[0].w.requires_grad
    assert losses[0].frozen.item() == 1.0


def test_what_a_refiner_adds_looks_at_the_final_restoration_alone() -> None:
    given, loss = batch(), Touchy()
    aim = Objective([Term(2.0, loss, added=True)], refined_weight=0.1)
    restored = Pair()(given.lq_BCHW, given.prior_BD)
    torch.testing.assert_close(of(aim, restored, given), 2.0 * restored.refined_BCHW.mean())
    assert [refined for refined, _, _ in loss.seen] == [True]


def test_image_losses_are_summed_over_a_backbones_restorations() -> None:
    given = batch(prior=False)
    first, second = given.gt_BCHW + 1, given.gt_BCHW + 2
    restored = Restored(first, outputs={"restorations": (first, second)})
    charbonnier = Charbonnier(eps=1e-3)
    expected = charbonnier(first, given.gt_BCHW) + charbonnier(second, given.gt_BCHW)
    torch.testing.assert_close(of(objective(), restored, given), expected)


def test_the_network_sees_darker_images_than_the_losses() -> None:
    """Every input is halved: Î = a·I/2, while the loss reads I beside it."""
    given, model = batch(prior=False), Pair()
    read: list[LossInputs] = []

    class Watching(Touchy):
        def forward(self, inputs: LossInputs) -> Tensor:
            read.append(inputs)
            return super().forward(inputs)

    loss = Watching()
    base = stepper(model, Objective([Term(1.0, loss)], 1.0))
    darker = Alteration(Recipe(darken=Darken(chance=1.0, least=2.0, most=2.0)), seed=0, patch=8)
    replace(base, alteration=darker)(given)
    torch.testing.assert_close(read[0].restored_BCHW, 0.5 * given.lq_BCHW / 2)
    assert torch.equal(read[0].lq_BCHW, given.lq_BCHW)


class Spoils(nn.Module):
    """A loss that changes what it is given in a way that torch does not count."""

    traits = LossTraits(takes="inputs")

    def __init__(self, act: Callable[[LossInputs], object]) -> None:
        super().__init__()
        self.act = act

    def forward(self, inputs: LossInputs) -> Tensor:
        self.act(inputs)
        return inputs.restored_BCHW.mean()


@pytest.mark.parametrize(
    "act",
    [
        lambda inputs: inputs.gt_BCHW.numpy().fill(0.0),
        lambda inputs: inputs.lq_BCHW.data.zero_(),
        lambda inputs: inputs.restored_BCHW.data.mul_(2),
        lambda inputs: inputs.outputs["maps"][0].numpy().fill(0.0),
        lambda inputs: inputs.outputs["maps"][0].zero_(),
    ],
)
def test_a_loss_that_changes_what_others_read_is_refused(act: Callable[[LossInputs], object]) -> None:
    given = batch(prior=False)
    restored = Restored(given.lq_BCHW * 0.5, outputs={"maps": [torch.ones(2)]})
    aim = Objective([Term(1.0, Spoils(act))], 1.0)
    with pytest.raises(HarnessError, match="Spoils changes what it is given"):
        of(aim, restored, given)


def test_a_loss_that_empties_its_outputs_takes_them_from_nobody_else() -> None:
    given, read = batch(prior=False), []
    restored = Restored(given.lq_BCHW * 0.5, outputs={"maps": [torch.ones(2)]})
    empties = Spoils(lambda inputs: (inputs.outputs["maps"].clear(), inputs.outputs.clear()))  # type: ignore[attr-defined]
    reads = Spoils(lambda inputs: read.append(len(inputs.outputs["maps"])))
    of(Objective([Term(1.0, empties), Term(1.0, reads)], 1.0), restored, given)
    assert read == [1]
    assert len(restored.outputs["maps"]) == 1


def test_a_restoration_that_is_not_finite_has_not_been_changed() -> None:
    given = batch(prior=False)
    restored = Restored(given.lq_BCHW * torch.nan)
    assert of(Objective([Term(1.0, Spoils(lambda inputs: None))], 1.0), restored, given).isnan()


@pytest.mark.parametrize(("dtype", "white"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_stored_pixels_train_as_the_floats_that_they_stand_for(dtype: torch.dtype, white: int) -> None:
    random = np.random.default_rng(0)
    lq, gt = random.integers(0, white, (2, 6, 3, 8, 8), endpoint=True).astype(str(dtype).removeprefix("torch."))
    stored = Batch(torch.from_numpy(lq), torch.from_numpy(gt), None, list("abcdef"))
    floats = Batch(torch.from_numpy(to_float(lq)), torch.from_numpy(to_float(gt)), None, list("abcdef"))
    one, other = Pair(), Pair()
    losses = [stepper(model, objective(), micro=4)(given) for model, given in ((one, stored), (other, floats))]
    assert torch.equal(*losses)
    assert torch.equal(one.a, other.a)


def test_every_stored_value_is_scaled_as_on_the_host() -> None:
    for dtype in (np.uint8, np.uint16):
        every = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
        np.testing.assert_array_equal(scaled(torch.from_numpy(every)).numpy(), to_float(every))
    floats = torch.rand(3)
    assert scaled(floats) is floats


def test_a_network_that_is_told_gets_the_settings_of_its_own_images() -> None:
    told: list[Tensor] = []

    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, lq_BCHW: Tensor, prior_BD: Tensor | None, settings: dict[str, Tensor]) -> Restored:
            told.append(settings["sigma"])
            return self.pair(lq_BCHW, prior_BD)

    base = stepper(Told(), objective())
    given = replace(batch(), settings={"sigma": torch.arange(6.0)})
    replace(base, micro_batch=4, tells_settings=True)(given)
    assert [values.tolist() for values in told] == [[0, 1, 2, 3], [4, 5]]
