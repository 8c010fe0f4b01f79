"""SMG's depth loss: the real loading code, on a small network in the format that real ones come in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError, MissingWeights
from harness.parts.losses.depth import DepthNetwork
from harness.parts.losses.smg_depth import SMGDepth
from harness.testing import checks
from harness.weights.files import needed_files
from tests import tiny_depth
from tests.unit.parts.losses.inputs import refined


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_depth.write(tmp_path_factory.mktemp("depth"))


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_depth_is_the_networks_own_stretched_in_each_image(saved: Path) -> None:
    images = checks.images(2, 3, 32, 32)
    with torch.no_grad():
        prepared = (images - 0.5) / torch.tensor([0.5, 0.4, 0.5]).view(3, 1, 1)
        depth = tiny_depth.build()(pixel_values=prepared).predicted_depth
    assert depth.shape == (2, 32, 32)
    stretched = torch.stack([(one - one.min()) / (one.max() - one.min()) for one in depth])
    found = DepthNetwork(saved)(images)
    checks.assert_close(found[:, 0], stretched, "depth", tolerance=1e-5)
    assert found.amin((1, 2, 3)).tolist() == [0.0, 0.0]
    assert found.amax((1, 2, 3)).tolist() == [1.0, 1.0]


def test_other_sizes_are_resized_there_and_back(saved: Path) -> None:
    network, images = DepthNetwork(saved), checks.images(1, 3, 32, 32)
    large = F.interpolate(images, size=(48, 64), mode="bicubic").clamp(0, 1)
    found = network(large)
    assert found.shape == (1, 1, 48, 64)
    small = F.interpolate(found, size=(32, 32), mode="bilinear", antialias=True)
    assert torch.corrcoef(torch.stack([small.flatten(), network(images).flatten()]))[0, 1] > 0.95


def test_loss_is_the_mean_distance_and_only_the_map_gets_a_gradient(saved: Path) -> None:
    loss = SMGDepth(folder=str(saved)).to("cpu")
    truth, made = checks.images(2, 3, 32, 32).requires_grad_(), torch.full((2, 1, 32, 32), 0.3).requires_grad_()
    value = loss(refined(truth, structure=made))
    assert value.item() == pytest.approx((0.3 - DepthNetwork(saved)(truth)).abs().mean().item(), rel=1e-5)
    value.backward()
    assert made.grad is not None
    assert made.grad.any()
    assert truth.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_a_flat_depth_is_zero_and_finite(saved: Path) -> None:
    network = DepthNetwork(saved)
    torch.nn.init.zeros_(network.network.head.head[4].weight)
    assert network(checks.images(1, 3, 32, 32)).eq(0).all()


def test_making_it_leaves_the_random_state_alone(saved: Path) -> None:
    before = torch.random.get_rng_state()
    SMGDepth(folder=str(saved))
    assert torch.equal(before, torch.random.get_rng_state())


def test_without_files_it_says_what_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    names = ["config.json", "preprocessor_config.json", "model.safetensors"]
    published = needed_files(SMGDepth.traits, {"folder": None}, "loss smg_depth")
    assert [file.path for file in published] == [str(tmp_path / "dpt-large" / name) for name in names]
    with pytest.raises(MissingWeights) as caught:
        SMGDepth()
    ids = ("dpt_large/config", "dpt_large/preprocessor", "dpt_large/model")
    assert caught.value.hint == " && ".join(f"bench weights fetch {name}" for name in ids)
    own = needed_files(SMGDepth.traits, {"folder": "/mine"}, "loss smg_depth")
    assert [file.path for file in own] == [f"/mine/{name}" for name in names]
    assert {file.fetch for file in own} == {"cp -r YOUR_COPY '/mine'"}


def _without_a_key(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["head.head.4.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _of_another_width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 24}))


def _truncated(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


def _of_another_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


def _unprepared(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 32}}')


@pytest.mark.parametrize("damage", [_without_a_key, _of_another_width, _truncated, _of_another_kind, _unprepared])
def test_other_files_are_refused(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied)
    with pytest.raises(HarnessError) as caught:
        SMGDepth(folder=str(copied))
    assert caught.value.kind == "weights"
    assert str(copied) in caught.value.where


def test_planning_can_ask_without_torch() -> None:
    code = (
        "import sys\n"
        "from harness.api.declaration import read_declaration\n"
        "from harness.weights.files import needed_files\n"
        "traits = read_declaration('loss', 'harness.parts.losses.smg_depth:SMGDepth').traits\n"
        "assert needed_files(traits, {'folder': None}, 'loss')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
