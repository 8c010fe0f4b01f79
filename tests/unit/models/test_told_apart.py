"""What is in a file beside the weights is never taken for them, and one of several is never taken in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.core.errors import DataError, UnknownName
from harness.models.published import take_in
from harness.models.readings import Found, fill_from
from harness.models.weights import load_weights
from harness.parts.shared.formats import read_entries
from harness.weights.catalogue import find
from tests.small_weights import use_registry


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 1)
        self.body = nn.ModuleDict({"first": nn.Conv2d(3, 3, 1)})


def state(value: float, lead: str = "") -> dict[str, Tensor]:
    return {lead + name: torch.full_like(tensor, value) for name, tensor in Net().state_dict().items()}


def dotless(value: float, lead: str) -> dict[str, Tensor]:
    """An average as LitEma keeps it: names without dots, and two counters."""
    names = {lead + name.replace(".", ""): tensor for name, tensor in state(value).items()}
    return names | {f"{lead}decay": torch.tensor(0.99), f"{lead}num_updates": torch.tensor(3)}


def filled(path: Path, content: Any, entry: str = "") -> tuple[float, Found]:
    """The one value of a network that is filled from such a file, and what was found."""
    torch.save(content, path / "net.pth")
    found = fill_from(net := Net(), read_entries(path / "net.pth"), where="net.pth", entry=entry, kind="weights")
    (value,) = {value for tensor in net.state_dict().values() for value in tensor.unique().tolist()}
    return value, found


A, B = state(1.0), state(2.0)
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "exp_avg_diff", "square_avg", "grad_avg")
KEPT = (
    "optimizer",
    "optimizer_states",
    "optim_g",
    "netG_optimizer",
    "lr_scheduler",
    "scaler",
    "opt_state",
)


@pytest.mark.parametrize("key", MOMENTS + KEPT)
@pytest.mark.parametrize("usual", ["params", "net"])
def test_an_optimizers_state_is_no_weights(tmp_path: Path, key: str, usual: str) -> None:
    nested = {"a": {"ema": B}, "exp_avg": B, "model": B}
    assert filled(tmp_path, {key: B, usual: A})[0] == 1.0
    assert filled(tmp_path, {key: nested, usual: A})[0] == 1.0
    value, found = filled(tmp_path, state(2.0, f"{key}.") | state(1.0, f"{usual}."))
    assert (value, found.name, found.left) == (1.0, usual, (key,))
    assert filled(tmp_path, state(2.0, f"{key}.") | A)[0] == 1.0
    with pytest.raises(DataError, match="something other than tensors by name"):
        filled(tmp_path, {key: nested})
    with pytest.raises(UnknownName) as caught:
        filled(tmp_path, {key: nested, usual: A}, entry=f"{key}.model")
    assert key not in caught.value.hint


@pytest.mark.parametrize("key", ["optimal", "optimized_net", "params_ema", "ema", "swa_avg"])
def test_names_that_only_look_like_an_optimizers_are_weights(tmp_path: Path, key: str) -> None:
    assert filled(tmp_path, {key: A})[1].name == key


@pytest.mark.parametrize(
    ("lead", "wrapped", "entry"),
    [
        ("", "_orig_mod.", "_orig_mod"),
        ("module.", "module._orig_mod.", "module._orig_mod"),
        ("net.", "net._checkpoint_wrapped_module.", "net._checkpoint_wrapped_module"),
    ],
)
def test_two_tensors_for_one_name_are_refused(tmp_path: Path, lead: str, wrapped: str, entry: str) -> None:
    both = state(1.0, lead) | state(2.0, wrapped)
    with pytest.raises(DataError, match="two tensors for one name") as caught:
        filled(tmp_path, both)
    assert f"{lead}first.weight and {wrapped}first.weight" in caught.value.what
    assert f"--entry {entry}; or save" in caught.value.hint
    assert filled(tmp_path, both, entry=entry)[0] == 2.0


def test_one_name_twice_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"first\.bias and _orig_mod\.first\.bias") as caught:
        filled(tmp_path, A | {"_orig_mod.first.bias": torch.zeros(3)})
    assert "a file of their own" in caught.value.hint
    torch.save(state(1.0, "a.") | {"a._orig_mod.first.bias": torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(DataError, match="two tensors for one name"):
        load_weights(Net(), tmp_path / "net.pth", strict=False)
    assert filled(tmp_path, A | {"_orig_mod.first.bias": A["first.bias"]})[0] == 1.0


@pytest.mark.parametrize(
    ("content", "name", "left"),
    [
        ({"net": A, "discriminator": B}, "net", ("discriminator",)),
        ({"discriminator_ema": B, "net": A}, "net", ("discriminator_ema",)),
        ({"net": A, "loss": {"net": B}}, "net", ("loss.net",)),
        (state(1.0, "net.") | state(2.0, "loss.net."), "net", ("loss",)),
        ({"state_dict": state(2.0, "criterion.") | A}, "state_dict", ("state_dict.criterion",)),
    ],
)
def test_what_training_keeps_beside_the_network_comes_last(
    tmp_path: Path, content: Any, name: str, left: tuple[str, ...]
) -> None:
    value, found = filled(tmp_path, content)
    assert (value, found.name, found.left) == (1.0, name, left)


@pytest.mark.parametrize("lead", ["", "diffusion_model."])
def test_an_average_without_dots_is_read_by_the_names_beside_it(tmp_path: Path, lead: str) -> None:
    live = state(2.0, f"model.{lead}")
    average = dotless(1.0, f"model_ema.{lead.replace('.', '')}")
    average |= {"model_ema.decay": torch.tensor(0.9)}
    value, found = filled(tmp_path, {"state_dict": live | average})
    assert (value, found.name) == (1.0, f"state_dict.model_ema{'.' * bool(lead)}{lead.rstrip('.')}")
    assert "state_dict.model" in found.left
    assert filled(tmp_path, {"state_dict": live | average}, entry="state_dict.model")[0] == 2.0


def test_an_average_without_dots_is_read_alone_too(tmp_path: Path) -> None:
    value, found = filled(tmp_path, dotless(1.0, "model_ema."))
    assert (value, found.name, found.left) == (1.0, "model_ema", ("model_ema.decay", "model_ema.num_updates"))


def test_an_average_whose_names_fold_is_not_guessed(tmp_path: Path) -> None:
    live = state(2.0, "model.") | {"model.bodyfirst.weight": torch.zeros(1)}
    with pytest.raises(DataError, match="was made for another Net"):
        filled(tmp_path, live | dotless(1.0, "model_ema."), entry="model_ema")


def test_entries_of_one_name_are_said_to_be_out_of_reach(tmp_path: Path) -> None:
    both = {"a.b": A, "a": {"b": B}}
    for entry in ("", "a.b"):
        with pytest.raises(DataError, match=r"several places: a\.b, a\.b") as caught:
            filled(tmp_path, both, entry=entry)
        assert caught.value.hint == "save the ones that you want as a file of their own"
    assert filled(tmp_path, {"a.b": A, "c": B}, entry="a.b")[0] == 1.0


def test_every_place_that_fits_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        filled(tmp_path, {"netG_A": A, "netG_B": B})
    assert caught.value.hint == "say which are meant: --entry netG_A or --entry netG_B"
    with pytest.raises(DataError, match=r"\(without a leading part\), old") as caught:
        filled(tmp_path, A | state(2.0, "old."))
    assert (
        caught.value.hint == "say which are meant: --entry old; or save the ones that you want as a file of their own"
    )


def test_where_there_is_no_entry_none_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no entry 'x'") as caught:
        filled(tmp_path, A, entry="x")
    assert caught.value.hint.startswith("leave --entry out")


def test_sound_weights_beside_broken_ones_are_proposed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not finite: 6 of 6") as caught:
        filled(tmp_path, {"params_ema": state(float("nan")), "params": A, "exp_avg": B})
    assert caught.value.hint == "take another entry of the file: --entry params"
    with pytest.raises(DataError, match="not finite: 6 of 6") as caught:
        filled(tmp_path, {"params_ema": state(float("nan")), "params": state(float("inf"))})
    assert caught.value.hint == "take another file"


@pytest.mark.parametrize(
    ("value", "what"), [(1e300, "too large for float32: 1 of 3"), (float("inf"), "not finite: 1 of 3")]
)
def test_numbers_that_float32_cannot_hold_are_called_so(tmp_path: Path, value: float, what: str) -> None:
    bias = torch.tensor([0.0, value, 0.0], dtype=torch.float64)
    with pytest.raises(DataError, match=f"values that are {what}"):
        filled(tmp_path, A | {"first.bias": bias})


@pytest.mark.parametrize(
    "content",
    [
        {"n" * 5000: A, "m" * 5000: B},
        A | {"n" * 5000 + ".weight": torch.ones(1)},
        A | {"first.bias": torch.full((3,), float("nan")), "n" * 5000: torch.ones(1)},
    ],
)
def test_long_names_are_cut(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError) as caught:
        filled(tmp_path, content)
    assert len(str(caught.value)) < 1200
    with pytest.raises(UnknownName) as unknown:
        filled(tmp_path, content, entry="n" * 4000)
    assert len(str(unknown.value)) < 1200


def test_long_names_are_cut_in_what_is_said_of_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.small_weights import state as small

    use_registry(monkeypatch, tmp_path)
    torch.save({"n" * 5000: small(), "loss" + "m" * 5000: small()}, tmp_path / "net.pth")
    said = take_in(tmp_path / "net.pth", find("small/net")).remarks[0]
    assert said.startswith("took nnn")
    assert len(said) < 400
