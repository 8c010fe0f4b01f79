"""The registry of published weights: every line names a part that takes it, and where it comes from."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.api.weights import WeightFile
from harness.core.errors import HarnessError, UnknownName
from harness.parts.catalogue import REGISTRY
from harness.spec.options import fill
from harness.weights.catalogue import Checkpoint, Origin, find, known, named, own, read_origin, state, without_origin
from harness.weights.files import missing_files, needed_files, published_file

PUBLISHED = {
    "restormer", "nafnet", "mprnet", "mirnet_v2", "uformer", "drunet", "grl", "retinexformer", "snr_net", "llformer",
    "promptir", "ifan", "uretinex", "zero_dce", "ruas", "sci", "enlightengan",
}  # fmt: skip
"""Networks of the catalogue whose authors offer weights."""


def test_every_checkpoint_says_where_it_comes_from_and_under_which_licence() -> None:
    for checkpoint in known():
        assert re.fullmatch(r"[a-z0-9_]+/[A-Za-z0-9.-]+", checkpoint.id), checkpoint
        assert checkpoint.page.startswith("https://"), checkpoint
        assert checkpoint.licence, checkpoint
        assert checkpoint.published, checkpoint
        assert checkpoint.url is None or checkpoint.url.startswith("https://"), checkpoint
        assert re.fullmatch(r"[0-9a-f]{64}", checkpoint.sha256 or "0" * 64), checkpoint
        assert re.fullmatch(r"([0-9a-f]{8})?", checkpoint.sha256_prefix), checkpoint
        assert bool(checkpoint.part) != bool(checkpoint.network), checkpoint
    paths = [checkpoint.path for checkpoint in known()]
    assert len(set(paths)) == len(paths) > 60


def test_every_network_with_published_weights_is_there() -> None:
    assert {
        checkpoint.part.split()[1] for checkpoint in known() if checkpoint.part.startswith("backbone ")
    } == PUBLISHED


def test_options_are_options_of_the_part() -> None:
    for checkpoint in known():
        if checkpoint.part:
            kind, name = checkpoint.part.split(" ")
            filled = fill(declaration(REGISTRY, kind, name).options, dict(checkpoint.options), checkpoint.id)
            assert not filled.mistakes, (checkpoint, filled.mistakes)


def test_parts_that_need_weights_ask_for_what_the_registry_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    asked: dict[str, WeightFile] = {}
    placed = [checkpoint for checkpoint in known() if checkpoint.place]
    for checkpoint in placed:
        kind, name = checkpoint.part.split(" ")
        declared = declaration(REGISTRY, kind, name)
        options = {option.name: option.default for option in declared.options.values()} | dict(checkpoint.options)
        for file in needed_files(declared.traits, options, checkpoint.part):
            asked[file.fetch] = file
    assert len(placed) == len(asked) == 16
    for checkpoint in placed:
        file = asked[f"bench weights fetch {checkpoint.id}"]
        assert Path(file.path) == checkpoint.path
        assert file.sha256 == checkpoint.sha256
        digits = checkpoint.sha256 or checkpoint.sha256_prefix
        if digits and checkpoint.url:
            assert digits[:8] in checkpoint.url, "the published address carries the digest"


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(UnknownName, match="no checkpoint is called") as caught:
        find("restormer/derainin")
    assert "restormer/deraining" in caught.value.hint


def test_a_digest_is_compared_as_far_as_it_is_known() -> None:
    plain = Checkpoint("a/b")
    assert plain.digest_problem("abc") == ""
    assert replace(plain, sha256_prefix="ab").digest_problem("abc") == ""
    assert "begins with ac" in replace(plain, sha256_prefix="ac").digest_problem("abc")
    assert "is abd" in replace(plain, sha256="abd").digest_problem("abc")


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/..", ".", "", "a\\b", "a/.b"])
def test_names_that_would_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(HarnessError, match="cannot be a name"):
        named("backbone nafnet", {}, name)


def test_names_that_are_taken_are_refused() -> None:
    with pytest.raises(HarnessError, match="is a published checkpoint"):
        named("backbone restormer", {}, "restormer/deraining")


def test_files_without_a_sound_origin_are_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    assert own() == []
    mine = named("backbone nafnet", {}, "my/net")
    mine.path.parent.mkdir()
    mine.path.touch()
    sound = dict.fromkeys(Origin.__dataclass_fields__, "x") | {"part": "backbone nafnet", "options": {"width": [8]}}
    broken = [sound | {"options": [1]}, sound | {"licence": 3}, sound | {"part": None}]
    for content in ("", "[]", "{}", '{"options": 3}', "[" * 10**5, *map(json.dumps, broken)):
        mine.origin.write_text(content)
        assert read_origin(mine) is None
        assert own() == []
        (nobodys,) = without_origin()
        assert (nobodys.id, nobodys.path, state(nobodys)) == ("my/net", mine.path, "damaged")
        with pytest.raises(UnknownName, match="my/net: the JSON beside it is missing or damaged") as caught:
            find("my/net")
        assert caught.value.hint.startswith("import it again: bench weights import FILE --as my/net --backbone NAME")
    mine.origin.write_text(json.dumps(sound | {"part": "nafnet"}))
    assert (own(), len(without_origin())) == ([], 1)
    mine.origin.write_text(json.dumps(sound))
    assert ([each.options for each in own()], without_origin()) == ([{"width": (8,)}], [])


def test_published_files_that_lie_in_the_folder_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    for checkpoint in known():
        if checkpoint.path.is_relative_to(tmp_path):
            checkpoint.path.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.path.touch()
    assert list(tmp_path.rglob("*.safetensors"))
    assert (own(), without_origin()) == ([], [])


def test_the_command_that_gets_weights() -> None:
    assert find("restormer/deraining").command == "bench weights fetch restormer/deraining"
    assert find("restormer/deraining").again == "remove it, then: bench weights fetch restormer/deraining"
    mine = named("backbone nafnet", {"width": 8, "enc_blk_nums": (1, 28), "bias": True, "kind": "a"}, "my/net")
    assert mine.command == (
        "bench weights import FILE --as my/net --backbone nafnet "
        "--option width=8 --option enc_blk_nums=1,28 --option bias=true --option kind=a"
    )
    assert mine.again == f"import it again: {mine.command}"
    assert published_file(mine).fetch == mine.command


def test_a_pipe_is_no_file_of_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.pth")
    file = WeightFile("net", str(tmp_path / "net.pth"), "cp")
    assert missing_files([file]) == [file]


def test_the_registry_is_read_without_a_tensor_library() -> None:
    code = "import sys; from harness.weights.catalogue import known; known(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
