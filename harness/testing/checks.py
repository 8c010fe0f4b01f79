"""What the contract classes share: images to try, and comparisons that say what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import Capabilities
from harness.api.traits import StageUse
from harness.core.errors import did_you_mean


def images(batch: int, channels: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """Smooth random images in [0, 1], B×C×H×W: noise at an eighth of the size, enlarged, plus a little fine noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, channels, -(-height // 8), -(-width // 8), generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")
    return (smooth + 0.05 * torch.randn(batch, channels, height, width, generator=generator)).clamp(0, 1)


def unit_rows(batch: int, dim: int, *, seed: int = 0) -> Tensor:
    """Random unit vectors, B×D."""
    return F.normalize(torch.randn(batch, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def pad_to(image_BCHW: Tensor, multiple: int) -> Tensor:
    """Reflects right and bottom borders until both sides are multiples."""
    height, width = image_BCHW.shape[-2:]
    return F.pad(image_BCHW, (0, -width % multiple, 0, -height % multiple), mode="reflect")


def side_for(minimum: int, multiple: int, at_least: int = 32) -> int:
    """The smallest side, in pixels, that is at least `minimum` and `at_least` and a multiple of `multiple`."""
    return Capabilities(min_size=minimum, size_multiple=multiple).fitting(at_least)


def told(x: Tensor) -> str:
    """A tensor as messages name it: sides and type."""
    return f"{'×'.join(map(str, x.shape)) or 'one number'} {str(x.dtype).removeprefix('torch.')}"


def assert_close(actual: Tensor, expected: Tensor, what: str, *, tolerance: float) -> None:
    """Compares by the largest difference, relative to the expected tensor's largest number."""
    error = (actual.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-12)
    assert error <= tolerance, f"{what}: relative error {error:.2e}, allowed {tolerance:.0e}"


def stir(module: nn.Module) -> None:
    """Adds noise to every parameter, so that scales that start at zero let signals and gradients through."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def without_gradient(module: nn.Module, loss: Callable[[], Tensor]) -> list[str]:
    """Names of trainable parameters that the loss's gradient does not reach, or where it is not finite."""
    module.zero_grad()
    value = loss()
    if value.requires_grad:
        value.backward()
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any())
    ]


@contextmanager
def evaluated(module: nn.Module) -> Iterator[nn.Module]:
    """The module in evaluation mode without gradients; its mode is restored."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield module
    finally:
        module.train(training)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside the block, torch's CPU generator starts at the seed; its state is restored at the end."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def same_twice(make: Callable[[], nn.Module]) -> bool:
    """Whether the constructor draws its weights from PyTorch's CPU generator alone."""
    states = []
    for _ in range(2):
        with seeded(5):
            states.append(make().state_dict())
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def total(outputs: Any) -> Tensor:
    """The mean square of every tensor in mappings, lists and tuples, added up."""
    if isinstance(outputs, Tensor):
        return outputs.square().mean()
    items = outputs.values() if isinstance(outputs, Mapping) else outputs
    return torch.stack([total(item) for item in items]).sum()


def assert_stages_name_modules(network: nn.Module, stages: Iterable[StageUse]) -> None:
    """Every stage of a part trains modules that it has, and that have parameters."""
    known = {name.rpartition(".")[0] for name, _ in network.named_parameters()}
    for module in (module for stage in stages for module in stage.trains):
        inside = any(name == module or name.startswith(f"{module}.") for name in known)
        hint = did_you_mean(module, known - {""})
        assert inside, f"a stage trains {module!r}, which is not a module with parameters; {hint}"
