"""Losses: values by hand, gradients where they belong."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torchvision.models import vgg19

from harness.core.errors import DataError, MissingWeights
from harness.parts.losses import perceptual
from harness.parts.losses.charbonnier import Charbonnier
from harness.parts.losses.vgg import FeatureDistance
from harness.recipes.presets import all_presets
from harness.weights.files import needed_files


def test_charbonnier_mean_and_sum() -> None:
    restored, truth = torch.tensor([[3.0, 0.0]]).view(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    expected = (9 + 16) ** 0.5 + 4.0
    assert Charbonnier(eps=4.0)(restored, truth).item() == pytest.approx(expected / 2)
    assert Charbonnier(eps=4.0, reduction="sum")(restored, truth).item() == pytest.approx(expected)


def test_charbonnier_of_equal_images_is_eps_with_a_finite_gradient() -> None:
    restored = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss = Charbonnier(eps=1e-3)(restored, torch.zeros(1, 3, 4, 4))
    loss.backward()
    assert loss.item() == pytest.approx(1e-3)
    assert restored.grad is not None
    assert torch.count_nonzero(restored.grad) == 0


@pytest.fixture
def no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"


@pytest.fixture(scope="module")
def state():
    """VGG-19's layout with random convolutions; the classifier, half a gigabyte, shrunk to nothing."""
    torch.manual_seed(0)
    with torch.device("meta"):
        empty = vgg19(weights=None).state_dict()
    return {
        key: torch.randn(value.shape) * 0.02 if key.startswith("features") else value for key, value in empty.items()
    }


def test_without_weights_it_is_blocked(no_file) -> None:
    (part,) = needed_files(perceptual.Perceptual.traits, {"reduction": "mean"}, "loss perceptual")
    assert part.path == str(no_file)
    with pytest.raises(MissingWeights) as caught:
        perceptual.Perceptual()
    assert caught.value.hint == part.fetch == "bench weights fetch vgg19/imagenet"


def test_another_file_is_refused(no_file) -> None:
    no_file.write_bytes(b"not the weights")
    with pytest.raises(DataError, match="dcbb9e9d"):
        perceptual.Perceptual()


def test_planning_can_ask_without_torch() -> None:
    code = (
        "import sys\n"
        "from harness.api.declaration import read_declaration\n"
        "from harness.weights.files import needed_files\n"
        "traits = read_declaration('loss', 'harness.parts.losses.perceptual:Perceptual').traits\n"
        "assert needed_files(traits, {'reduction': 'mean'}, 'loss')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def network(state, tmp_path, monkeypatch):
    """FeatureDistance over the random state, whose file lacks the classifier."""
    path = tmp_path / "vgg.pth"
    torch.save({key: value for key, value in state.items() if key.startswith("features")}, path)
    monkeypatch.setattr("harness.parts.losses.vgg.vgg19", _without_classifier)
    return lambda reduction="mean", **options: FeatureDistance(path, reduction, **options)


def _without_classifier(weights=None):
    with torch.device("meta"):
        network = vgg19(weights=None)
    network.classifier = torch.nn.Identity()
    network.features.to_empty(device="cpu")
    return network


def test_perceptual_by_definition(network, state) -> None:
    torch.manual_seed(1)
    restored, truth = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    reference = _without_classifier().features.eval()
    reference.load_state_dict({k.removeprefix("features."): v for k, v in state.items() if k.startswith("features")})
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, y = (((image.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2) for image in (restored, truth))
    expected, weights = 0.0, dict(zip((1, 6, 11, 20, 29), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), strict=True))
    with torch.no_grad():
        for index, layer in enumerate(reference):
            x, y = layer(x), layer(y)
            if index in weights:
                expected += weights[index] * (x.clone() - y.clone()).abs().mean().item()
    distance = network()
    assert distance(restored, truth).item() == pytest.approx(expected, rel=1e-4)
    assert distance(restored, restored).item() == 0.0


CONVOLUTIONS = (2, 2, 4, 4, 4)
"""Of each of VGG-19's blocks, between which maps are halved."""

AUTHORS_VALUE = 81.85395
"""What SNR-Net's own loss gives for the images and weights of the test below; PTG-RM's is the same."""


def _first_relus(state, image):
    """VGG-19's relu1_1 … relu5_1, written from the paper's table D."""
    place, found = 0, []
    for block, count in enumerate(CONVOLUTIONS):
        if block:
            image, place = torch.nn.functional.max_pool2d(image, 2), place + 1
        for number in range(count):
            weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
            image, place = torch.nn.functional.conv2d(image, weight, bias, padding=1).clamp(min=0), place + 2
            found += [image] if number == 0 else []
    return found


def test_perceptual_on_images_as_they_are_is_the_authors_sum(network, state) -> None:
    torch.manual_seed(1)
    restored, truth = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    maps = zip(
        (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), _first_relus(state, restored), _first_relus(state, truth), strict=True
    )
    expected = sum(weight * (x - y).abs().sum().item() for weight, x, y in maps)
    distance = network("sum", normalise=False)
    assert distance(restored, truth).item() == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(AUTHORS_VALUE, rel=1e-4)


def test_the_presets_of_its_authors_take_images_as_they_are() -> None:
    terms = [
        term
        for preset in all_presets()
        if preset.network in ("snr_net", "ptg_rm")
        for term in preset.recipe.losses or ()
        if term.name == "perceptual"
    ]
    assert len(terms) == 4
    assert all(term.options == {"reduction": "sum", "normalise": False} for term in terms)


def test_only_the_restored_image_gets_a_gradient(network) -> None:
    restored, truth = torch.rand(1, 3, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32, requires_grad=True)
    distance = network("sum")
    distance(restored, truth).backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum() > 0
    assert truth.grad is None
    assert all(parameter.grad is None for parameter in distance.parameters())


def test_the_whole_part_with_a_file_that_it_accepts(no_file, network, state, publish) -> None:
    publish("vgg19/imagenet", {key: value for key, value in state.items() if key.startswith("features")})
    loss = perceptual.Perceptual(reduction="sum").to("cpu")
    assert loss.reduction == "sum"
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert loss(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)).item() > 0
