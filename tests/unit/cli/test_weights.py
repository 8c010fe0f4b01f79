"""`bench weights` as a user types it, on a small registry and a server of the test's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.cli import exits, main
from harness.core.identity import file_sha256
from tests.small_weights import served, state, use_registry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", "weights", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main.main()
        return int(stop.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture
def published(tmp_path: Path) -> Path:
    file = tmp_path / "served" / "net.pth"
    file.parent.mkdir()
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in state().items()}, "epoch": 3}, file)
    return file


@pytest.fixture
def folder(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of weights, with a registry whose addresses are served."""
    with served(published.parent, monkeypatch) as url:
        yield use_registry(monkeypatch, tmp_path, url, file_sha256(published))


def test_list_shows_what_is_here(bench: Run, folder: Path, published: Path) -> None:
    code, out, _ = bench("list")
    assert code == exits.DONE
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["missing", "small/net"],
        ["missing", "small/checked"],
        ["missing", "small/by-hand"],
        ["missing", "small/as-it-is"],
    ]
    assert "backbone nafnet (width=4, enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1])" in out
    assert "~/weights/small/net.safetensors" in out
    bench("import", published, "--as", "small/net")
    bench("import", published, "--as", "my/net", "--backbone", "nafnet", *small_options())
    assert [line.split()[:2] for line in bench("list", "*/net")[1].splitlines()[1:]] == [
        ["here", "small/net"],
        ["here", "my/net"],
    ]
    code, _, err = bench("list", "smal/net")
    assert code == exits.WRONG
    assert "did you mean 'small/net'" in err


def small_options() -> list[str]:
    given = ("width=4", "enc_blk_nums=1", "middle_blk_num=1", "dec_blk_nums=1")
    return [word for option in given for word in ("--option", option)]


def test_fetch_gets_converts_and_then_has_it(bench: Run, folder: Path) -> None:
    code, out, err = bench("fetch", "small/checked", "small/as-it-is")
    assert code == exits.DONE, err
    assert out == (
        "small/checked: is here: ~/weights/small/checked.safetensors\n  took state_dict.module\n"
        "small/as-it-is: is here: ~/weights/there/net.pt\n"
    )
    assert "small/checked: MIT, http://127.0.0.1" in err
    code, out, err = bench("fetch", "small/checked", "small/as-it-is")
    assert (code, out.count("is here"), err) == (exits.DONE, 2, "")
    code, out, _ = bench("verify")
    assert code == exits.DONE
    assert out.splitlines() == [
        "small/checked: ok: SHA-256 as converted, every name and shape fits",
        "small/as-it-is: ok: first digits of the SHA-256 as published",
    ]


def test_fetch_replaces_a_wrong_file_that_is_kept_as_published(bench: Run, folder: Path, published: Path) -> None:
    place = folder / "there" / "net.pt"
    place.parent.mkdir(parents=True)
    place.write_text("an error page")
    assert bench("verify", "small/as-it-is")[0] == exits.FAILED
    assert bench("verify", place)[0] == exits.FAILED
    assert bench("fetch", "small/as-it-is")[0] == exits.DONE
    assert place.read_bytes() == published.read_bytes()


def test_what_has_no_address_is_told_with_its_page_and_the_rest_goes_on(bench: Run, folder: Path) -> None:
    code, out, err = bench("fetch", "small/by-hand", "small/net")
    assert code == exits.BLOCKED
    assert "open https://example.org/nets, download by_hand.pth, then: bench weights import FILE --as" in err
    assert "small/net: is here" in out


