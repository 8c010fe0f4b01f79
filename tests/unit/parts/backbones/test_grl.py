from __future__ import annotations

from typing import Any

import pytest
import torch
from spandrel.architectures.GRL import GRL as SpandrelGRL  # noqa: N811

from harness.core.errors import DataError, HarnessError
from harness.models.weights import fill
from harness.parts.backbones.grl import GRL

SMALL: dict[str, Any] = {
    "embed_dim": 8, "depths": [4], "num_heads_window": [2], "num_heads_stripe": [2], "window_size": 4,
    "stripe_size": [8, 16], "stripe_shift": True, "mlp_ratio": 2, "anchor_window_down_factor": 2,
}  # fmt: skip


def test_is_spandrels_network_at_any_size() -> None:
    ours, theirs = GRL(**SMALL, local_connection=False).eval(), SpandrelGRL(**SMALL, img_size=16).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        for height, width in ((16, 16), (20, 40), (16, 16)):
            image = torch.rand(1, 3, height, width)
            assert torch.equal(ours(image), theirs(image))


def test_tables_in_published_checkpoints_are_left_out() -> None:
    network = GRL(**SMALL, local_connection=False)
    tables = {name: buffer for name, buffer in SpandrelGRL(**SMALL, img_size=64).named_buffers() if "." not in name}
    assert tables.keys() == GRL.official.extras
    fill(network, network.state_dict() | tables, where="official.pth")
    with pytest.raises(DataError, match="has the unknown table_x"):
        fill(network, network.state_dict() | {"table_x": torch.zeros(1)}, where="official.pth")


def test_tables_made_while_evaluating_serve_training() -> None:
    network = GRL(**SMALL, local_connection=False)
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        network(image)
    tables = network._tables
    network(image).sum().backward()
    assert network._tables is tables


def test_separable_projections_have_their_activation() -> None:
    network = GRL(**SMALL, local_connection=False, qkv_proj_type="separable_conv", anchor_proj_type="separable_conv")
    names = network.state_dict().keys()
    assert {"layers.0.blocks.0.attn.qkv.body.2.weight", "layers.0.blocks.0.attn.anchor.body.0.2.weight"} <= names


@pytest.mark.parametrize(
    "options", [{"depths": [1, 1]}, {"embed_dim": 10}, {"out_channels": 1}, {"stripe_size": [6, 16]}]
)
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(HarnessError):
        GRL(**SMALL | {"local_connection": False} | options)
