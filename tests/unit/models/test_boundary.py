"""Refiners inside F, and passes of F before the last: their faults are their own, and leave no trace in others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.core.errors import HarnessError
from harness.core.running import import_file
from harness.evaluation.infer import restore
from harness.models.assemble import RestorationModel
from harness.models.boundary import guarded

GUESTS = """
import torch
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.refiner import RefinerTraits


class Tap(nn.Module):
    traits = RefinerTraits(placements=("features",), edits="tap")

    def edit(self, features_BChw, prior_BD):
        ACT
        return features_BChw


class Decoder(nn.Module):
    traits = RefinerTraits(placements=("features",), edits="decoder")

    def edits(self, lq_BCHW, prior_BD, truth_BCHW, restored_BCHW=None):
        def edit(features_BChw):
            ACT
            return features_BChw

        return [edit], {}


class Hasty(nn.Module):
    traits = RefinerTraits(placements=("features",), edits="decoder")

    def edits(self, lq_BCHW, prior_BD, truth_BCHW, restored_BCHW=None):
        ACT
        return [lambda features_BChw: features_BChw], {}


class Early(nn.Module):
    traits = BackboneTraits(decoder=True)

    def __init__(self):
        super().__init__()
        self.first = nn.Identity()
        self.capabilities = Capabilities(decoder=("first",))

    def forward(self, lq_BCHW):
        if not self.training:
            ACT
        return self.first(lq_BCHW) + 0.0
