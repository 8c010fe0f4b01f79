"""Images of one size restored together: only where each gets the bits that it gets alone, whatever the network does.

The networks are real modules with known answers; which batches they see is what the tests look at.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.refiner import RefinerTraits
from harness.api.task import Sides
from harness.core.guests import MODULES, UserInterrupt
from harness.evaluation.batches import BYTES_A_PIXEL, MOST, Batches, OnDevice, room_for, room_on
from harness.evaluation.infer import Seen, restore, restore_together
from harness.models.assemble import RestorationModel
from harness.parts.backbones.nafnet import NAFNet
from harness.parts.backbones.snr_net import SNRNet
from harness.parts.refiners.ptg_rm.refiner import PTGRM

CPU = torch.device("cpu")


class Network(nn.Module):
    """Applies a function to the batch; remembers how many images it saw at a time."""

    traits = BackboneTraits()

    def __init__(self, function: Callable[..., Tensor], **capabilities: Any) -> None:
        super().__init__()
        self.function, self.capabilities = function, Capabilities(**capabilities)
        self.batches: list[int] = []

    def forward(self, lq_BCHW: Tensor, *more: Tensor | None) -> Tensor:
        self.batches.append(len(lq_BCHW))
        return self.function(lq_BCHW, *more)


def images(number: int, height: int = 12, width: int = 10) -> list[Seen]:
    random = np.random.default_rng(number)
    return [Seen(random.random((height, width, 3), dtype=np.float32)) for _ in range(number)]


def batches(model: RestorationModel, room: int = 4, settings: dict[str, float] | None = None) -> Batches:
    def together(given: Sequence[Seen], through: Sides | None) -> Tensor:
        return restore_together(model, given, CPU, settings, through)

    return Batches(together, lambda sides: room)


def restored(by: Batches, given: Sequence[Seen], through: Sides | None = None) -> list[np.ndarray]:
    """What came of the images, in as few batches as are allowed."""
    found: list[np.ndarray] = []
    while len(found) < len(given):
        most = by.most(given[len(found)], through)
        for each in by.restored(given[len(found) : len(found) + most], through):
            assert isinstance(each, OnDevice), each
            found.append(each.fetched())
    return found


def alone(model: RestorationModel, given: Sequence[Seen], **more: Any) -> list[np.ndarray]:
    return [restore(model, each.lq_HWC, each.prior_D, CPU, each.truth_HWC, **more) for each in given]


def assert_same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.flags.c_contiguous


def test_after_a_batch_that_gives_the_same_bits_images_go_together(caplog: pytest.LogCaptureFixture) -> None:
    network = Network(lambda lq: lq * 2)
    model, given = RestorationModel(network).eval(), images(12)
    with caplog.at_level(logging.INFO, logger="harness.evaluation.batches"):
        found = restored(batches(model), given)
    assert network.batches == [1, 1, 1, 1, 4, 4, 4]
    assert caplog.messages == ["images of height 12 and width 10 are restored 4 at a time"]
    assert_same(found, alone(model, given))


def test_a_network_that_looks_over_the_batch_gets_images_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    network = Network(lambda lq: lq - lq.mean(dim=0, keepdim=True) / 64)
    model, given = RestorationModel(network).eval(), images(12)
    by = batches(model)
    with caplog.at_level(logging.INFO, logger="harness.evaluation.batches"):
        found = restored(by, given)
    assert network.batches == [1, 1, 1, 1, 4, *[1] * 8]
    assert caplog.messages == ["images of height 12 and width 10 are restored one by one: a batch gives other bits"]
    assert_same(found, alone(model, given))
    assert by.most(images(1, 8, 8)[0], None) == 4, "of other sizes nothing is known yet"


def test_a_single_bit_is_enough() -> None:
    def other(lq: Tensor) -> Tensor:
        found = lq * 2
        if len(lq) > 1:
            found[-1, 0, 0, 0] = torch.nextafter(found[-1, 0, 0, 0], torch.tensor(9.0))
        return found

    model, given = RestorationModel(Network(other)).eval(), images(8)
    assert_same(restored(batches(model), given), alone(model, given))


@pytest.mark.parametrize(("fits", "expected"), [(2, [1, 1, 1, 1, 4, 1, 1, 2, 2]), (1, [1, 1, 1, 1, 4, 1, 1, 2, 1, 1])])
def test_a_batch_too_large_for_the_memory_is_halved(fits: int, expected: list[int]) -> None:
    def hungry(lq: Tensor) -> Tensor:
        if len(lq) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return lq * 2

    network = Network(hungry)
    model, given = RestorationModel(network).eval(), images(8)
    assert_same(restored(batches(model), given), alone(model, given))
    assert network.batches[: len(expected)] == expected


def test_memory_that_ends_later_costs_no_image() -> None:
    left = [3]  # the comparison and a batch

    def hungry(lq: Tensor) -> Tensor:
        if len(lq) > 1:
            left[0] -= 1
            if not left[0]:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return lq * 2

    network = Network(hungry)
    model, given = RestorationModel(network).eval(), images(16)
    found = restored(batches(model), given)
    assert network.batches == [1, 1, 1, 1, 4, 4, 4, 1, 1, 1, 1, 1, 1, 2, 2]
    assert_same(found, [each.lq_HWC * 2 for each in given])


def test_what_a_network_draws_is_as_if_images_had_come_one_by_one() -> None:
    model, given = RestorationModel(Network(lambda lq: lq + torch.rand(1))).eval(), images(8)
    torch.manual_seed(1)
    found = restored(batches(model), given)
    torch.manual_seed(1)
    assert_same(found, alone(model, given))


def test_an_image_that_cannot_be_restored_costs_no_other() -> None:
    given = images(12)
    bad = float(given[6].lq_HWC.sum())

    def fussy(lq: Tensor) -> Tensor:
        if any(abs(float(image.sum()) - bad) < 1e-3 for image in lq):
            raise ValueError("not this one")
        return lq * 2

    by = batches(RestorationModel(Network(fussy)).eval())
    found = [each for first in (0, 4, 8) for each in by.restored(given[first : first + 4], None)]
    assert [place for place, each in enumerate(found) if not isinstance(each, OnDevice)] == [6]
    assert str(found[6]) == "not this one"


def test_an_image_too_large_for_the_memory_does_not_go_on_filling_it() -> None:
    held: list[weakref.ref[Tensor]] = []

    def hungry(lq: Tensor) -> Tensor:
        filling = torch.zeros(1000)
        held.append(weakref.ref(filling))
        raise torch.OutOfMemoryError("CUDA out of memory")

    found = batches(RestorationModel(Network(hungry)).eval()).restored(images(2), None)
    assert [type(each) for each in found] == [torch.OutOfMemoryError] * 2
    assert [each() for each in held] == [None, None]


def test_ctrl_c_is_no_reason_to_go_on() -> None:
    def interrupted(lq: Tensor) -> Tensor:
        raise UserInterrupt

    with pytest.raises(KeyboardInterrupt):
        batches(RestorationModel(Network(interrupted)).eval()).restored(images(4), None)


class Adder(nn.Module):
    """A refiner that adds the prior's map, made as large as the image."""

    traits = RefinerTraits()

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        map_BChw = prior_BD.unflatten(1, (1, 2, 3))
        return initial_BCHW + nn.functional.interpolate(map_BChw, size=lq_BCHW.shape[-2:], mode="nearest")


