"""PTG-RM's forms: all give the same numbers, and the definition keeps to what a GPU and torch.compile want."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from harness.parts.ops import forms
from harness.parts.ops.forms import Form
from harness.parts.refiners.ptg_rm import guidance
from harness.parts.refiners.ptg_rm.ablations import DESIGNS
from harness.parts.refiners.ptg_rm.refiner import PTGRM
from harness.parts.shared.blocks import TransformerBlock

SMALL: dict[str, Any] = {"width": 4, "long_blocks": 1, "prior_hidden": 8, "prior_width": 6}
CASES = [(name, None) for name in DESIGNS] + [(name, 10) for name in DESIGNS if name != "snr_mask"]
FORMS: tuple[Form, ...] = ("plain", "lean")
UNORDERED = (
    "replication_pad",
    "reflection_pad2d_backward",
    "linear2d_backward",
    "linear1d_backward",
    "bicubic2d_backward",
    "adaptive_avg_pool2d_backward",
    "index_put",
    "index_add",
    "scatter",
    "gather",
    "cumsum",
    "grid_sampler",
)
"""In names of operations that torch.use_deterministic_algorithms names, as far as images could need them."""


class Seen(TorchDispatchMode):
    """Names of the operations that ran, and the devices of what they gave."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.devices: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.names.add(str(function))
        made = result if isinstance(result, tuple | list) else [result]
        self.devices |= {each.device.type for each in made if isinstance(each, Tensor)}
        return result


def refiner(ablation: Any, channels: int | None, *, prior_dim: Any = 5) -> PTGRM:
    torch.manual_seed(0)
    return PTGRM(prior_dim, channels, ablation=ablation, **SMALL)


def inputs(channels: int | None, dtype: torch.dtype) -> list[Tensor]:
    """I_d and Î, or a map of features; g."""
    generator = torch.Generator().manual_seed(0)
    prior = F.normalize(torch.randn(2, 5, generator=generator), dim=1)
    if channels is None:
        images = torch.rand(2, 2, 3, 16, 24, generator=generator)
        return [image.to(dtype) for image in (*images, prior)]
    return [torch.rand(2, channels, 5, 7, generator=generator).to(dtype), prior.to(dtype)]


def found(network: PTGRM, given: list[Tensor]) -> dict[str, Tensor]:
    """The result, and the gradients of everything given and of every weight."""
    network.zero_grad()
    leaves = [tensor.clone().requires_grad_() for tensor in given]
    made = network(*leaves) if len(leaves) == 3 else network.edit(*leaves)
    weights = torch.linspace(-1, 1, made.numel(), dtype=made.dtype, device=made.device)
    (made * weights.view_as(made)).sum().backward()
    grads = {str(number): leaf.grad for number, leaf in enumerate(leaves) if leaf.grad is not None}
    of_weights = {name: weight.grad.clone() for name, weight in network.named_parameters()}
    return {"made": made.detach(), **grads, **of_weights}


