"""LPIPS as a loss: the metric's numbers, gradients where they belong."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from harness.api.protocols import RGB_UINT8
from harness.core.errors import MissingWeights
from harness.parts.losses.lpips import LPIPS
from harness.parts.metrics import lpips as metric
from harness.testing import checks
from harness.weights.files import needed_files


def test_without_files_it_is_blocked(no_lpips_files) -> None:
    files = needed_files(LPIPS.traits, {"scaled": True}, "loss lpips")
    assert files == needed_files(metric.LPIPS.traits, {"net": "alex"}, "metric lpips")
    assert all(file.sha256 and len(file.sha256) == 64 for file in files)
    with pytest.raises(MissingWeights, match="loss lpips needs"):
        LPIPS()


def test_value_is_the_mean_of_the_metrics(lpips_files) -> None:
    restored, truth = checks.images(2, 3, 48, 48), checks.images(2, 3, 48, 48, seed=1)
    loss, score = LPIPS().to("cpu"), metric.LPIPS(RGB_UINT8)
    each = [
        score(*(255 * image.permute(1, 2, 0).double().numpy() for image in pair))
        for pair in zip(restored, truth, strict=True)
    ]
    assert loss(restored, truth).item() == pytest.approx(sum(each) / 2, rel=1e-5)
    # As SMG's authors have it: the images stay as they are where [-1, 1] is expected.
    raw = LPIPS(scaled=False)
    assert raw(restored, truth).item() == pytest.approx(loss((restored + 1) / 2, (truth + 1) / 2).item(), rel=1e-4)


def as_smg_has_it(alexnet: torch.nn.Sequential, linear: list[torch.Tensor], *images: torch.Tensor) -> float:
    """Written out from the authors' criteria/lpips: features behind each ReLU, of length one, |Δ| weighed, summed."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = [(image - shift.view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1) for image in images]
    total, layers = 0.0, iter(linear)
    for number, layer in enumerate(alexnet[:12], 1):
        maps = [layer(features) for features in maps]
        if number in (2, 5, 8, 10, 12):
            first, second = (features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10) for features in maps)
            total += ((first - second).abs() * next(layers).view(1, -1, 1, 1)).sum(1).mean((1, 2)).mean().item()
    return total


@pytest.mark.parametrize("scaled", [False, True])
def test_absolute_differences_are_those_of_smgs_authors(random_lpips, scaled) -> None:
    loss = LPIPS(scaled=scaled, differences="absolute")
    parts = loss._network.net
    alexnet = torch.nn.Sequential(*(layer for n in range(1, 6) for layer in getattr(parts, f"slice{n}")))
    linear = [layer.model[-1].weight.flatten() for layer in loss._network.lins]
    restored, truth = checks.images(2, 3, 64, 48), checks.images(2, 3, 64, 48, seed=1)
    images = [2 * image - 1 for image in (restored, truth)] if scaled else [restored, truth]
    with torch.no_grad():
        assert loss(restored, truth).item() == pytest.approx(as_smg_has_it(alexnet, linear, *images), rel=1e-5)
        assert loss(truth, truth).item() == 0
        assert loss(restored, truth) > LPIPS(scaled=scaled)(restored, truth)


def test_only_the_restored_image_gets_a_gradient(lpips_files) -> None:
    restored, truth = (checks.images(1, 3, 48, 48, seed=seed).requires_grad_() for seed in (0, 1))
    loss = LPIPS()
    loss(restored, truth).backward()
    assert restored.grad is not None
    assert restored.grad.any()
    assert truth.grad is None
    assert not any(parameter.requires_grad for parameter in loss._network.parameters())


def test_features_that_are_all_zero_have_a_finite_gradient(lpips_files, monkeypatch) -> None:
    """Their length, by which they are divided, has none."""
    loss = LPIPS()
    with torch.no_grad():
        loss._network.net.slice1[0].bias.fill_(-100.0)
    restored = checks.images(1, 3, 48, 48).requires_grad_()
    loss(restored, torch.zeros(1, 3, 48, 48)).backward()
    assert restored.grad is not None
    assert restored.grad.isfinite().all()


def test_planning_can_ask_without_torch() -> None:
    code = (
        "import sys\n"
        "from harness.api.declaration import read_declaration\n"
        "from harness.weights.files import needed_files\n"
        "traits = read_declaration('loss', 'harness.parts.losses.lpips:LPIPS').traits\n"
        "assert needed_files(traits, {'scaled': True}, 'loss')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