def test_without_a_network_it_says_what_to_try(bench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = use_registry(monkeypatch, tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    code, out, err = bench("fetch", "small/net")
    assert (code, out) == (exits.BLOCKED, "")
    assert err.splitlines()[1:] == [
        "small/net: http://127.0.0.1:1/net.pth: cannot be reached (Connection refused)",
        "  try: the same command later, or with a network; or download http://127.0.0.1:1/net.pth elsewhere, "
        "then: bench weights import FILE --as small/net",
    ]
    assert not folder.exists()


def test_import_of_the_entry_that_is_named(bench: Run, folder: Path, published: Path) -> None:
    torch.save({"params": state(), "params_ema": {name: 2 * tensor for name, tensor in state().items()}}, published)
    expected = {"": ("took params_ema, an average; left params", 2), "params": ("took params; left params_ema", 1)}
    for entry, (said, factor) in expected.items():
        code, out, _ = bench("import", published, "--as", "small/net", *(["--entry", entry] if entry else []))
        assert (code, out.splitlines()[1].strip()) == (exits.DONE, said)
        taken = load_file(folder / "small" / "net.safetensors")
        assert torch.equal(taken["intro.weight"], factor * state()["intro.weight"])
        assert said in bench("verify", published, "--as", "small/net", *(["--entry", entry] if entry else []))[1]


def test_import_of_a_users_own(bench: Run, folder: Path, published: Path) -> None:
    code, out, _ = bench("import", published, "--as", "my/net", "--backbone", "nafnet", *small_options())
    assert code == exits.DONE
    assert out.startswith("my/net: is here: ~/weights/my/net.safetensors\n")
    assert bench("verify", "my/net")[0] == exits.DONE
    assert bench("verify", folder / "my" / "net.safetensors")[0] == exits.DONE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "F", "--as", "small/nett"], "did you mean 'small/net'"),
        (["import", "F", "--as", "a/b", "--option", "width=4"], "give --backbone too"),
        (["import", "F", "--as", "a/b", "--backbone", "nafnett"], "did you mean 'nafnet'"),
        (["import", "F", "--as", "a/b", "--backbone", "nafnet", "--option", "widht=4"], "did you mean 'width'"),
        (["import", "F", "--as", "a/b", "--backbone", "nafnet", "--option", "width"], "NAME=VALUE"),
        (["import", "F", "--as", "small/net", "--entry", "state_dic"], "did you mean 'state_dict'"),
        (["import", "F", "--as", "small/net", "--entry", "ema"], "no entry 'ema' with weights is in it"),
        (["verify", "small/net", "--entry", "ema"], "where in one file"),
        (["fetch", "small/nett"], "did you mean 'small/net'"),
        (["verify", "small/nett"], "did you mean 'small/net'"),
        (["verify", "F"], "say what it should be: F --as ID"),
        (["verify", "F", "small/net", "--as", "small/net"], "one file"),
        (["verify", "--as", "small/net"], "one file"),
    ],
)
def test_wrong_arguments(bench: Run, folder: Path, published: Path, arguments: list[str], message: str) -> None:
    given = [str(published) if word == "F" else word for word in arguments]
    code, _, err = bench(*given)
    assert code == exits.WRONG
    assert message.replace("F ", f"{published} ") in err


@pytest.mark.parametrize(
    ("as_", "given", "message"),
    [
        ("../x", [], "--as: '../x' cannot be a name of weights"),
        ("", [], "--as: '' cannot be a name of weights"),
        ("my/a\x1b[2Jb", [], "--as: 'my/a\\x1b[2Jb' cannot be a name of weights"),
        ("my/" + "ü" * 101, [], "…' cannot be a name of weights"),
        ("my/ net", [], "--as: 'my/ net' cannot be a name of weights"),
        ("small/net", [], "--as: small/net is a published checkpoint"),
        ("my/net", ["width=8"], "--option: width is given twice"),
        ("my/net", ["nonsense"], "sets nothing"),
    ],
)
def test_wrong_names_and_options_of_ones_own(
    bench: Run, folder: Path, published: Path, as_: str, given: list[str], message: str
) -> None:
    more = [word for option in given for word in ("--option", option)]
    code, out, err = bench("import", published, "--as", as_, "--backbone", "nafnet", *small_options(), *more)
    assert (code, out) == (exits.WRONG, "")
    assert message in err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("width=-3", "--option width: expected at least 1, not -3"),
        ("width=x", "--option width: expected a whole number, not 'x'"),
        ("width=4.5", "--option width: expected a whole number, not 4.5"),
        ("width=", "--option width: "),
        ("enc_blk_nums=1,x", "--option enc_blk_nums.1: "),
        ("enc_blk_nums=1,1", "as many decoder as encoder levels"),
    ],
)
def test_options_that_the_backbone_cannot_take(
    bench: Run, folder: Path, published: Path, option: str, message: str
) -> None:
    code, out, err = bench("import", published, "--as", "my/net", "--backbone", "nafnet", "--option", option)
    assert (code, out) == (exits.WRONG, "")
    assert message in err
    assert "--debug" not in err
    assert not folder.exists()


