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
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.core.registry import Entry
from harness.models.assemble import build_model
from harness.models.priors import build_prior, encode_exact
from harness.models.weights import save_weights
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend

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


class Means:
    """The mean of every channel."""

    dim = 3

    def __init__(self, *, any_channels: bool = False, dim: int = 3) -> None:
        self.traits, self.dim = PriorTraits(any_channels=any_channels), dim

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        return lq_BCHW.mean(dim=(2, 3))


def test_priors_see_rgb() -> None:
    gray, dual = torch.full((2, 1, 4, 4), 0.25), torch.arange(6.0)[None, :, None, None].expand(2, 6, 4, 4)
    assert encode_exact(Means(), gray).tolist() == [[0.25] * 3] * 2
    assert encode_exact(Means(), dual).tolist() == [[1.5, 2.5, 3.5]] * 2  # the mean of both views
    with pytest.raises(DataError, match="these have 4 channels"):
        encode_exact(Means(), torch.zeros(1, 4, 4, 4))
    assert encode_exact(Means(any_channels=True, dim=6), dual).tolist() == [[0.0, 1, 2, 3, 4, 5]] * 2


PLUGIN = '''
import torch
from harness.api.prior import PriorTraits

class P:
    """P."""
    traits = PriorTraits(version=1)
    def __init__(self) -> None:
        self.dim = 3
        self.calls = 0
    def encode(self, lq_BCHW):
        self.calls += 1
        rows = lq_BCHW.mean(dim=(2, 3))
        {act}

CATALOGUE = (("prior", "mine", "P"),)
'''


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (
            "self.dim = 3 if self.calls < 2 else 4; return rows.new_ones(1, self.dim)",
            "plugin",
            "P gives 1×4",
        ),
        (
            "return rows.as_subclass(type('T', (torch.Tensor,), {}))",
            "plugin",
            "P gives a T and not a tensor",
        ),
        ("return rows.to_sparse()", "plugin", "P gives its vectors as a sparse_coo tensor"),
        ("return rows / 0", "nan", "prior mine gave a vector that is not finite"),
    ],
)
def test_what_a_plug_in_gives_is_its_fault_by_name(tmp_path: Path, act: str, kind: str, words: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLUGIN.replace("{act}", act))
    prior = build_prior(
        PartRef(name="mine"), extend(REGISTRY, [str(file)]), prior_source=None, layout=Layout(tmp_path, tmp_path)
    )
    with pytest.raises(HarnessError) as caught:
        encode_exact(prior, torch.rand(3, 3, 4, 4) + 0.1)
    assert (caught.value.kind, caught.value.where) == (kind, f"{file}:5")
    assert words in caught.value.what


def test_derived_priors_have_no_vector_for_an_image(tmp_path: Path) -> None:
    prior = build_prior(
        PartRef(name="shuffled", derived_from=PartRef(name="nss")),
        REGISTRY,
        prior_source=None,
        layout=Layout(tmp_path, tmp_path),
    )
    assert prior.traits.derived
    assert prior.of.name == "nss"
    with pytest.raises(HarnessError, match="features: image"):
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


def test_the_weights_of_a_source_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, hashed = Layout(tmp_path, tmp_path), []
    save_weights(build_model(SOURCE, REGISTRY, None), layout.final_weights(SOURCE.id))

    def counted(path: Path) -> str:
        hashed.append(path)
        return file_sha256(path)

    monkeypatch.setattr("harness.models.weights.file_sha256", counted)
    build_prior(RESTORATION, REGISTRY, prior_source=SOURCE, layout=layout)
    assert hashed == [layout.final_weights(SOURCE.id)]


def test_a_plug_in_that_is_no_prior_is_refused(tmp_path: Path) -> None:
    plug_in = tmp_path / "plug_in.py"
    plug_in.write_text("class Nothing:\n    pass\n")
    registry = REGISTRY.extended([Entry("prior", "nothing", f"{plug_in}:Nothing")])
    with pytest.raises(HarnessError, match=r"declares no traits of its own .* traits = PriorTraits\(\)"):
        build_prior(PartRef(name="nothing"), registry, prior_source=None, layout=Layout(tmp_path, tmp_path))