def assert_same(ours: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """In the largest number of each tensor, or in the thousandth part of the largest of all gradients."""
    assert ours.keys() == expected.keys()
    least = 1e-3 * max(float(tensor.abs().max()) for tensor in expected.values())
    for name, tensor in expected.items():
        error = (ours[name] - tensor).abs().max() / tensor.abs().max().clamp(min=least)
        assert error < tolerance, (name, float(error))


@pytest.mark.parametrize(("ablation", "channels"), CASES)
def test_the_lean_form_gives_the_numbers_of_the_definition(ablation: str, channels: int | None) -> None:
    """To the rounding of float64, of float32, and of bfloat16 under autocast."""
    network = refiner(ablation, channels)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        network.to(dtype)
        results = {}
        for form in FORMS:
            with forms.using(form), forms.noting() as noted:
                results[form] = found(network, inputs(channels, dtype))
            assert set(noted.values()) == {form}
        assert_same(results["lean"], results["plain"], tolerance)
    exact = results["plain"]
    for form in FORMS:
        with forms.using(form), torch.autocast("cpu", torch.bfloat16):
            assert_same(found(network, inputs(channels, torch.float32)), exact, 0.15)


def test_a_map_as_prior_is_read_alike_in_both_forms() -> None:
    network, given = refiner("concat_2d", None, prior_dim=(5, 2, 3)), inputs(None, torch.float32)
    given[2] = torch.randn(2, 30)
    results = []
    for form in FORMS:
        with forms.using(form):
            results.append(found(network, given))
    assert_same(results[1], results[0], 1e-4)


@pytest.mark.parametrize(("ablation", "channels"), CASES)
def test_the_definition_has_nothing_that_a_gpu_adds_in_no_fixed_order(ablation: str, channels: int | None) -> None:
    network, given = refiner(ablation, channels), inputs(channels, torch.float32)
    with forms.using("plain"), Seen() as seen:
        found(network, given)
    assert "aten.convolution_backward.default" in seen.names
    assert not [name for name in seen.names if any(part in name for part in UNORDERED)]


def test_the_look_for_unordered_operations_sees_the_backward_pass() -> None:
    x = torch.rand(1, 1, 3, 3, requires_grad=True)
    with Seen() as seen:
        F.pad(x, (1, 1, 1, 1), mode="replicate").sum().backward()
    assert "aten.replication_pad2d_backward.default" in seen.names


@pytest.mark.parametrize(("ablation", "channels"), [case for case in CASES if case[0] != "snr_mask"])
def test_the_definition_makes_no_tensor_on_the_host(ablation: str, channels: int | None) -> None:
    network = refiner(ablation, channels).to("meta")
    given = [tensor.to("meta") for tensor in inputs(channels, torch.float32)]
    with Seen() as seen:
        found(network, given)
    assert seen.devices == {"meta"}


def test_blocks_are_computed_again_in_the_form_that_they_had() -> None:
    network, given = refiner("none", None), [tensor.requires_grad_() for tensor in inputs(None, torch.float32)]
    with forms.using("lean"):
        loss = network(*given).sum()
    with forms.using("plain"), forms.noting() as noted:
        loss.backward()
    assert noted == {"gated_gelu": "lean"}


def test_blocks_are_computed_again_where_they_would_fill_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, 16, 5, 7, device="meta")
    held = 3 * guidance.HELD * 4 * x.numel()
    for memory, again in ((11 * held, False), (9 * held, True), (float("inf"), False)):
        monkeypatch.setattr(guidance, "_memory", lambda device, memory=memory: memory)
        assert guidance._computed_again(x, 3) == again
    monkeypatch.setattr(guidance, "_memory", lambda device: 0)
    assert guidance._computed_again(x, 3)
    with torch.no_grad():
        assert not guidance._computed_again(x, 3)


def test_blocks_hold_what_the_rule_for_gpus_says() -> None:
    block, x = TransformerBlock(16, 1, 2.66), torch.rand(1, 16, 32, 32)
    held = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage  # kept, so that no other gets its place
        return tensor

    weights = {weight.untyped_storage().data_ptr() for weight in block.parameters()}
    with forms.using("plain"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made = block(x.requires_grad_())
    kept = sum(storage.nbytes() for place, storage in held.items() if place not in weights)
    assert made.requires_grad
    assert 0.9 * guidance.HELD < kept / (4 * x.numel()) <= guidance.HELD


@pytest.mark.parametrize("form", ["plain", "lean"])
def test_every_second_derivative_that_the_definition_has_the_lean_form_refuses(form: Form) -> None:
    """A penalty on gradients needs the definition; silence would give wrong numbers."""
    network, given = refiner("none", None), inputs(None, torch.float32)
    initial = given[1].requires_grad_()
    with forms.using(form):
        made = network(given[0], initial, given[2])
        if form == "lean":
            with pytest.raises(RuntimeError):
                torch.autograd.grad(made.sum(), initial, create_graph=True)[0].square().sum().backward()
        else:
            torch.autograd.grad(made.sum(), initial, create_graph=True)[0].square().sum().backward()
            assert network.csa.merge.weight.grad.any()


@pytest.mark.parametrize(
    ("ablation", "size", "form"), [("none", 160, "plain"), ("none", 168, "lean"), ("concat_1d", 168, "lean")]
)
def test_a_cpu_trains_leanly_from_a_size_on(ablation: str, size: int, form: Form) -> None:
    """All that follows the layout is of one form, also behind what concatenates the prior."""
    network, image = refiner(ablation, None), torch.rand(1, 3, size, 152)
    with forms.noting() as noted:
        network(image, image, torch.rand(1, 5))
    of_layout = {"ptg_rm", "instance_norm_leaky", "shuffled_conv", "recomputation"}
    assert {noted[name] for name in of_layout} == {form}
