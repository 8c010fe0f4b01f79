"""What a refiner does inside or beside F leaves F's random numbers and statistics as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.batch import Batch, Restored
from harness.api.loss import LossInputs, LossTraits
from harness.api.refiner import RefinerTraits
from harness.models.apart import in_evaluation, own_draws
from harness.models.assemble import RestorationModel
from harness.training.engines.ddp import start_ddp
from harness.training.objective import Objective, Term
from harness.training.passes import Passes
from harness.training.step import Stepper


class Dropping(nn.Module):
    """A network with dropout on both sides of its tap, and batch norm."""

    traits = BackboneTraits(taps=True, decoder=True)
    capabilities = Capabilities(taps=("first",), decoder=("first",))

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5))
        self.last = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.5))

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        result: Tensor = self.last(self.first(lq_BCHW))
        return result


class Drawing(nn.Module):
    """A refiner that draws wherever it can, and changes nothing."""

    traits = RefinerTraits(placements=("image", "features"), edits="decoder", needs_prior=False)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def _unchanged(self, image_BCHW: Tensor) -> Tensor:
        return image_BCHW + self.weight * torch.rand(7).sum()

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor | None) -> Tensor:
        return self._unchanged(initial_BCHW)

    def edits(
        self, lq_BCHW: Tensor, prior_BD: Tensor | None, truth_BCHW: Tensor | None, before_BCHW: Tensor | None = None
    ) -> tuple[Sequence[Callable[[Tensor], Tensor]], dict[str, Any]]:
        torch.rand(5)
        return [self._unchanged], {}


class Editing(Drawing):
    """The same on F's deepest tap alone."""

    traits = RefinerTraits(placements=("features",), edits="tap", needs_prior=False)

    def edit(self, features_BChw: Tensor, prior_BD: Tensor | None) -> Tensor:
        return self._unchanged(features_BChw)


class Noisy(nn.Module):
    """A loss that draws: its value is its random number."""

    traits = LossTraits(takes="inputs")

    def forward(self, inputs: LossInputs) -> Tensor:
        return inputs.restored_BCHW.sum() * 0 + torch.rand(())


def network() -> Dropping:
    torch.manual_seed(0)
    return Dropping()


def models() -> dict[str, RestorationModel]:
    """The base, and every way of refining it."""
    return {
        "base": RestorationModel(network()),
        "image": RestorationModel(network(), Drawing()),
        "tap": RestorationModel(network(), Editing(), taps=("first",)),
        "decoder": RestorationModel(network(), Drawing(), taps=("first",)),
        "two passes": RestorationModel(network(), Drawing(), taps=("first",), passes=2),
    }


def stepped(model: RestorationModel, terms: Sequence[Term], micro_batch: int | None = None) -> list[Restored]:
    """What the model restored in each part of one optimizer step."""
    seen: list[Restored] = []

    class Judge(Objective):
        def __call__(self, restored: Restored, images: Any, **how: Any) -> Tensor:
            seen.append(restored)
            return super().__call__(restored, images, **how)

    torch.manual_seed(7)
    batch = Batch(torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8), None, list("abcd"))
    engine, passes = start_ddp("fp32", gpus=0), Passes(model.train(), Judge(terms, 1.0))
    engine.prepare(passes, SGD(model.parameters(), lr=0.0))
    Stepper(engine, passes, micro_batch, None, group=micro_batch)(batch, 3)
    return seen


TERMS = (Term(1.0, Noisy()),)


@pytest.mark.parametrize("micro_batch", [None, 2, 1])
@pytest.mark.parametrize("treatment", ["image", "tap", "decoder", "two passes"])
def test_a_refined_network_drops_what_its_base_drops(treatment: str, micro_batch: int | None) -> None:
    base = stepped(models()["base"], TERMS, micro_batch)
    refined = stepped(models()[treatment], TERMS, micro_batch)
    assert len(base) == len(refined) == 4 // (micro_batch or 4)
    for one, other in zip(base, refined, strict=True):
        assert torch.equal(one.initial_BCHW, other.initial_BCHW)
    assert any(bool((each.initial_BCHW == 0).any()) for each in base)


def test_parts_of_a_batch_do_not_drop_alike() -> None:
    first, second = stepped(models()["base"], TERMS, 2)
    assert not torch.equal(first.initial_BCHW == 0, second.initial_BCHW == 0)


@pytest.mark.parametrize("treatment", ["tap", "decoder", "two passes"])
def test_statistics_see_every_image_once(treatment: str) -> None:
    base, refined = models()["base"], models()[treatment]
    stepped(base, TERMS)
    stepped(refined, TERMS)
    for name, value in base.backbone.state_dict().items():
        assert torch.equal(value, refined.backbone.state_dict()[name]), name


class Collected(Noisy):
    """Keeps what it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: dict[bool, list[float]] = {False: [], True: []}

    def forward(self, inputs: LossInputs) -> Tensor:
        value = torch.rand(())
        self.drawn[inputs.refined].append(float(value))
        return inputs.restored_BCHW.sum() * 0 + value


@pytest.mark.parametrize("treatment", ["image", "decoder", "two passes"])
def test_losses_draw_alike_whatever_stands_beside_them(treatment: str) -> None:
    def drawn(name: str, *more: Term) -> list[list[float]]:
        losses = [Collected(), Collected()]
        stepped(models()[name], [*(Term(1.0, loss) for loss in losses), *more], 2)
        return [loss.drawn[False] for loss in losses]

    base = drawn("base")
    assert base == drawn(treatment, Term(1.0, Noisy(), added=True))
    assert len({value for each in base for value in each}) == 4


def test_draws_of_its_own_follow_the_seed_and_the_owner() -> None:
    def both(seed: int, owner: str) -> tuple[float, float]:
        torch.manual_seed(seed)
        with own_draws(owner):
            inside = float(torch.rand(()))
        return inside, float(torch.rand(()))

    torch.manual_seed(1)
    outside = float(torch.rand(()))
    assert both(1, "a")[1] == both(1, "b")[1] == outside
    assert both(1, "a") == both(1, "a")
    assert len({both(1, "a")[0], both(1, "b")[0], both(2, "a")[0], outside}) == 4


Mode = Literal["raises", "returns"]


@pytest.mark.parametrize("end", ["raises", "returns"])
def test_parts_that_were_frozen_stay_so(end: Mode) -> None:
    model = network().train()
    model.last.eval()
    before = {name: part.training for name, part in model.named_modules()}
    try:
        with in_evaluation(model):
            assert not any(part.training for part in model.modules())
            if end == "raises":
                raise RuntimeError
    except RuntimeError:
        pass
    assert {name: part.training for name, part in model.named_modules()} == before
