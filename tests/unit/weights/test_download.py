from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import DataError, HarnessError, MissingWeights
from harness.weights.download import download
from tests.small_weights import served

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("net.pth", "broken.pth", "page.html"):
        (folder / name).write_bytes(CONTENT)
    with served(folder, monkeypatch) as url:
        yield url


def test_a_file_arrives_whole_with_its_digest(server: str, tmp_path: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    path = tmp_path / "new" / "net.pth"
    found = download(f"{server}/net.pth", path, progress=lambda done, total: heard.append((done, total)))
    assert found == SHA256
    assert path.read_bytes() == CONTENT
    assert heard[-1] == (7000, 7000)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "what"),
    [("nowhere.pth", "answers 404"), ("broken.pth", "3,500 of 7,000|IncompleteRead"), ("page.html", "a web page")],
)
def test_what_is_not_the_file_leaves_nothing(server: str, tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(MissingWeights, match=what) as caught:
        download(f"{server}/{name}", tmp_path / "out" / "net.pth")
    assert caught.value.where == f"{server}/{name}"
    assert list((tmp_path / "out").iterdir()) == []


def test_another_digest_leaves_what_was_there(server: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"old")
    asked: list[str] = []

    def problem(sha256: str) -> str:
        asked.append(sha256)
        return "not that one"

    with pytest.raises(DataError, match="not that one") as caught:
        download(f"{server}/net.pth", path, problem=problem)
    assert asked == [SHA256]
    assert caught.value.kind == "weights"
    assert path.read_bytes() == b"old"


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(MissingWeights, match="Connection refused"):
        download("http://127.0.0.1:1/net.pth", tmp_path / "net.pth")


def test_a_full_disk_is_no_fault_of_the_network(server: str, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(HarnessError) as caught:
            download(f"{server}/net.pth", tmp_path / "out" / "net.pth")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.kind == "storage"
    assert list((tmp_path / "out").iterdir()) == []


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="only http"):
        download((tmp_path / "x").as_uri(), tmp_path / "net.pth")
