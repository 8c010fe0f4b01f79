"""LPIPS through pyiqa: blocked without its files, refused with wrong ones, right numbers with files that it accepts.

The published files are not there in tests, so random ones of the same layout stand in, with their digests as known.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import alexnet

from harness.api.protocols import RGB_UINT8
from harness.core.errors import DataError, MissingWeights
from harness.parts.metrics import lpips
from harness.weights.catalogue import find
from harness.weights.files import needed_files

ALEXNET, LINEAR = "alexnet/imagenet", "lpips/alex-v0.1"


def test_the_files_that_planning_asks_for(no_lpips_files) -> None:
    parts = needed_files(lpips.LPIPS.traits, {"net": "alex"}, "metric lpips")
    assert [part.path for part in parts] == [
        str(no_lpips_files / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"),
        str(no_lpips_files / "hub" / "pyiqa" / "LPIPS_v0.1_alex-df73285e.pth"),
    ]
    assert all(part.sha256 and len(part.sha256) == 64 and part.path.split("-")[-1][:8] in part.sha256 for part in parts)


def test_without_files_it_says_what_gets_them(no_lpips_files) -> None:
    with pytest.raises(MissingWeights) as caught:
        lpips.LPIPS(RGB_UINT8)
    assert caught.value.kind == "weights"
    assert caught.value.hint == "bench weights fetch alexnet/imagenet && bench weights fetch lpips/alex-v0.1"


def test_a_changed_file_is_refused(lpips_files, no_lpips_files) -> None:
    linear = lpips_files[LINEAR]
    torch.save({key: 2 * weight for key, weight in linear.items()}, find(LINEAR).path)
    with pytest.raises(DataError, match="SHA-256") as caught:
        lpips.LPIPS(RGB_UINT8)
    assert caught.value.kind == "weights"


def test_value_is_that_of_the_paper_with_these_weights(lpips_files) -> None:
    """Against the definition of Zhang et al.: unit-normalised features, squared difference, 1×1 weights, mean, sum."""
    random = np.random.default_rng(0)
    one, other = (random.integers(0, 256, (64, 72, 3)).astype(float) for _ in range(2))
    metric = lpips.LPIPS(RGB_UINT8)
    assert metric(one, one) == 0.0

    network = alexnet(weights=None)
    network.load_state_dict(lpips_files[ALEXNET])
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = []
    for image in (one, other):
        x = ((torch.tensor(image / 127.5 - 1).float() - shift) / scale).permute(2, 0, 1)[None]
        found = []
        for index, layer in enumerate(network.features):
            x = layer(x)
            if index in (1, 4, 7, 9, 11):
                found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        maps.append(found)
    linear = list(lpips_files[LINEAR].values())
    expected = sum(((a - b) ** 2 * w).sum(1).mean().item() for a, b, w in zip(*maps, linear, strict=True))
    assert metric(one, other) == pytest.approx(expected, rel=1e-4)
    assert metric(one, other) > 1e-3


def test_loading_prints_nothing(lpips_files, capsys) -> None:
    lpips.LPIPS(RGB_UINT8)
    assert capsys.readouterr().out == ""
