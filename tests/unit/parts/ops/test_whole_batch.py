"""Batch statistics and random numbers of a batch that several processes share, against torch on the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from spandrel.util.timm import DropPath
from torch import Tensor, nn

from harness.core.errors import HarnessError
from harness.parts.ops.whole_batch import (
    Pass,
    mean_of_group,
    passes,
    passing,
    prepare,
    take_statistics,
    takes_statistics,
    trying,
)
from harness.parts.shared.guidance import OtherImages
from tests.unit.parts.ops.ranks import together

BATCH, STEPS = 8, 3
MICRO = {2: (None, 2, 4), 4: (None, 4)}
"""Number of processes → micro-batches: groups that all share, that some share, that lie in one process."""


class Net(nn.Module):
    """A norm that every pass meets twice, one without factors, one whose statistics have no decay."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.twice = nn.BatchNorm2d(4)
        self.plain = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
        self.slow = nn.BatchNorm1d(4, momentum=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.first(x)).relu()
        x = self.plain(self.twice(self.second(x)) + x)
        return self.slow((x * x).mean((2, 3)))


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))
        self.layers = nn.Sequential(DropPath(0.4), nn.Dropout(0.3), nn.Dropout1d(0.3), DropPath(0.2))

    def forward(self, x: Tensor) -> Tensor:
        windows = self.layers((x * self.weight).unflatten(-1, (1, 5)).repeat_interleave(2, 0))
        return windows.flatten(1)


