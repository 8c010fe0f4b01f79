from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.api.weights import OfficialNames
from harness.core.errors import DataError, HarnessError
from harness.core.identity import file_sha256
from harness.models.weights import load_weights, save_weights


class Small(nn.Module):
    official = OfficialNames(parts={"body": "", "old": "new"})

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.new = nn.Linear(3, width)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Small, Path, str]:
    module, path = Small(), tmp_path / "checkpoint" / "final.safetensors"
    return module, path, save_weights(module, path)


def test_round_trip_gives_the_files_digest(saved: tuple[Small, Path, str]) -> None:
    module, path, sha256 = saved
    other = Small()
    assert load_weights(other, path, sha256=sha256) == sha256 == file_sha256(path)
    assert torch.equal(other.new.weight, module.new.weight)


def test_same_weights_make_the_same_file(saved: tuple[Small, Path, str], tmp_path: Path) -> None:
    module, _, sha256 = saved
    assert save_weights(module, tmp_path / "again.safetensors") == sha256


def test_a_disk_without_room_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(HarnessError) as caught:
            save_weights(Small(), tmp_path / "w.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.kind == "storage"
    assert not list(tmp_path.iterdir())


def test_shared_tensors_are_written(tmp_path: Path) -> None:
    module = nn.ModuleDict({"a": (shared := nn.Linear(2, 2)), "b": shared})
    save_weights(module, tmp_path / "w.safetensors")
    other = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.get_parameter("b.weight"), shared.weight)


@pytest.mark.parametrize("wrapper", [None, "params", "state_dict"])
def test_published_checkpoints_load_under_their_own_names(tmp_path: Path, wrapper: str | None) -> None:
    state = {"body.old.weight": torch.ones(4, 3), "body.old.bias": torch.zeros(4)}
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, tmp_path / "net.pth")
    module = Small()
    load_weights(module, tmp_path / "net.pth")
    assert torch.equal(module.new.weight, torch.ones(4, 3))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "noise"])
def test_damaged_files_are_data_errors(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(Small().state_dict(), path)
    else:
        save_weights(Small(), path)
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2]}.get(damage, b"noise" * 99))
    if damage == "missing":
        path.unlink()
    with pytest.raises(DataError) as caught:
        load_weights(Small(), path, kind="weights")
    assert caught.value.kind == "weights"
    assert caught.value.where == str(path)


def test_leading_parts_that_all_names_share_are_dropped(tmp_path: Path) -> None:
    for prefix in ("module.", "_orig_mod.", "net.", "module.net.", "model._orig_mod."):
        torch.save({f"{prefix}new.weight": torch.ones(4, 3), f"{prefix}new.bias": torch.ones(4)}, tmp_path / "net.pth")
        module = Small()
        load_weights(module, tmp_path / "net.pth")
        assert torch.equal(module.new.weight, torch.ones(4, 3)), prefix


def test_a_leading_part_that_is_the_modules_own_stays(saved: tuple[Small, Path, str]) -> None:
    """Every entry of Small begins with `new.`."""
    _, path, _ = saved
    load_weights(Small(), path)


def test_translations_and_extras_are_those_of_the_names_without_the_prefix(tmp_path: Path) -> None:
    class Tabled(Small):
        official = OfficialNames(parts=Small.official.parts, extras=frozenset({"table"}))

    state = {"model.body.old.weight": torch.ones(4, 3), "model.old.bias": torch.ones(4), "model.table": torch.ones(9)}
    torch.save({"state_dict": state, "pytorch-lightning_version": "1.8"}, tmp_path / "net.ckpt")
    load_weights(module := Tabled(), tmp_path / "net.ckpt")
    assert torch.equal(module.new.weight, torch.ones(4, 3))


def test_two_leading_parts_are_told_apart_as_another_network(tmp_path: Path) -> None:
    torch.save({"a.new.weight": torch.ones(4, 3), "b.new.bias": torch.ones(4)}, tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"lacks new\.bias, new\.weight; has the unknown a\.new\.weight, b\.new\.bias"):
        load_weights(Small(), tmp_path / "net.pth")


def test_files_from_before_batch_counters_load(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    state = {key: tensor for key, tensor in module.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "net.pth")
    load_weights(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), tmp_path / "net.pth")
    state.pop("1.running_var")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"lacks 1\.running_var"):
        load_weights(module, tmp_path / "net.pth")


def test_wrong_digest_leaves_the_module_alone(saved: tuple[Small, Path, str]) -> None:
    _, path, _ = saved
    other = Small()
    before = other.new.weight.clone()
    with pytest.raises(DataError, match="expected abc"):
        load_weights(other, path, sha256="abc")
    assert torch.equal(other.new.weight, before)


def test_another_networks_weights_are_told_apart(saved: tuple[Small, Path, str], tmp_path: Path) -> None:
    _, path, _ = saved
    with pytest.raises(DataError, match=r"differs in shape at new\.bias \(4,\), not \(5,\)"):
        load_weights(Small(5), path, strict=False)
    torch.save({"new.weight": torch.ones(4, 3), "more": torch.ones(1)}, tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"lacks new\.bias; has the unknown more"):
        load_weights(Small(), tmp_path / "net.pth")
    load_weights(Small(), tmp_path / "net.pth", strict=False)
