"""Priors from their references, and the one way to call them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.api.prior import PriorTraits
from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.errors import DataError, HarnessError
from harness.core.paths import Layout
from harness.core.registry import Entry
from harness.models.assemble import build_model
from harness.models.priors import build_prior, encode_exact
from harness.models.weights import save_weights
from harness.parts.catalogue import REGISTRY

SOURCE = Cell(
    task=PartRef(name="derain"),
    train=PartRef(name="photos"),
    backbone=PartRef(
        name="nafnet", options={"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]}
    ),
)
RESTORATION = PartRef(name="restoration", digest=SOURCE.id)


class BatchSums:
    """A prior whose rows betray the batch that they were made in."""

    traits = PriorTraits()
    dim = 2

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        assert lq_BCHW.is_contiguous()
        assert lq_BCHW.dtype == torch.float32
        assert not torch.is_autocast_enabled(lq_BCHW.device.type)
        return torch.stack([lq_BCHW.sum().expand(len(lq_BCHW)), lq_BCHW.sum((1, 2, 3))], dim=1)


def test_images_go_one_at_a_time_on_a_cpu() -> None:
    lq = torch.rand(3, 4, 5, 3).permute(0, 3, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        rows = encode_exact(BatchSums(), lq)
    assert torch.equal(rows[:, 0], rows[:, 1])
    assert torch.equal(rows, encode_exact(BatchSums(), lq.double()))


def test_no_gradient_flows_into_a_prior() -> None:
    assert not encode_exact(BatchSums(), torch.rand(1, 3, 4, 4, requires_grad=True)).requires_grad


def test_vectors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(HarnessError, match="not finite") as caught:
        encode_exact(BatchSums(), torch.full((1, 3, 4, 4), torch.nan))
    assert caught.value.kind == "nan"


def test_derived_priors_have_no_vector_for_an_image(tmp_path: Path) -> None:
    prior = build_prior(
        PartRef(name="shuffled", derived_from=PartRef(name="nss")),
        REGISTRY,
        prior_source=None,
        layout=Layout(tmp_path, tmp_path),
    )
    assert prior.traits.derived
    assert prior.of.name == "nss"
    with pytest.raises(HarnessError, match="features: tile"):
        encode_exact(prior, torch.rand(1, 3, 64, 64))


def test_options_reach_the_part(tmp_path: Path) -> None:
    ref = PartRef(name="random", options={"dim": 7})
    assert build_prior(ref, REGISTRY, prior_source=None, layout=Layout(tmp_path, tmp_path)).dim == 7


def test_the_network_is_that_of_the_source_cell(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path)
    network = build_model(SOURCE, REGISTRY, None)
    with torch.no_grad():
        network.backbone.intro.bias.fill_(0.5)
    save_weights(network, layout.checkpoints(SOURCE.id) / "final.safetensors")
    prior = build_prior(RESTORATION, REGISTRY, prior_source=SOURCE, layout=layout)
    lq = torch.rand(1, 3, 16, 16)
    features: list[Tensor] = []
    network.backbone.middle_blks.register_forward_hook(lambda _module, _inputs, output: features.append(output))
    with torch.no_grad():
        network.backbone(lq)
    assert prior.dim == 2 * 8
    mean = features[0].mean((2, 3))
    row = prior.encode(lq)
    torch.testing.assert_close(row[:, :8] / row[:, :8].norm(), mean / mean.norm())


def test_a_source_that_is_missing_untrained_or_another_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path)
    with pytest.raises(HarnessError, match="needs the cell that trains its network"):
        build_prior(RESTORATION, REGISTRY, prior_source=None, layout=layout)
    with pytest.raises(HarnessError, match="but got the network of cell"):
        build_prior(RESTORATION, REGISTRY, prior_source=SOURCE.model_copy(update={"seed": 1}), layout=layout)
    with pytest.raises(DataError, match="cannot be read") as caught:
        build_prior(RESTORATION, REGISTRY, prior_source=SOURCE, layout=layout)
    assert caught.value.kind == "checkpoint"


def test_a_plug_in_that_is_no_prior_is_refused(tmp_path: Path) -> None:
    plug_in = tmp_path / "plug_in.py"
    plug_in.write_text("class Nothing:\n    pass\n")
    registry = REGISTRY.extended([Entry("prior", "nothing", f"{plug_in}:Nothing")])
    with pytest.raises(HarnessError, match=r"declares no traits of its own .* traits = PriorTraits\(\)"):
        build_prior(PartRef(name="nothing"), registry, prior_source=None, layout=Layout(tmp_path, tmp_path))
