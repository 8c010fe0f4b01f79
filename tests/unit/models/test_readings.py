"""The weights of a network are found in files as people have them, and what is no such file is refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.api.weights import OfficialNames
from harness.core.errors import DataError, HarnessError, UnknownName
from harness.models.published import take_in
from harness.models.readings import fill_from, renamed
from harness.models.weights import load_weights
from harness.parts.shared.formats import read_entries
from harness.weights.catalogue import find
from tests.small_weights import use_registry


class Net(nn.Module):
    """A network with a block inside a block of the same kind, and statistics beside its weights."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, width, 1)
        self.body = nn.ModuleDict({"first": nn.Conv2d(width, width, 1), "norm": nn.BatchNorm2d(width)})


def state(value: float = 1.0, lead: str = "", width: int = 3) -> dict[str, Tensor]:
    """Net's names with one value everywhere."""
    tensors = Net(width).state_dict()
    return {lead + name: torch.full_like(tensor, value) for name, tensor in tensors.items()}


LEFT, TAKEN = state(-1.0), state(1.0)
STEP = {"step": torch.tensor(3)}
VGG = {"0.weight": torch.zeros(4, 2)}
ADAM = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
AVERAGED = torch.optim.swa_utils.AveragedModel(Net())
AVERAGED.load_state_dict(state(1.0, "module.") | {"n_averaged": torch.tensor(5)})


def named(lead: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {lead + name: tensor for name, tensor in tensors.items()}


FILES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "bare": (TAKEN, "", ()),
    "DataParallel": ({"state_dict": named("module.", TAKEN), "epoch": 3}, "state_dict.module", ()),
    "torch.compile of DDP": (named("module._orig_mod.", TAKEN), "module", ()),
    "a compiled block": (
        {name.replace("body.", "body._orig_mod."): tensor for name, tensor in TAKEN.items()},
        "",
        (),
    ),
    "AveragedModel": (AVERAGED.state_dict(), "module", ("n_averaged",)),
    "Lightning with a loss's network": (
        {"state_dict": named("net.", TAKEN) | named("loss_fn.vgg.", VGG), "optimizer_states": [ADAM], "epoch": 3},
        "state_dict.net",
        ("state_dict.loss_fn",),
    ),
    "Lightning whose module is the network": (TAKEN | named("loss_fn.vgg.", VGG), "", ("loss_fn",)),
    "Lightning with an average in a callback": (
        {"state_dict": named("net.", LEFT), "callbacks": {"EMA": {"ema_state_dict": named("net.", TAKEN)}}},
        "callbacks.EMA.ema_state_dict.net",
        ("state_dict",),
    ),
    "mmagic with its counter": (
        {"meta": {"iter": 3}, "state_dict": named("generator.", TAKEN) | {"step_counter": torch.tensor(3)}},
        "state_dict.generator",
        ("state_dict.step_counter",),
    ),
    "mmagic with an average": (
        {"state_dict": named("generator.", LEFT) | named("generator_ema.", TAKEN) | named("discriminator.", VGG)},
        "state_dict.generator_ema",
        ("state_dict.generator", "state_dict.discriminator"),
    ),
    "BasicSR": ({"params": LEFT, "params_ema": TAKEN}, "params_ema", ("params",)),
    "ema beside model": ({"model": LEFT, "ema": TAKEN, "optimizer": ADAM}, "ema", ("model",)),
    "an average in a list": (
        {"model": TAKEN, "ema": {"decay": 0.999, "shadow_params": list(LEFT.values())}},
        "model",
        ("ema.shadow_params (an average without names)",),
    ),
    "ema in ema": ({"model": LEFT, "ema": {"module": TAKEN, "updates": 7}}, "ema.module", ("model",)),
    "timm": ({"state_dict": LEFT, "state_dict_ema": TAKEN}, "state_dict_ema", ("state_dict",)),
    "torch_ema by name": ({"model": LEFT, "ema_state_dict": TAKEN}, "ema_state_dict", ("model",)),
    "model_ema": ({"model_ema": TAKEN, "model": LEFT}, "model_ema", ("model",)),
    "an average with leading parts": (
        {"model": named("module.", LEFT), "swa_model": AVERAGED.state_dict()},
        "swa_model.module",
        ("model", "swa_model.n_averaged"),
    ),
    "nested twice": ({"a": {"model": {"state_dict": named("net.", TAKEN)}}}, "a.model.state_dict.net", ()),
    "usual key beside another": ({"old": LEFT, "params": TAKEN}, "params", ("old",)),
    "GAN": ({"netD": VGG, "netG": TAKEN}, "netG", ("netD",)),
    "the same weights twice": ({"a": TAKEN, "b": TAKEN}, "a", ("b",)),
    "NumPy beside it": (
        {"params": TAKEN, "psnr": np.float64(31.2), "curve": np.arange(3.0), "random": np.random.get_state()},
        "params",
        (),
    ),
    "half precision": ({"params": {name: tensor.half() for name, tensor in TAKEN.items()}}, "params", ()),
    "counters of old norms missing": ({n: t for n, t in TAKEN.items() if "num_batches" not in n}, "", ()),
    "a scalar beside tensors": (TAKEN | STEP, "", ("step",)),
    "an average that lacks statistics": (
        {"model": TAKEN, "ema": {name: tensor for name, tensor in LEFT.items() if "running" not in name}},
        "model",
        ("ema (an average that does not fit: lacks body.norm.running_mean, body.norm.running_var)",),
    ),
}