class AlphaDropping(nn.Module):
    """The dropouts that keep mean and variance."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))
        self.layers = nn.Sequential(nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.2), nn.AlphaDropout(0.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x * self.weight).unsqueeze(-1)).flatten(1)


def images() -> Tensor:
    drawn = torch.Generator().manual_seed(1)
    return 3 + torch.randn(STEPS, BATCH, 3, 7, 6, generator=drawn) * torch.arange(1.0, BATCH + 1)[:, None, None, None]


def trained(
    network: nn.Module, given: Tensor, rank: int, ranks: int, micro: int | None, most: int | None = None
) -> dict[str, Any]:
    """Results, mean gradients and buffers of some steps; gradients are added over steps."""
    results = []
    for step, batch in enumerate(given):
        parts = passes(BATCH // ranks, rank=rank, ranks=ranks, group=micro, most=most)
        for one in parts:
            torch.manual_seed(100 * step + one.group.start)
            with passing(one):
                result = network(batch[one.first : one.first + one.images])
                scores = result.flatten()
                if most is None:
                    loss = (scores.sin() - mean_of_group(scores)).square().mean() * one.images / one.share
                    loss.backward()
            results.append(result.detach())
        take_statistics(parts[-1])
    gradients = {name: value.grad for name, value in network.named_parameters()}
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return {"results": results, "gradients": gradients, "state": state}


def norms(rank: int, ranks: int, micro: int | None) -> dict[str, Any]:
    torch.manual_seed(0)
    network = Net()
    if ranks > 1:
        prepare(network)
    return trained(network, images(), rank, ranks, micro)


def drops(rank: int, ranks: int, micro: int | None) -> dict[str, Any]:
    network = Dropping()
    if ranks > 1:
        prepare(network)
    return trained(network, images().flatten(2)[..., :5], rank, ranks, micro)


def kept(rank: int, ranks: int, micro: int | None) -> Tensor:
    """The images of a batch that the control of refiners keeps."""
    others = OtherImages()
    for one in passes(BATCH // ranks, rank=rank, ranks=ranks, group=micro):
        with passing(one):
            others.remember(images()[0][one.first : one.first + one.images])
    return others.images_N3SS


def in_order(shares: Sequence[dict[str, Any]]) -> Tensor:
    """The results of all processes in the order of the batches."""
    steps = [torch.cat(share["results"]).unflatten(0, (STEPS, -1)) for share in shares]
    return torch.cat(steps, 1).flatten(0, 1)


def everything(rank: int, ranks: int) -> dict[Any, Any]:
    works: tuple[Callable[[int, int, int | None], Any], ...] = (norms, drops, kept)
    return {(work.__name__, micro): work(rank, ranks, micro) for work in works for micro in MICRO[ranks]}


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_are_one(ranks: int, tmp_path) -> None:
    shares = together(everything, ranks, tmp_path)
    for micro in MICRO[ranks]:
        _same_norms(norms(0, 1, micro), [share["norms", micro] for share in shares])
        whole = torch.cat(drops(0, 1, micro)["results"])
        assert torch.equal(in_order([share["drops", micro] for share in shares]), whole)
        assert 0.2 < (whole == 0).float().mean() < 0.95
        assert all(torch.equal(share["kept", micro], shares[0]["kept", micro]) for share in shares)
    assert torch.equal(shares[-1]["kept", None], kept(0, 1, None))


def _same_norms(alone: dict[str, Any], shares: Sequence[dict[str, Any]]) -> None:
    torch.testing.assert_close(in_order(shares), torch.cat(alone["results"]), rtol=1e-4, atol=1e-5)
    for name, gradient in alone["gradients"].items():
        mean = sum(share["gradients"][name] for share in shares) / len(shares)
        assert torch.allclose(mean, gradient, rtol=1e-3, atol=1e-4), f"{name}: {(mean - gradient).abs().max()}"
    for share in shares:
        assert share["state"].keys() == alone["state"].keys()
        for name, value in alone["state"].items():
            torch.testing.assert_close(share["state"][name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("micro", [None, 4])
def test_smaller_passes_drop_the_same(micro: int | None) -> None:
    whole, network = torch.cat(drops(0, 1, micro)["results"]), Dropping()
    prepare(network)
    for most in (3, 2, 1):
        found = trained(network, images().flatten(2)[..., :5], 0, 1, micro, most)
        assert torch.equal(torch.cat(found["results"]), whole)


@pytest.mark.parametrize("micro", [None, 4])
def test_alpha_dropouts_drop_the_same(micro: int | None) -> None:
    given = images().flatten(2)[..., :5]
    whole, network = torch.cat(trained(AlphaDropping(), given, 0, 1, micro)["results"]), AlphaDropping()
    prepare(network)
    shares = [trained(network, given, rank, 2, micro, BATCH // 2) for rank in range(2)]
    torch.testing.assert_close(in_order(shares), whole)
    for most in (3, 1):
        torch.testing.assert_close(torch.cat(trained(network, given, 0, 1, micro, most)["results"]), whole)
    assert 0.2 < (whole < 0).float().mean() < 0.9
    lost = nn.Sequential(nn.AlphaDropout(1.0))
    prepare(lost)
    with passing(passes(BATCH, ranks=2)[0]):
        assert torch.equal(lost(given[0]), torch.zeros_like(given[0]))


def test_a_group_is_tried_without_other_processes() -> None:
    """Shares that get the whole batch's sums compute what the whole does, and leave running statistics alone."""
    torch.manual_seed(0)
    network, given, sums = Net(), images()[0], []
    expected = network(given)
    prepare(network)
    running = [network.twice.running_mean.clone(), network.slow.running_var.clone()]

    def note(values: Tensor) -> Tensor:
        sums.append(values)
        return values

    with trying(Pass(0, BATCH, range(BATCH), share=BATCH), note):
        torch.testing.assert_close(network(given), expected)
    assert len(sums) == 8, "of a mean and of a variance of each of 4 passes of norms"
    for one in (passes(BATCH // 2, rank=rank, ranks=2)[0] for rank in range(2)):
        left = iter(sums)
        with trying(one, lambda _: next(left)):  # noqa: B023 - read at once
            found = network(given[one.first :][: one.images])
        torch.testing.assert_close(found, expected[one.first :][: one.images])
    assert torch.equal(network.twice.running_mean, running[0])
    assert torch.equal(network.slow.running_var, running[1])


@pytest.mark.parametrize("ranks", [1, 2])
def test_half_a_group_has_no_statistics(ranks: int) -> None:
    """Memory ran out, and a process takes half the images at once: their statistics would be others."""
    network = Net()
    prepare(network)
    share = BATCH // ranks
    for half in passes(share, ranks=ranks, most=share // 2):
        given = images()[0][half.first : half.first + half.images]
        for compute in (network, mean_of_group):
            with pytest.raises(HarnessError, match=f"{half.images} of {share} images at once") as caught, passing(half):
                compute(given)
            assert caught.value.kind == "memory"
        network.eval()
        with passing(half):
            assert torch.isfinite(network(given)).all()
        network.train()


def test_a_prepared_network_alone_is_what_it_was() -> None:
    torch.manual_seed(0)
    network = Net()
    names = list(network.state_dict())
    prepare(network)
    prepare(network)
    assert list(network.state_dict()) == names
    plain, own = norms(0, 1, None), trained(network, images(), 0, 1, None)
    assert torch.equal(torch.cat(own["results"]), torch.cat(plain["results"]))
    network.eval()
    with passing(passes(BATCH // 2, ranks=2)[0]):
        assert torch.isfinite(network(images()[0])).all()  # asks no other process


def test_groups_that_do_not_lie_on_shares_have_no_statistics() -> None:
    network = Net()
    prepare(network)
    one = passes(6, ranks=2, group=4)[0]  # places 4 to 7 are halves of both shares
    told = "groups of 4 images cannot be normalised together in shares of 6"
    with pytest.raises(HarnessError, match=told), passing(one):
        network(images()[0][:4])


def test_passes_lie_in_groups() -> None:
    shares = [passes(6, rank=rank, ranks=2, group=4, most=most) for most in (None, 2) for rank in (0, 1)]
    assert [[(one.first, one.images) for one in share] for share in shares] == [
        [(0, 4), (4, 2)],
        [(6, 2), (8, 4)],
        [(0, 2), (2, 2), (4, 2)],
        [(6, 2), (8, 2), (10, 2)],
    ]
    assert [one.group for one in shares[0] + shares[1]] == [range(4), range(4, 8), range(4, 8), range(8, 12)]
    (whole,) = passes(12)
    assert whole.is_whole
    assert whole.members == range(1)
    assert [one.members for one in passes(3, rank=3, ranks=4, group=6)] == [range(2, 4)]


def test_only_batch_norms_that_normalise_by_what_they_see_take_statistics() -> None:
    norm, plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU())
    prepare(norm)
    assert takes_statistics(plain, norm)
    assert not takes_statistics(plain)
    assert not takes_statistics(norm.eval())
