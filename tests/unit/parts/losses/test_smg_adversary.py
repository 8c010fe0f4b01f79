"""SMG's adversary: the two losses by hand, R1 numerically, gradients where they belong, and that D learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses.smg_adversary import Discriminator, SMGAdversary, r1
from harness.parts.losses.smg_structure import edges
from harness.testing import checks
from tests.unit.parts.losses.inputs import refined


def adversary(size: Any = 16) -> SMGAdversary:
    torch.manual_seed(0)
    return SMGAdversary(size=size, narrow=0.125)


def inputs(step: int = 1, sides: tuple[int, int] = (16, 16)) -> LossInputs:
    made = checks.images(2, 1, *sides, seed=1)
    return refined(checks.images(2, 3, *sides), step=step, structure=made)


def test_is_an_adversary() -> None:
    assert adversary().traits.adversary
    assert SMGAdversary(size=8, lr=1e-5).lr == 1e-5
    assert adversary().betas == (0.9, 0.999)


def test_losses_by_definition() -> None:
    loss, given = adversary(), inputs()
    assert given.gt_BCHW is not None
    made, true = loss.discriminator(given.outputs["structure"]), loss.discriminator(edges(given.gt_BCHW))
    assert made.shape == (2, 1)
    assert torch.allclose(loss(given), F.softplus(-made).mean())
    assert torch.allclose(loss.own_loss(given), F.softplus(-true).mean() + F.softplus(made).mean())


def test_r1_on_every_sixteenth_step() -> None:
    loss = adversary()
    plain, penalised, later = (loss.own_loss(inputs(step)) for step in (15, 16, 32))
    true = edges(inputs().gt_BCHW).requires_grad_()
    penalty = r1(loss.discriminator(true), true)
    assert torch.allclose(penalised - plain, 5 * 16 * penalty, rtol=1e-3)
    assert torch.equal(penalised, later)


def test_r1_is_the_squared_gradient() -> None:
    """Against central differences of a function of nine numbers."""
    torch.manual_seed(0)
    mixing = torch.randn(9, 9, dtype=torch.float64)

    def score(maps: Tensor) -> Tensor:
        return (maps.flatten(1) @ mixing).tanh().sum(1, keepdim=True)

    maps = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    steps = 1e-5 * torch.eye(9, dtype=torch.float64).view(9, 1, 1, 3, 3)
    with torch.no_grad():
        slopes = torch.stack([(score(maps + step) - score(maps - step))[:, 0] / 2e-5 for step in steps])
    assert r1(score(maps), maps).item() == pytest.approx(slopes.square().sum(0).mean().item(), rel=1e-6)


def test_r1_teaches_every_weight() -> None:
    network = Discriminator(16, 0.125)
    checks.stir(network)
    maps = checks.images(2, 1, 16, 16).requires_grad_()
    lost = checks.without_gradient(network, lambda: r1(network(maps), maps))
    # Between kinks the score is linear in the map, so that a bias does not change its slope.
    assert all(name.endswith(".bias") or name.startswith("entries.1") for name in lost)


def test_the_models_loss_reaches_the_map_and_not_the_discriminator() -> None:
    loss = adversary()
    made = checks.images(2, 1, 16, 16).requires_grad_()
    loss(refined(checks.images(2, 3, 16, 16), structure=made)).backward()
    assert made.grad is not None
    assert made.grad.any()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in loss.parameters())


def test_its_own_loss_reaches_the_discriminator_and_not_the_map() -> None:
    loss = adversary()
    checks.stir(loss)
    made = checks.images(2, 1, 16, 16).requires_grad_()
    given = refined(checks.images(2, 3, 16, 16), step=16, structure=made)
    lost = checks.without_gradient(loss, lambda: loss.own_loss(given))
    assert lost == [f"discriminator.entries.1.{name}" for name in ("0.weight", "1.bias")]  # where maps of 8×8 enter
    assert made.grad is None


def test_the_discriminator_learns() -> None:
    loss, given = adversary(), inputs()
    optimizer = torch.optim.Adam(loss.parameters(), lr=5e-3, betas=loss.betas)
    for step in range(1, 33):
        optimizer.zero_grad()
        loss.own_loss(refined(given.gt_BCHW, step=step, structure=given.outputs["structure"])).backward()
        optimizer.step()
    with torch.no_grad():
        true = loss.discriminator(edges(given.gt_BCHW))
        assert true.min() > loss.discriminator(given.outputs["structure"]).max() + 1


@pytest.mark.parametrize(
    ("sides", "expected"), [((16, 16), 16), ((12, 9), 16), ((8, 8), 8), ((3, 5), 8), ((40, 24), 32), ((8, 33), 32)]
)
def test_maps_are_resized_to_a_power_of_two(sides: tuple[int, int], expected: int) -> None:
    network, maps = Discriminator(32, 0.125), checks.images(2, 1, *sides)
    fitted = network.fitted(maps)
    assert fitted.shape[-2:] == (expected, expected)
    assert torch.equal(network(maps), network(fitted))
    assert (fitted is maps) == (sides == (expected, expected))


def test_small_maps_meet_a_small_discriminator() -> None:
    large, small = Discriminator(32, 0.125), Discriminator(8, 0.125)
    small.entries[0].load_state_dict(large.entries[2].state_dict())
    small.blocks[0].load_state_dict(large.blocks[2].state_dict())
    small.last.load_state_dict(large.last.state_dict())
    small.score.load_state_dict(large.score.state_dict())
    maps = checks.images(2, 1, 8, 8)
    assert torch.equal(large(maps), small(maps))


def test_truth_and_map_of_another_size() -> None:
    loss, given = adversary(8), inputs(16, (24, 12))
    assert loss(given).isfinite()
    assert loss.own_loss(given).isfinite()


def test_a_score_does_not_depend_on_the_batch() -> None:
    network, maps = Discriminator(8, 0.125), checks.images(3, 1, 8, 8)
    alone = torch.cat([network(one) for one in maps.split(1)])
    checks.assert_close(network(maps), alone, "in a batch and alone", tolerance=1e-5)


@pytest.mark.parametrize("size", [4, 24])
def test_sizes_that_do_not_fit(size: Any) -> None:
    with pytest.raises(HarnessError, match="power of two"):
        SMGAdversary(size=size)


def test_widths_of_the_authors() -> None:
    with torch.device("meta"):
        network = Discriminator(512, 1.0)
    widths = [block.main[1][1].weight.shape[:2] for block in network.blocks]
    assert widths == [(16, 8), (32, 16), (64, 32), (64, 64), (64, 64), (64, 64), (64, 64)]
