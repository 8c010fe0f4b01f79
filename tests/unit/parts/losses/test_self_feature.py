"""EnlightenGAN's self-feature loss, with VGG-16's layout and random weights."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import vgg16

from harness.core.errors import DataError, MissingWeights
from harness.parts.losses import self_feature
from harness.parts.losses.patches import random_patches
from harness.weights.files import needed_files
from tests.small_vgg import small_vgg


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"


small_vgg16 = partial(small_vgg, vgg16)


@pytest.fixture
def loss(file, publish, monkeypatch):
    monkeypatch.setattr("harness.parts.losses.vgg.vgg16", small_vgg16)
    torch.manual_seed(0)
    assert publish("vgg16/imagenet", small_vgg16().state_dict()) == file
    return self_feature.SelfFeature(patches=2, patch=16).to("cpu")


def test_without_weights_it_is_blocked(file) -> None:
    (part,) = needed_files(self_feature.SelfFeature.traits, {"patches": 6, "patch": 32}, "loss self_feature")
    assert part.path == str(file)
    with pytest.raises(MissingWeights) as caught:
        self_feature.SelfFeature()
    assert caught.value.hint == part.fetch == "bench weights fetch vgg16/imagenet"
    file.write_bytes(b"not the weights")
    with pytest.raises(DataError, match="397923af"):
        self_feature.SelfFeature()


def test_planning_can_ask_without_torch() -> None:
    code = (
        "import sys\n"
        "from harness.api.declaration import read_declaration\n"
        "from harness.weights.files import needed_files\n"
        "traits = read_declaration('loss', 'harness.parts.losses.self_feature:SelfFeature').traits\n"
        "assert needed_files(traits, {'patches': 6, 'patch': 32}, 'loss')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_by_definition(loss, file, look) -> None:
    reference = small_vgg16()
    reference.load_state_dict(torch.load(file))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def features(image):
        x = ((image.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)
        convolutions = 0
        for layer in reference.features:
            convolutions += isinstance(layer, nn.Conv2d)
            if isinstance(layer, nn.MaxPool2d) and convolutions == 10:
                continue  # the last pooling before relu5_1
            x = layer(x)
            if convolutions == 11 and isinstance(layer, nn.ReLU):
                return nn.functional.instance_norm(x)
        raise AssertionError

    restored, degraded = torch.rand(2, 2, 3, 32, 40).unbind()
    inputs = look(restored_BCHW=restored, lq_BCHW=degraded)
    torch.manual_seed(2)
    found = loss(inputs).item()
    torch.manual_seed(2)
    pieces = [(restored, degraded), *random_patches((restored, degraded), 2, 16)]
    with torch.no_grad():
        values = [(features(a) - features(b)).square().mean().item() for a, b in pieces]
    assert min(values) > 0
    assert found == pytest.approx(values[0] + (values[1] + values[2]) / 2, rel=1e-4)


def test_only_the_restored_image_gets_a_gradient(loss, look) -> None:
    restored, degraded = (torch.rand(1, 3, 24, 24).requires_grad_() for _ in range(2))
    loss(look(restored_BCHW=restored, lq_BCHW=degraded)).backward()
    assert torch.isfinite(restored.grad).all()
    assert restored.grad.abs().sum() > 0
    assert degraded.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert loss.traits.takes == "inputs"
    assert loss.traits.reads == "degraded"
    black = torch.zeros(1, 3, 8, 8, requires_grad=True)  # features of one place, without variance
    loss(look(restored_BCHW=black, lq_BCHW=torch.zeros(1, 3, 8, 8))).backward()
    assert torch.isfinite(black.grad).all()
