"""The segmentation network from its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.core.errors import DataError
from harness.parts.refiners.skf.checkpoint import read_hrnet
from tests import tiny_hrnet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(tiny_hrnet.write(tmp_path)["checkpoint"])


def test_shapes_tell_the_network_and_it_is_the_one_that_was_written(path: Path) -> None:
    before = torch.random.get_rng_state()
    network, image = read_hrnet(path), torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(network(image).logits_BKHW, tiny_hrnet.build()(image).logits_BKHW)


def test_other_ways_of_writing_it(path: Path, tmp_path: Path) -> None:
    """Wrapped in `state_dict`, without prefix and norm counters (old PyTorch), in half precision, as safetensors."""
    state = tiny_hrnet.build().state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = read_hrnet(path)(image).logits_BKHW
    torch.save({"state_dict": old, "epoch": 3}, tmp_path / "old.pth")
    assert torch.equal(read_hrnet(tmp_path / "old.pth")(image).logits_BKHW, expected)
    save_file({key: value.half() if value.is_floating_point() else value for key, value in state.items()},
              tmp_path / "half.safetensors")  # fmt: skip
    half = read_hrnet(tmp_path / "half.safetensors")(image).logits_BKHW
    assert half.dtype == torch.float32
    assert torch.allclose(half, expected, atol=0.05)


def test_damaged_and_foreign_files(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="damaged") as caught:
        read_hrnet(path)
    assert caught.value.kind == "weights"
    torch.save({"conv1.weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match="not an HRNet"):
        read_hrnet(tmp_path / "other.pth")
    state = tiny_hrnet.build().state_dict()
    del state["bn2.weight"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(DataError, match=r"bn2\.weight"):
        read_hrnet(tmp_path / "short.pth")
