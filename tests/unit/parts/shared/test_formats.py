"""Every format in which weights are published, and what is refused."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.core.errors import DataError
from harness.models.weights import file_digest
from harness.parts.shared.formats import read_checkpoint

ONE, TWO = {"a.weight": torch.ones(2)}, {"a.weight": torch.full((2,), 2.0)}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "content",
    [
        ONE,
        OrderedDict(ONE),
        {"params": ONE},
        {"params": TWO, "params_ema": ONE},
        {"state_dict": TWO, "state_dict_ema": ONE},
        {"epoch": 3, "state_dict": ONE, "optimizer": OPTIMIZER},
        {"model": {"state_dict": ONE}, "iteration": 3},
        {"state_dict": {"model_R": ONE}},
        {"generator": ONE, "optimizer": OPTIMIZER, "name": "net"},
        {"generator": ONE, "loss": torch.ones(())},
        {**ONE, "epoch": 3, "optimizer": OPTIMIZER},
        {"params": {}, "state_dict": ONE},
        {"state_dict": ONE, "discriminator": TWO},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_are_found(tmp_path: Path, content: Any, zipped: bool) -> None:
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "net.pth")
    assert list(found) == ["a.weight"]
    assert torch.equal(found["a.weight"], torch.ones(2))


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file(ONE, tmp_path / "net.safetensors")
    shutil.copy(tmp_path / "net.safetensors", tmp_path / "net.bin")
    for name in ("net.safetensors", "net.bin"):
        assert torch.equal(read_checkpoint(tmp_path / name)["a.weight"], torch.ones(2))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1, 2], "something other than tensors"),
        ({}, "something other than tensors"),
        ({"epoch": 3}, "something other than tensors"),
        ({"optimizer": OPTIMIZER}, "something other than tensors"),
        ({"model": {"epoch": 3}}, "something other than tensors"),
        ({3: torch.ones(2)}, "something other than tensors"),
        ({"netG": ONE, "netD": TWO}, "in several places: netG, netD"),
        ({"state_dict": {"model_R": ONE, "model_L": TWO}}, r"state_dict\.model_R, state_dict\.model_L"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, what: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(DataError, match=what):
        read_checkpoint(tmp_path / "net.pth")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_calls_code_is_refused_by_name_and_not_run(tmp_path: Path, zipped: bool) -> None:
    torch.save({"params": ONE, "x": Trap(tmp_path / "ran")}, tmp_path / "n.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"needs the code of \w+\.mkdir to be read") as caught:
        read_checkpoint(tmp_path / "n.pth", kind="weights")
    assert "safetensors" in caught.value.hint
    assert caught.value.kind == "weights"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("foreign", "name"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Path("x"), "pathlib"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_foreign_classes_are_named(tmp_path: Path, foreign: Any, name: str) -> None:
    torch.save({"state_dict": ONE, "more": foreign}, tmp_path / "net.pth")
    with pytest.raises(DataError, match=name):
        read_checkpoint(tmp_path / "net.pth")


def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "net.pt")
    with pytest.raises(DataError, match="TorchScript archive"):
        read_checkpoint(tmp_path / "net.pt")


def test_the_oldest_format_a_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sys_info").write_text("")
    with tarfile.open(tmp_path / "net.pth", "w") as archive:
        archive.add(tmp_path / "sys_info", "sys_info")
    with pytest.raises(DataError, match="tar"):
        read_checkpoint(tmp_path / "net.pth")


def test_no_advice_to_read_noise_unsafely(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"noise" * 99)
    with pytest.raises(DataError, match="damaged") as caught:
        read_checkpoint(tmp_path / "net.pth")
    assert "weights_only" not in str(caught.value)


def packed(path: Path, *, forged: int = 0) -> Path:
    """PyTorch's archive of a state dict, compressed anew, or with members that claim to hold more."""
    torch.save({"params": ONE}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if forged else zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for member in archive.infolist():
            member.file_size += forged
    return path


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed, forged = packed(tmp_path / "net.pth"), packed(tmp_path / "forged.pth", forged=3 << 20)
    monkeypatch.setattr(torch, "load", lambda *given, **options: pytest.fail("it was read"))
    with pytest.raises(DataError, match=r"is a compressed archive \(net/data\.pkl, .* does not write"):
        read_checkpoint(compressed)
    with pytest.raises(DataError, match=r"says that it holds [0-9,]+ bytes, more than its own size"):
        read_checkpoint(forged)


@pytest.mark.parametrize("special", ["pipe", "socket", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_unopened(tmp_path: Path, special: str) -> None:
    path = tmp_path / "net.pth"
    if special == "pipe":
        os.mkfifo(path)
    elif special == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path = Path(special)
    what = {"pipe": "is a named pipe", "socket": "is a socket"}.get(special, "is a device")
    for read in (read_checkpoint, file_digest):
        with pytest.raises(DataError, match=what) as caught:
            read(path, kind="weights")
        assert (caught.value.kind, caught.value.where) == ("weights", str(path))
