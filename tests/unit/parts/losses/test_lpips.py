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
    assert files == needed_files(metric.LPIPS.traits, {}, "metric lpips")
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
