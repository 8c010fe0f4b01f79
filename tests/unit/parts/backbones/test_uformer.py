from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from spandrel.architectures.Uformer import Uformer as SpandrelUformer

from harness.core.errors import HarnessError
from harness.parts.backbones.uformer import Uformer

SMALL: dict[str, Any] = {"embed_dim": 4, "depths": (2,) * 9, "win_size": 2, "img_size": 32}


def test_is_spandrels_network_on_squares() -> None:
    ours, theirs = Uformer(**SMALL).eval(), SpandrelUformer(**SMALL, modulator=True).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


def test_other_images_are_cut_from_their_square() -> None:
    network = Uformer(**SMALL).eval()
    image = torch.rand(1, 3, 32, 96)
    square = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, 64), (0, 0)), mode="reflect"))
    with torch.no_grad():
        assert torch.allclose(network(image), network(square)[..., :32, :], atol=1e-6)


@pytest.mark.parametrize(("img_size", "multiple"), [(128, 128), (256, 128), (64, 64), (96, 192)])
def test_sides_suit_the_windows_of_every_level(img_size: int, multiple: int) -> None:
    network = Uformer(embed_dim=4, depths=(1,) * 9, img_size=img_size)
    assert network.capabilities.size_multiple == multiple
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 3, multiple, multiple)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"depths": (1, 1, 1)}, "nine numbers"),
        ({"in_chans": 1}, "RGB"),
        ({"img_size": 8}, "img_size"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], match: str) -> None:
    with pytest.raises(HarnessError, match=match):
        Uformer(**SMALL | options)


def test_is_built_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Uformer(**SMALL)
