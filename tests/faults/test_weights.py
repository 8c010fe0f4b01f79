"""Bad files of weights as a user meets them: one clear message, the documented exit code, nothing left behind."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.cli import exits, main
from tests.small_weights import served, state, use_registry

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "served").mkdir()
    return use_registry(monkeypatch, tmp_path)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["bench", "weights", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stop.value.code or 0), err

    return run


def truncated(file: Path) -> None:
    torch.save(state(), file)
    file.write_bytes(file.read_bytes()[:3000])


def of_another_network(file: Path) -> None:
    torch.save(state(width=8), file)


def with_a_foreign_class(file: Path) -> None:
    torch.save({"state_dict": state(), "opts": argparse.Namespace(lr=1e-4)}, file)


def torchscript(file: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(file))


def an_error_page(file: Path) -> None:
    file.write_text("<!DOCTYPE html><title>Quota exceeded</title>")


FAULTS = {
    truncated: "is damaged or not a file of weights",
    of_another_network: "was made for another NAFNet: differs in shape at",
    with_a_foreign_class: "needs the code of argparse.Namespace to be read",
    torchscript: "is a TorchScript archive",
    an_error_page: "is damaged or not a file of weights",
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.items(), ids=lambda item: getattr(item, "__name__", ""))
@pytest.mark.parametrize("way", ["import", "verify", "fetch"])
def test_a_bad_file_is_refused(
    tmp_path: Path, bench: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, fault, message: str, way: str
) -> None:
    file = tmp_path / "served" / "net.pth"
    fault(file)
    if way == "fetch":
        with served(file.parent, monkeypatch) as url:
            use_registry(monkeypatch, tmp_path, url)
            code, err = bench("fetch", "small/net")
    else:
        code, err = bench(way, file, "--as", "small/net")
    assert code == exits.FAILED
    assert message in err
    assert "try: " in err
    assert not folder.exists()


@pytest.mark.parametrize("way", ["import", "verify", "fetch"])
def test_a_wrong_digest(tmp_path: Path, bench: Run, monkeypatch: pytest.MonkeyPatch, folder: Path, way: str) -> None:
    file = tmp_path / "served" / "net.pth"
    torch.save(state(), file)
    with served(file.parent, monkeypatch) as url:
        use_registry(monkeypatch, tmp_path, url)
        code, err = bench("fetch", "small/checked") if way == "fetch" else bench(way, file, "--as", "small/checked")
    assert code == exits.FAILED
    assert f"that of the published file is {'f' * 64}" in err
    assert not folder.joinpath("small").exists() or not list(folder.joinpath("small").iterdir())


def test_a_connection_that_breaks_off(
    tmp_path: Path, bench: Run, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (tmp_path / "served" / "broken").mkdir()
    torch.save(state(), tmp_path / "served" / "broken" / "net.pth")
    with served(tmp_path / "served", monkeypatch) as url:
        use_registry(monkeypatch, tmp_path, f"{url}/broken")
        code, err = bench("fetch", "small/net")
    assert code == exits.BLOCKED
    assert "try: the same command later" in err
    assert not folder.exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path, bench: Run, folder: Path) -> None:
    file = tmp_path / "served" / "net.pth"
    torch.save(state(), file)
    folder.write_text("a file in its place")
    code, err = bench("import", file, "--as", "small/net")
    assert code == exits.FAILED
    assert str(folder) in err