def test_verify_says_which_weights_are_gone_from_beside_their_json(bench: Run, folder: Path, published: Path) -> None:
    for name in ("own/a", "own/b"):
        bench("import", published, "--as", name, "--backbone", "nafnet", *small_options())
    (folder / "own" / "b.safetensors").unlink()
    code, out, err = bench("verify")
    assert code == exits.BLOCKED
    assert "own/a: ok" in out
    assert err.startswith("own/b: own/b: not here\n  try: bench weights import FILE --as own/b --backbone nafnet")
    assert ["missing", "own/b"] in [line.split()[:2] for line in bench("list")[1].splitlines()]


def test_verify_says_which_weights_have_lost_their_json(bench: Run, folder: Path, published: Path) -> None:
    for name in ("own/a", "own/b", "own/c"):
        bench("import", published, "--as", name, "--backbone", "nafnet", *small_options())
    (folder / "own" / "a.json").unlink()
    (folder / "own" / "b.json").write_text("{")
    lost = "the JSON beside it is missing or damaged\n  try: import it again: bench weights import FILE --as"
    code, out, err = bench("verify")
    assert code == exits.FAILED
    assert out == "own/c: ok: SHA-256 as converted, every name and shape fits\n"
    assert [f"own/{name}.safetensors: {lost} own/{name} " in err for name in "abc"] == [True, True, False]
    for subject in ("own/a", folder / "own" / "a.safetensors"):
        code, _, err = bench("verify", subject)
        assert (code, f"{lost} own/a " in err) == (exits.FAILED, True)
    assert [line.split()[:2] for line in bench("list", "own/*")[1].splitlines()[1:]] == [
        ["here", "own/c"],
        ["damaged", "own/a"],
        ["damaged", "own/b"],
    ]
    code, _, err = bench("import", published, "--as", "own/a")
    assert (code, lost in err) == (exits.WRONG, True)
    assert bench("import", published, "--as", "own/a", "--backbone", "nafnet", *small_options())[0] == exits.DONE
    assert bench("verify", "own/a")[0] == exits.DONE


def test_a_pipe_does_not_stop_an_import(bench: Run, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.pth")
    code, _, err = bench("import", tmp_path / "net.pth", "--as", "small/net")
    assert (code, "is a named pipe, not a file of weights" in err) == (exits.FAILED, True)
    assert bench("verify", tmp_path / "net.pth", "--as", "small/net")[0] == exits.FAILED


def test_verify_of_a_file_that_is_not_taken_in(bench: Run, folder: Path, published: Path) -> None:
    code, out, _ = bench("verify", published, "--as", "small/checked")
    assert code == exits.DONE
    assert "every name and shape fits" in out
    assert not folder.exists()


def test_verify_with_nothing_here(bench: Run, folder: Path) -> None:
    assert bench("verify") == (
        exits.DONE,
        "no weights are here yet, neither in ~/weights nor in torch.hub's cache\n",
        "",
    )
    assert bench("verify", "small/net")[0] == exits.BLOCKED