"""


class Plain(nn.Module):
    """A backbone with one map, that of the images."""

    traits = BackboneTraits(taps=True, decoder=True)
    capabilities = Capabilities(taps=("first",), decoder=("first",))

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        result: Tensor = self.first(lq_BCHW)
        return result


@pytest.fixture
def guest(tmp_path: Path) -> Callable[[str, str], Any]:
    def made(name: str, act: str) -> Any:
        file = tmp_path / f"{name}{abs(hash(act))}.py"
        file.write_text(GUESTS.replace("ACT", act))
        return getattr(import_file(str(file)), name)()

    return made


def model(refiner: Any, **how: Any) -> RestorationModel:
    torch.manual_seed(0)
    return RestorationModel(Plain(), refiner, taps=("first",), **how).train()


IMAGES = torch.full((2, 3, 4, 4), 0.5)


@pytest.mark.parametrize("name", ["Tap", "Decoder", "Hasty"])
@pytest.mark.parametrize("training", [True, False])
def test_a_prior_changed_inside_the_network_is_the_refiners_fault(
    guest: Callable[[str, str], Any], name: str, training: bool
) -> None:
    with pytest.raises(HarnessError, match=f"{name} changes what it is given") as caught:
        model(guest(name, "prior_BD.mul_(0.5)")).train(training)(IMAGES.clone(), torch.ones(2, 4))
    assert caught.value.kind == "plugin"


@pytest.mark.parametrize("act", ["prior_BD.data.mul_(0.5)", "prior_BD.detach().numpy()[:] = 0"])
@pytest.mark.parametrize("name", ["Tap", "Decoder", "Hasty"])
@pytest.mark.parametrize("training", [True, False])
def test_a_change_that_torch_does_not_count_is_seen(
    guest: Callable[[str, str], Any], name: str, act: str, training: bool
) -> None:
    with pytest.raises(HarnessError, match=f"{name} changes what it is given"):
        model(guest(name, act)).train(training)(IMAGES.clone(), torch.ones(2, 4))


@pytest.mark.parametrize("name", ["Tap", "Decoder"])
def test_a_map_changed_in_place_is_the_refiners_fault(guest: Callable[[str, str], Any], name: str) -> None:
    with pytest.raises(HarnessError, match=f"{name} changes what it is given"):
        model(guest(name, "features_BChw.detach().mul_(0.5)"))(IMAGES.clone(), torch.ones(2, 4))


def test_images_changed_by_edits_are_not_the_networks_fault(guest: Callable[[str, str], Any]) -> None:
    with pytest.raises(HarnessError, match="Decoder changes what it is given"):
        model(guest("Decoder", "lq_BCHW.zero_()"))(IMAGES.clone(), torch.ones(2, 4))


@pytest.mark.parametrize("name", ["Tap", "Decoder", "Hasty"])
def test_settings_are_put_back_in_the_refiners_name(
    guest: Callable[[str, str], Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    refiner = guest(name, "torch.set_default_dtype(torch.float64)")
    type(refiner).__name__ = f"{name}Alone"  # each part is told of once
    model(refiner)(IMAGES.clone(), torch.ones(2, 4))
    assert torch.get_default_dtype() is torch.float32
    assert f"{name}Alone changes settings of torch or numpy, which are put back: default dtype" in caplog.text
    assert "Plain changes" not in caplog.text


@pytest.mark.parametrize("name", ["Tap", "Decoder", "Hasty"])
def test_what_edits_raise_is_told_with_file_and_line(guest: Callable[[str, str], Any], name: str) -> None:
    with pytest.raises(HarnessError, match="KeyError: 'x'") as caught:
        model(guest(name, "{}['x']"))(IMAGES.clone(), torch.ones(2, 4))
    assert caught.value.kind == "plugin"
    assert caught.value.where.rpartition(":")[2] == {"Tap": "13", "Decoder": "22", "Hasty": "32"}[name]


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("return features_BChw.long()", "edits a map of floats to int64"),
        ("return features_BChw.to('meta')", "edits a map on cpu to one on meta"),
        ("return None", "edits a map 2×3×4×4 to a NoneType"),
    ],
)
def test_an_edit_gives_a_map_like_the_one_that_it_got(guest: Callable[[str, str], Any], act: str, what: str) -> None:
    for name in ("Tap", "Decoder"):
        with pytest.raises(HarnessError, match=f"{name} {what}"):
            model(guest(name, act))(IMAGES.clone(), torch.ones(2, 4))


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("return None", "a NoneType as its edits"),
        ("return [abs]", "a list as its edits"),
        ("return [abs], None", "a list and a NoneType as its edits"),
        ("return [3], {}", "a list and a dict as its edits"),
        ("return [], {}", "0 edits for 1 decoder features"),
        ("return [abs, abs], {}", "2 edits for 1 decoder features"),
    ],
)
def test_edits_that_are_none_are_refused(guest: Callable[[str, str], Any], act: str, what: str) -> None:
    with pytest.raises(HarnessError, match=f"Hasty gives {what}") as caught:
        model(guest("Hasty", act))(IMAGES.clone(), torch.ones(2, 4))
    assert caught.value.kind == "plugin"


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("lq_BCHW.mul_(0.5)", "Early changes what it is given"),
        ("return lq_BCHW[:1]", "Early gives 1×3×4×4 for 2×3×4×4"),
        ("{}['x']", "KeyError: 'x'"),
    ],
)
def test_an_earlier_pass_is_guarded_like_the_last(guest: Callable[[str, str], Any], act: str, what: str) -> None:
    network = RestorationModel(guest("Early", act), guest("Hasty", "pass"), taps=("first",), passes=2).train()
    with pytest.raises(HarnessError, match=what) as caught:
        network(IMAGES.clone(), torch.ones(2, 4))
    assert caught.value.kind == "plugin"


def test_a_network_that_seeds_torch_leaves_the_refiners_draws(guest: Callable[[str, str], Any]) -> None:
    def drawn(act: str) -> Tensor:
        part = guest("Early", act).eval()
        torch.manual_seed(5)
        guarded(part, part, IMAGES)
        return torch.rand(3)

    assert torch.equal(drawn("torch.manual_seed(0)"), drawn("pass"))


@pytest.mark.parametrize("act", ["prior_BD.mul_(0.5)", "lq_BCHW.mul_(0.5)"])
def test_a_refiner_changes_nothing_in_test_either(guest: Callable[[str, str], Any], act: str) -> None:
    network = model(guest("Hasty", act)).eval()
    with pytest.raises(HarnessError, match="Hasty changes what it is given"):
        restore(network, np.full((8, 8, 3), 0.5, np.float32), np.ones(4, np.float32), torch.device("cpu"))