@pytest.mark.parametrize("capabilities", [{}, {"size_multiple": 8}, {"size_multiple": 4, "tile": 16}])
def test_each_image_of_a_batch_gets_its_own_prior_truth_and_settings(capabilities: dict[str, int]) -> None:
    random = np.random.default_rng(0)
    given = [
        Seen(
            random.random((29, 38, 3), dtype=np.float32),
            random.random(6, dtype=np.float32),
            random.random((29, 38, 3), dtype=np.float32),
        )
        for _ in range(8)
    ]
    network = Network(
        lambda lq, truth, sigma: lq * 3 + truth + sigma[:, None, None, None], told=("sigma",), **capabilities
    )
    model = RestorationModel(network, Adder(), prior_shape=(1, 2, 3), shows_truth=("training", "test")).eval()
    by = batches(model, settings={"sigma": 25.0})
    found = restored(by, given)
    assert max(network.batches) == 4
    assert by.most(given[0], None) == 4, "the whole batch gave the same bits"
    assert_same(found, alone(model, given, settings={"sigma": 25.0}))
    assert len({float(each.mean()) for each in found}) == 8


def test_images_that_are_resized_for_the_network_go_together_with_their_maps() -> None:
    torch.manual_seed(0)
    model = RestorationModel(SNRNet(nf=4, short_rbs=1, layers=1, heads=2, head_dim=4, inner=8)).eval()
    given = images(8, 50, 70)
    assert_same(restored(batches(model), given, (64, 96)), alone(model, given, through=(64, 96)))


@pytest.mark.parametrize(
    ("free", "tile", "sides", "room"),
    [
        (0, None, (100, 100), 1),  # a single image is tried whatever is left
        (3.5, None, (100, 100), 3),
        (1000, None, (100, 100), MOST),
        (3.5, 50, (100, 100), 14),  # of tiles one at a time is computed
        (3.5, 200, (100, 100), 3),
    ],
)
def test_how_many_images_fit_follows_from_the_memory_that_is_left(
    monkeypatch: pytest.MonkeyPatch, free: float, tile: int | None, sides: Sides, room: int
) -> None:
    """`free`: memory for so many images of 100×100; a part of it is held by torch, and used by nobody."""
    left, held = int(free * BYTES_A_PIXEL * 100 * 100), 1000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (max(0, left - held), 2**40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5000 + held)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5000)
    assert room_on(torch.device("cuda"), Capabilities(tile=tile))(sides) == room


def small_net() -> nn.Module:
    return NAFNet(width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))


def of_user(network: nn.Module) -> nn.Module:
    """The network as a plug-in would have it that inherits from it."""
    own: Any = type(network)
    network.__class__ = type("Mine", (own,), {"__module__": f"{MODULES}mine", "traits": own.traits})
    return network


def ptg_rm() -> nn.Module:
    return PTGRM(6, width=4, long_blocks=1, prior_hidden=8, prior_width=6)


@pytest.mark.parametrize(
    ("networks", "room"),
    [
        (lambda: (small_net(),), MOST),
        (lambda: (small_net(), ptg_rm()), MOST),
        (lambda: (of_user(small_net()),), 1),
        (lambda: (of_user(small_net()), ptg_rm()), 1),
        (lambda: (small_net(), of_user(ptg_rm())), 1),
        (lambda: (Network(lambda lq: lq),), 1),  # from wherever it is, no test of the harness has tried it
    ],
    ids=["own", "own refined", "plug-in", "plug-in refined", "own refined by a plug-in", "of elsewhere"],
)
def test_only_networks_that_are_known_not_to_look_over_a_batch_get_one(
    monkeypatch: pytest.MonkeyPatch, networks: Callable[[], tuple[nn.Module, ...]], room: int
) -> None:
    """One comparison does not tell: a network may look over a batch where some image is dark, and the first is not."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**40, 2**40))
    model = RestorationModel(*networks())
    assert room_for(model, torch.device("cuda"))((64, 64)) == room
