"""SKF's embeddings on a decoder: which image and which features lead them, and what a cell keeps of it all."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError
from harness.parts.backbones.uretinex import URetinex
from harness.parts.refiners.skf.guidance import SemanticGuidance
from harness.parts.refiners.skf.hrnet import HRNet
from harness.parts.shared import taps
from harness.parts.shared.guidance import KEPT, SIDE, content_numbers, noise
from harness.testing import checks
from tests import tiny_hrnet

WIDTHS = (8, 6, 4)


@pytest.fixture(scope="module")
def network() -> HRNet:
    return tiny_hrnet.build()


@pytest.fixture
def skf(network: HRNet) -> SemanticGuidance:
    torch.manual_seed(0)
    return SemanticGuidance(WIDTHS, network).eval()


def decoder(height: int = 32, width: int = 64) -> list[Tensor]:
    """Features of a decoder at 1/4, 1/2 and full size."""
    return [
        checks.images(2, C, height // scale, width // scale, seed=C) for C, scale in zip(WIDTHS, (4, 2, 1), strict=True)
    ]


def edited(
    skf: SemanticGuidance, lq: Tensor, truth: Tensor | None = None, restored: Tensor | None = None
) -> list[Tensor]:
    edits, _ = skf.edits(lq, None, truth, restored)
    return [edit(x) for edit, x in zip(edits, decoder(*lq.shape[-2:]), strict=True)]


def test_finer_levels_take_finer_branches_and_deep_ones_the_third(network: HRNet) -> None:
    skf = SemanticGuidance((4, 4, 4, 4, 4), network)
    assert [block.conv1.in_channels for block in skf.blocks] == [8, 8, 8, 6, 4]
    features = [torch.rand(1, C, 8 >> n, 8 >> n) for n, C in enumerate(tiny_hrnet.CHANNELS)]
    x = torch.rand(1, 4, 16, 16)
    for branch, led in enumerate(([4], [3], [0, 1, 2], [])):
        changed = [f.flip(-1) if n == branch else f for n, f in enumerate(features)]
        pairs = zip(skf.functions(features, (32, 32)), skf.functions(changed, (32, 32)), strict=True)
        assert [n for n, (one, other) in enumerate(pairs) if not torch.equal(one(x), other(x))] == led


def test_semantics_are_the_inputs_unless_training_is_told_to_read_the_truth(network: HRNet) -> None:
    lq, truth = checks.images(2, 3, 32, 64), checks.images(2, 3, 32, 64, seed=1)
    torch.manual_seed(0)
    told = SemanticGuidance(WIDTHS, network, semantics="truth")
    assert told.reads_truth
    given, shown = (edited(told.eval(), image) for image in (lq, truth))
    assert not torch.equal(given[0], shown[0])
    assert all(map(torch.equal, edited(told.eval(), lq, truth), given))
    assert all(map(torch.equal, edited(told.train(), lq, truth), shown))
    with pytest.raises(HarnessError, match="clean images"):
        edited(told.train(), lq)
    told.reads_truth = False
    assert all(map(torch.equal, edited(told.train(), lq, truth), given))


def test_a_second_pass_is_led_by_the_result_of_the_first(skf: SemanticGuidance) -> None:
    lq, first = checks.images(2, 3, 32, 64), 1.2 * checks.images(2, 3, 32, 64, seed=1) - 0.1
    assert all(map(torch.equal, edited(skf, lq, restored=first), edited(skf, first)))
    assert not torch.equal(edited(skf, lq)[0], edited(skf, first)[0])


def control(network: HRNet, guidance: Literal["shuffled", "random"]) -> SemanticGuidance:
    torch.manual_seed(0)
    return SemanticGuidance(WIDTHS, network, guidance=guidance).eval()


def led_by(skf: SemanticGuidance, features: Sequence[Tensor]) -> list[Tensor]:
    """The decoder's features, with semantic features from coarse to fine as they are."""
    pairs = zip(skf.blocks, decoder(), features, strict=True)
    return [block(x, semantics) for block, x, semantics in pairs]


def test_shuffled_semantics_are_those_of_an_image_of_the_training(network: HRNet) -> None:
    shuffled, lq = control(network, "shuffled"), checks.images(2, 3, 32, 64)
    assert shuffled.others is not None
    edited(shuffled, lq)
    assert shuffled.others.count.item() == 0, "what is in use is not kept"
    trained = checks.images(KEPT, 3, SIDE, SIDE, seed=1)
    for part in trained.split(3):
        shuffled.train().edits(part, None, None)
    assert torch.equal(shuffled.others.images_N3SS, trained)
    for pass_, restored in enumerate((None, lq.flip(-1))):
        chosen = trained[(content_numbers(lq) + pass_) % KEPT][..., :32, :64]
        expected = led_by(shuffled, network.features(chosen)[2::-1])
        for mode in (True, False):
            assert all(map(torch.equal, edited(shuffled.train(mode), lq, restored=restored), expected))
    alone = [edited(shuffled, image)[0] for image in (lq[:1].repeat(2, 1, 1, 1), lq[1:].repeat(2, 1, 1, 1))]
    assert torch.equal(alone[0][0], edited(shuffled, lq)[0][0])
    assert torch.equal(alone[1][1], edited(shuffled, lq)[0][1])


