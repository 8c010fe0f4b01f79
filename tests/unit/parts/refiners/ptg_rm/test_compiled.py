"""PTG-RM is one graph for torch.compile, with the numbers of its definition, forward and backward."""

from __future__ import annotations

import shutil
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from harness.parts.ops.defined import InstanceNormLeaky, ShuffledConv, dynamic_filter, gated_gelu
from harness.parts.refiners.ptg_rm.ablations import DESIGNS
from harness.parts.refiners.ptg_rm.refiner import PTGRM
from tests.unit.parts.refiners.ptg_rm.test_forms import CASES, SMALL, assert_same, found, inputs

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")


class Graph(PTGRM):
    """The same network, of which `forward` or `edit` is one graph."""

    def __init__(self, network: PTGRM, backend: str) -> None:
        torch.nn.Module.__init__(self)
        self.network = network
        torch.compiler.reset()
        self.of_image = torch.compile(network, fullgraph=True, dynamic=False, backend=backend)
        self.of_map = torch.compile(network.edit, fullgraph=True, dynamic=False, backend=backend)

    def forward(self, *given: Tensor) -> Tensor:
        return self.of_image(*given)

    def edit(self, *given: Tensor) -> Tensor:
        return self.of_map(*given)

    def named_parameters(self, *given: Any, **named: Any) -> Any:
        return self.network.named_parameters(*given, **named)


def network_of(ablation: Any, channels: int | None, head: Literal["mask_residual", "residual"]) -> PTGRM:
    torch.manual_seed(0)
    return PTGRM(5, channels, ablation=ablation, head=head, **SMALL)


def assert_graph_is_same(network: PTGRM, channels: int | None, backend: str) -> None:
    given = inputs(channels, torch.float32)
    expected = found(network, given)
    assert_same(found(Graph(network, backend), given), expected, 1e-4)


@pytest.mark.parametrize(("ablation", "channels"), CASES)
def test_every_ablation_is_one_graph(ablation: str, channels: int | None) -> None:
    assert {ablation for ablation, _ in CASES} == set(DESIGNS)
    assert_graph_is_same(network_of(ablation, channels, "mask_residual"), channels, "aot_eager")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("channels", [None, 10])
@pytest.mark.parametrize("head", ["mask_residual", "residual"])
def test_inductor_gives_the_numbers(head: Any, channels: int | None) -> None:
    assert_graph_is_same(network_of("none", channels, head), channels, "inductor")


class Operations(torch.nn.Module):
    """All operations that have forms, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.shuffled = InstanceNormLeaky(2, 0.1), ShuffledConv(2, 4, 2, 0.1)

    def forward(self, x_B2HW: Tensor, kernels_BKHW: Tensor) -> Tensor:
        return gated_gelu(self.shuffled(self.norm(dynamic_filter(x_B2HW, kernels_BKHW))))


class Filter(torch.nn.Module):
    """The dynamic filter alone, which takes seconds to compile."""

    def forward(self, x_B2HW: Tensor, kernels_BKHW: Tensor) -> Tensor:
        return dynamic_filter(x_B2HW, kernels_BKHW)


@needs_compiler
@pytest.mark.parametrize(
    ("network", "like"),
    [
        (Filter, torch.channels_last),
        pytest.param(Operations, torch.channels_last, marks=pytest.mark.slow),
        pytest.param(Operations, torch.contiguous_format, marks=pytest.mark.slow),
    ],
)
def test_inductor_gives_the_numbers_of_operations(network: type[torch.nn.Module], like: torch.memory_format) -> None:
    torch.manual_seed(0)
    written = network()
    given = torch.randn(2, 2, 6, 5).contiguous(memory_format=like), torch.randn(2, 18, 6, 5)
    results = []
    for run in (written, torch.compile(written, fullgraph=True, dynamic=False)):
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        made = run(*leaves)
        loss = (made * torch.linspace(-1, 1, made.numel()).view(made.shape)).sum()
        results.append([made, *torch.autograd.grad(loss, [*leaves, *written.parameters()])])
    for ours, expected in zip(*results, strict=True):
        assert (ours - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)
