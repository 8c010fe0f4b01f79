from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.core.errors import HarnessError
from harness.parts.backbones.sci import SCI
from harness.testing import checks


def test_options_are_checked() -> None:
    with pytest.raises(HarnessError, match="at least one stage"):
        SCI(stage=0)
    with pytest.raises(HarnessError, match="no training cascade"):
        SCI().stages(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("stage", [1, 2, 4])
def test_any_number_of_stages_shares_the_same_weights(stage: int) -> None:
    cascade = SCI(stage=stage)
    assert sum(parameter.numel() for parameter in cascade.parameters()) == 5_877
    assert len(cascade.stages(torch.rand(1, 3, 8, 8))) == stage


def test_the_first_stage_is_what_forward_gives() -> None:
    cascade, image = SCI(stage=2).eval(), torch.rand(1, 3, 8, 8)
    checks.stir(cascade)
    alone = SCI().eval()
    alone.enhance.load_state_dict(cascade.enhance.state_dict())
    with torch.no_grad():
        first, second = cascade.stages(image)
        assert torch.equal(cascade(image), first.enhanced_BCHW)
        assert torch.equal(alone(image), first.enhanced_BCHW)
    assert torch.equal(first.input_BCHW, image)
    assert torch.equal(second.input_BCHW, image + first.correction_BCHW)


def test_later_stages_train_the_calibration() -> None:
    cascade, image = SCI(stage=3), torch.rand(2, 3, 16, 16)
    checks.stir(cascade)
    lost = checks.without_gradient(
        cascade, lambda: torch.stack([s.illumination_BCHW.mean() for s in cascade.stages(image)]).sum()
    )
    assert not lost


def test_first_weights_are_the_authors() -> None:
    """Its train.py applies model.py's `weights_init`: N(0, 0.02²), no biases, norms N(1, 0.02²)."""
    networks = [SCI(stage=3) for _ in range(8)]
    drawn: dict[str, list[torch.Tensor]] = {}
    for network in networks:
        for name, module in network.named_modules():
            kind = type(module).__name__
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                assert module.bias is not None
                assert not module.bias.any(), name
                drawn.setdefault(kind, []).append(module.weight.detach().flatten())
    convolutions, norms = torch.cat(drawn["Conv2d"]), torch.cat(drawn["BatchNorm2d"])
    assert (float(convolutions.mean()), float(convolutions.std())) == pytest.approx((0, 0.02), abs=3e-4)
    assert (float(norms.mean()), float(norms.std())) == pytest.approx((1, 0.02), abs=4e-3)
