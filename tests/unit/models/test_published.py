"""Published files become files of the folder of weights, once they fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.core.errors import DataError, HarnessError, MissingWeights
from harness.core.identity import file_sha256, unsealed
from harness.models.published import RefusedOptions, build, check, take_in, verify
from harness.models.weights import load_weights
from harness.parts.shared.formats import read_checkpoint
from harness.weights.catalogue import Checkpoint, find, named, own, read_origin
from tests.small_weights import OPTIONS, state, use_registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_registry(monkeypatch, tmp_path)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    file = tmp_path / "net.pth"
    torch.save({"params": state()}, file)
    return file


def test_a_network_is_converted_with_a_note_of_its_origin(folder: Path, published: Path) -> None:
    imported = take_in(published, find("small/net"))
    assert imported.path == folder / "small" / "net.safetensors"
    assert {file.name for file in imported.path.parent.iterdir()} == {"net.safetensors", "net.json"}
    assert imported.remarks == (
        "took params",
        f"no published SHA-256 is known to compare with; this file's is {file_sha256(published)}",
    )
    written = unsealed((folder / "small" / "net.json").read_bytes()).content
    assert written.pop("imported").endswith("+00:00")
    assert written == {
        "id": "small/net",
        "part": "backbone nafnet",
        "options": {key: list(value) if isinstance(value, tuple) else value for key, value in OPTIONS.items()},
        "licence": "MIT",
        "published_file": "net.pth",
        "published_sha256": file_sha256(published),
        "entry": "params",
        "sha256": file_sha256(imported.path),
    }
    network = build(find("small/net"))
    load_weights(network, imported.path)
    assert all(torch.equal(tensor, state()[key]) for key, tensor in network.state_dict().items())
    assert "every name and shape fits" in verify(find("small/net"))


def test_averaged_weights_are_preferred_and_that_is_said(folder: Path, published: Path) -> None:
    plain = {key: tensor + 1 for key, tensor in state().items()}
    torch.save({"params": plain, "params_ema": state()}, published)
    imported = take_in(published, find("small/net"))
    assert imported.remarks[0] == "took params_ema, an average; left params"
    assert torch.equal(read_checkpoint(imported.path)["intro.weight"], state()["intro.weight"])


def test_half_precision_is_converted_and_that_is_said(folder: Path, published: Path) -> None:
    torch.save({key: tensor.half() for key, tensor in state().items()}, published)
    imported = take_in(published, find("small/net"))
    assert imported.remarks[0] == "took the names without a leading part; converted from float16 to float32"
    assert read_checkpoint(imported.path)["intro.weight"].dtype == torch.float32


def test_a_file_that_is_read_as_published_is_copied(folder: Path, tmp_path: Path, published: Path) -> None:
    with pytest.raises(DataError, match="begins with ffffffff"):
        take_in(published, find("small/as-it-is"))
    fitting = replace(find("small/as-it-is"), sha256_prefix=file_sha256(published)[:8])
    assert take_in(published, fitting).path == folder / "there" / "net.pt"
    assert (folder / "there" / "net.pt").read_bytes() == published.read_bytes()
    assert verify(fitting) == "first digits of the SHA-256 as published"
    with pytest.raises(DataError, match="begins with ffffffff"):
        verify(find("small/as-it-is"))


def test_options_of_another_network_are_told_with_the_registrys_note(folder: Path, published: Path) -> None:
    torch.save(state(width=8), published)
    fitting = replace(find("small/checked"), sha256=None)
    with pytest.raises(DataError, match="made for another NAFNet: differs in shape at") as caught:
        take_in(published, fitting)
    assert caught.value.hint.endswith("; the small one")
    assert not folder.exists()
    with pytest.raises(DataError, match="made for another NAFNet"):
        check(published, fitting)


def test_a_check_takes_nothing_in(folder: Path, published: Path) -> None:
    assert file_sha256(published) in check(published, find("small/net"))
    with pytest.raises(DataError, match="that of the published file is fff"):
        check(published, find("small/checked"))
    assert not folder.exists()


def test_weights_of_ones_own(folder: Path, published: Path) -> None:
    take_in(published, named("backbone nafnet", OPTIONS, "my/net.v1"))
    (found,) = own()
    assert (found.id, found.part, found.options) == ("my/net.v1", "backbone nafnet", OPTIONS)
    assert find("my/net.v1") == found
    assert "fits" in verify(found)


def test_options_that_a_network_refuses(folder: Path, published: Path) -> None:
    with pytest.raises(HarnessError, match="as many decoder as encoder levels"):
        take_in(published, named("backbone nafnet", {"enc_blk_nums": (1, 1)}, "my/net"))
    for width in ("wide", -3, 10**30, (1,)):
        with pytest.raises(RefusedOptions, match=r"cannot be made: \w") as caught:
            build(Checkpoint("a/b", part="backbone nafnet", options={"width": width}))
        assert "\n" not in caught.value.what


def test_damaged_weights_of_ones_own_are_imported_again_and_not_fetched(folder: Path, published: Path) -> None:
    mine = named("backbone nafnet", OPTIONS, "my/net")
    assert take_in(published, mine).path == mine.path
    again = "bench weights import FILE --as my/net --backbone nafnet --option width=4 --option enc_blk_nums=1"
    content = mine.path.read_bytes()
    mine.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for match, damage in (("has SHA-256", lambda: None), ("JSON beside it", mine.origin.unlink)):
        damage()
        with pytest.raises(DataError, match=match) as caught:
            verify(mine)
        assert caught.value.hint.startswith(f"import it again: {again}")
    mine.path.unlink()
    with pytest.raises(MissingWeights) as gone:
        verify(mine)
    assert gone.value.hint.startswith(again)


def test_what_changed_since_is_found(folder: Path, published: Path) -> None:
    checkpoint = find("small/net")
    with pytest.raises(MissingWeights, match="not here") as caught:
        verify(checkpoint)
    assert caught.value.hint == "bench weights fetch small/net"
    take_in(published, checkpoint)
    content = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="has SHA-256"):
        verify(checkpoint)
    checkpoint.origin.unlink()
    with pytest.raises(DataError, match="JSON beside it is missing"):
        verify(checkpoint)


def test_a_network_that_is_no_part_of_the_catalogue() -> None:
    hrnet = find("hrnet/w48-pascal-context")
    small = replace(hrnet, options={"channels": (2, 4, 6, 8), "modules": (1, 1, 1), "blocks": 1})
    assert type(build(small)).__name__ == "HRNet"


def test_an_import_leaves_the_random_state_alone(folder: Path, published: Path) -> None:
    before = torch.get_rng_state()
    take_in(published, find("small/net"))
    assert torch.equal(torch.get_rng_state(), before)
    assert read_origin(find("small/net")) is not None