@pytest.mark.parametrize("content", FILES)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_beside_anything_else(tmp_path: Path, content: str, zipped: bool) -> None:
    held, name, left = FILES[content]
    torch.save(held, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    net = Net()
    found = fill_from(net, read_entries(tmp_path / "net.pth"), where="net.pth", kind="weights")
    assert (found.name, found.left) == (name, left)
    assert all(torch.equal(tensor, TAKEN[key]) for key, tensor in net.state_dict().items() if "num_batches" not in key)
    assert net.first.weight.dtype == torch.float32


def test_number_formats_are_converted_and_that_is_said(tmp_path: Path) -> None:
    mixed = {name: tensor.half() for name, tensor in TAKEN.items()} | {"first.bias": TAKEN["first.bias"].double()}
    torch.save(mixed, tmp_path / "net.pth")
    found = fill_from(Net(), read_entries(tmp_path / "net.pth"), where="net.pth", kind="weights")
    assert found.converted == ("float16", "float64")
    mixed["first.bias"] = torch.full((3,), 1e300, dtype=torch.float64)
    torch.save(mixed, tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"first\.bias holds values that are too large for float32: 3 of 3"):
        load_weights(Net(), tmp_path / "net.pth", kind="weights")


def test_safetensors_have_leading_parts_too(tmp_path: Path) -> None:
    save_file(named("generator.", LEFT) | named("generator_ema.", TAKEN), tmp_path / "net.safetensors")
    load_weights(net := Net(), tmp_path / "net.safetensors", kind="weights")
    assert torch.equal(net.first.weight, TAKEN["first.weight"])


@pytest.mark.parametrize(
    ("entry", "value"),
    [("params", 1.0), ("params_ema", 2.0), ("more", 3.0), ("more.net", 3.0), ("more.net_b", 4.0)],
)
def test_a_named_entry_is_taken(tmp_path: Path, entry: str, value: float) -> None:
    more = {"net": state(3.0), "net_b": {"module": state(4.0)}} if entry != "more" else {"net": state(3.0)}
    torch.save({"params": state(1.0), "params_ema": state(2.0), "more": more}, tmp_path / "net.pth")
    fill_from(net := Net(), read_entries(tmp_path / "net.pth"), where="net.pth", entry=entry)
    assert net.first.weight.unique().tolist() == [value]


def not_finite(value: float) -> dict[str, Any]:
    tensors = {name: tensor.clone() for name, tensor in TAKEN.items()}
    tensors["body.first.weight"][0, 1] = value
    return {"params": named("net.", tensors)}


def changed(name: str, tensor: Any) -> dict[str, Any]:
    return dict(TAKEN) | {name: tensor}


REFUSED: dict[str, tuple[Any, str, str]] = {
    "NaN": (not_finite(float("nan")), r"net\.body\.first\.weight holds values that are not finite: 1 of 9", "file"),
    "infinity": (not_finite(float("-inf")), r"net\.body\.first\.weight holds values that are not finite", "file"),
    "another width": (state(width=5), r"differs in shape at body\.first\.bias \(5,\), not \(3,\)", "options"),
    "another width beside an average": (
        {"model": state(width=5), "ema": state(width=5)},
        r"ema was made for another Net: differs in shape at body\.first\.bias \(5,\), not \(3,\),",
        "--entry model",
    ),
    "a block more": (changed("body.more.weight", torch.ones(1)), r"has the unknown body\.more\.weight", "options"),
    "a module more": (changed("head.weight", torch.ones(1)), r"has the unknown head\.weight", "options"),
    "a parameter less": ({k: v for k, v in TAKEN.items() if k != "first.bias"}, r"lacks first\.bias", "options"),
    "two networks": (named("net.", TAKEN) | named("teacher.", LEFT), "fit in several places: net, teacher", "--entry"),
    "one in the other": (named("net.", TAKEN) | named("net.old.", LEFT), r"places: net, net\.old", "--entry"),
    "two entries": ({"netG_A": TAKEN, "netG_B": LEFT}, "several places: netG_A, netG_B", "--entry netG_B"),
    "bytes": (changed("first.bias", torch.ones(3, dtype=torch.int8)), "first.bias holds int8, not floating", "float32"),
    "complex": (changed("first.bias", torch.ones(3, dtype=torch.complex64)), "holds complex64", "float32"),
    "sparse": (changed("first.bias", torch.ones(3).to_sparse()), r"first\.bias is sparse", "float32"),
    "without values": (changed("first.bias", torch.ones(3, device="meta")), r"first\.bias has no values", "float32"),
    "a name of two lines": (changed("he\nad", torch.ones(1)), r"has the unknown he\\nad", "options"),
    "an average in a list alone": ({"ema": [torch.ones(2)]}, "something other than tensors by name", "state_dict"),
    "an optimizer": (ADAM, "something other than tensors by name", "state_dict"),
    "a list": ([torch.ones(2)], "something other than tensors by name", "state_dict"),
    "a number": (3, "something other than tensors by name", "state_dict"),
    "nothing": ({}, "something other than tensors by name", "state_dict"),
    "a whole module": (Net(), r"needs the code of \S*Net to be read", "safetensors"),
    "an object beside it": ({"params": TAKEN, "at": Path("x")}, r"needs the code of pathlib", "safetensors"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("content", REFUSED)
def test_what_does_not_fit_is_refused_with_what_to_try(tmp_path: Path, content: str) -> None:
    held, what, hint = REFUSED[content]
    file = tmp_path / "net.pth"
    torch.save(held, file)
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(DataError, match=what) as caught:
        load_weights(net, file, kind="weights")
    assert (caught.value.kind, caught.value.where) == ("weights", str(file))
    assert hint in caught.value.hint
    assert "\n" not in caught.value.what
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    bias = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    torch.save(changed("first.bias", bias), tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"first\.bias is quantised, not a plain tensor"):
        load_weights(Net(), tmp_path / "net.pth", kind="weights")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_weights_are_refused(tmp_path: Path) -> None:
    torch.save(changed("first.bias", torch.nested.nested_tensor([torch.ones(3)])), tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"first\.bias is nested, not a plain tensor"):
        load_weights(Net(), tmp_path / "net.pth", kind="weights")


def test_a_file_that_holds_itself_is_read(tmp_path: Path) -> None:
    held: dict[str, Any] = {"params": TAKEN}
    held["itself"] = held
    torch.save(held, tmp_path / "net.pth")
    assert [entry.name for entry in read_entries(tmp_path / "net.pth")] == ["params"]


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("params_em", "did you mean 'params_ema'"),
        ("generator_ema", "did you mean 'params.generator_ema'"),
        ("params_ema.nett", "did you mean 'params_ema.net'"),
        ("optimizer", "known: params, params.generator_ema, params_ema, params_ema.net"),
    ],
)
def test_an_entry_that_is_not_there_is_told_with_near_ones(tmp_path: Path, entry: str, hint: str) -> None:
    held = {"params": named("generator_ema.", TAKEN), "params_ema": named("net.", TAKEN), "optimizer": ADAM}
    torch.save(held, tmp_path / "net.pth")
    with pytest.raises(UnknownName, match="no entry") as caught:
        fill_from(Net(), read_entries(tmp_path / "net.pth"), where="net.pth", entry=entry)
    assert hint in caught.value.hint
    assert caught.value.where == "net.pth"


def test_an_archive_of_files_is_named_as_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.pth", "w") as archive:
        for name in ("sid_G.pth", "smid_G.pth", "indoor_G.pth", "outdoor_G.pth"):
            archive.writestr(name, b"x")
    with pytest.raises(DataError, match=r"archive of other files: sid_G\.pth, smid_G\.pth, indoor_G\.pth and 1 more"):
        read_entries(tmp_path / "all.pth", kind="weights")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", r"\(a pointer of Git LFS, which `git"),
        (b"\n<!DOCTYPE html><title>Quota exceeded</title>", r"\(a web page\)"),
        (b"", r"\(empty or cut off\)"),
    ],
)
def test_what_servers_send_in_place_of_a_file_is_called_by_its_name(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(DataError, match=f"is damaged or not a file of weights {what}"):
        read_entries(tmp_path / "net.pth", kind="weights")


class Renaming(Net):
    """Its authors wrote `stem` for `first`, and keep a table that it computes."""

    official = OfficialNames(parts={"stem": "first", "wrapper": ""}, extras=frozenset({"table"}))


@pytest.mark.parametrize("lead", ["", "net.", "module.model."])
def test_official_names_hold_after_the_leading_parts(tmp_path: Path, lead: str) -> None:
    others = {name.replace("first", "stem").replace("body.", "body.wrapper."): tensor for name, tensor in TAKEN.items()}
    torch.save(named(lead, others | {"table": torch.ones(9)}) | named("loss.", VGG), tmp_path / "net.pth")
    load_weights(net := Renaming(), tmp_path / "net.pth")
    assert torch.equal(net.get_parameter("body.first.weight"), TAKEN["body.first.weight"])


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:-9], lambda c: b"\x80\x02}q\x00." * 9, lambda c: c[9:]])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damage_is_the_files_and_never_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes], suffix: str
) -> None:
    folder, file = use_registry(monkeypatch, tmp_path), tmp_path / f"net{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(TAKEN, file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(HarnessError) as caught:
        take_in(file, find("small/net"))
    assert caught.value.kind == "weights"
    assert caught.value.hint
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "translated"), [("r1.weight", "encoder.0.weight"), ("r1norm.body.bias", "r1norm.bias"), ("body", "")]
)
def test_names_are_translated_by_whole_parts(name: str, translated: str) -> None:
    assert renamed(name, {"r1": "encoder.0", "body": ""}) == translated