def test_random_semantics_ask_no_network(network: HRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "features", None)
    random, lq = control(network, "random"), checks.images(2, 3, 32, 64)
    for pass_, restored in enumerate((None, lq.flip(-1))):
        expected = led_by(
            random, [noise(lq, C, 32 // s, 64 // s, 3 * pass_ + n) for n, C, s in ((2, 8, 16), (1, 6, 8), (0, 4, 4))]
        )
        for mode in (True, False):
            assert all(map(torch.equal, edited(random.train(mode), lq, restored=restored), expected))


def test_controls_have_the_parameters_and_the_start_of_what_they_are_compared_with(
    skf: SemanticGuidance, network: HRNet
) -> None:
    lq = checks.images(2, 3, 32, 64)
    own = dict(skf.named_parameters())
    assert not list(skf.buffers()), "its checkpoints hold nothing more"
    for each in (control(network, "shuffled"), control(network, "random")):
        theirs = dict(each.named_parameters())
        assert own.keys() == theirs.keys()
        assert all(torch.equal(own[name], theirs[name]) for name in own)
        assert not torch.equal(edited(each, lq)[0], edited(skf, lq)[0])


def test_padded_images_meet_their_own_part_of_the_semantics(skf: SemanticGuidance) -> None:
    """An image of 40×72 is segmented as 64×96, of which each map is the upper left corner."""
    lq = checks.images(2, 3, 40, 72)
    whole = F.pad(lq, (0, 24, 0, 24), mode="reflect")
    with torch.no_grad():
        for block, x, semantics, got in zip(
            skf.blocks, decoder(40, 72), skf._frozen[0].features(whole)[2::-1], edited(skf, lq), strict=True
        ):
            h, w = x.shape[-2:]
            enlarged = F.interpolate(semantics, size=(64 * h // 40, 96 * w // 72), mode="nearest")[..., :h, :w]
            checks.assert_close(got, block(x, enlarged), "the corner", tolerance=1e-5)


def test_segment_gives_the_classes_of_any_size(skf: SemanticGuidance, network: HRNet) -> None:
    _, outputs = skf.edits(checks.images(1, 3, 32, 32), None, None)
    image = checks.images(2, 3, 64, 32).requires_grad_(True)
    probabilities = outputs["segment"](image)
    assert torch.equal(probabilities, network(image).classes())
    probabilities.square().sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0, "an adversary that judges the classes is to reach the image"
    image.requires_grad_(False)
    assert outputs["segment"](image[..., :37, :5]).shape == (2, tiny_hrnet.CLASSES, 37, 5)


def test_the_segmentation_network_is_no_part_of_what_is_trained_and_saved(skf: SemanticGuidance) -> None:
    network = skf._frozen[0]
    skf.train().requires_grad_(True)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {name.partition(".")[0] for name in skf.state_dict()} == {"blocks"}
    own = {id(parameter) for parameter in skf.parameters()}
    assert own.isdisjoint(map(id, network.parameters()))


def test_it_follows_to_a_device_and_stays_float32(network: HRNet) -> None:
    skf = SemanticGuidance(WIDTHS, copy.deepcopy(network)).to(torch.float64)
    assert next(skf.parameters()).dtype == torch.float64
    assert {p.dtype for p in skf._frozen[0].parameters()} == {torch.float32}
    skf.to("meta")  # the one other device that every machine has
    assert {p.device.type for p in skf._frozen[0].parameters()} == {"meta"}


def test_inside_a_network_that_knows_nothing_of_it(network: HRNet) -> None:
    """URetinex's adjustment, edited at two levels through hooks: gradients reach both from the restored image."""
    torch.manual_seed(0)
    backbone, skf = URetinex(rounds=1), SemanticGuidance((32, 32), network)
    lq = checks.images(1, 3, 32, 32)

    def restored() -> Tensor:
        edits, _ = skf.edits(lq, None, None)
        with ExitStack() as hooks:
            for name, edit in zip(("adjustment.relu1", "adjustment.relu3"), edits, strict=True):
                hooks.enter_context(taps.edited(backbone, name, edit))
            return backbone(lq)

    assert not torch.equal(restored(), backbone(lq))
    for module in (skf, backbone.adjustment):
        assert not checks.without_gradient(module, lambda: restored().square().mean())


def test_heads_divide_the_widths(network: HRNet) -> None:
    with pytest.raises(HarnessError, match="do not divide"):
        SemanticGuidance((8, 7), network)
