"""SKF's histogram loss against the definition, written out in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.api.loss import LossInputs
from harness.core.errors import HarnessError
from harness.parts.losses import skf_histogram
from harness.parts.losses.skf_histogram import SKFHistogram, histograms


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 1.1 * torch.rand(2, 3, 6, 7, generator=generator) - 0.05, torch.rand(2, 3, 6, 7, generator=generator)


def halves(image: Tensor) -> Tensor:
    """Class 2 where red is above one half, else class 0, of four classes."""
    red = image[:, :1]
    return torch.cat([1 - red, 0 * red, red, 0 * red], 1)


def inputs(restored: Tensor, truth: Tensor | None, *, step: int = 50, **made: Any) -> LossInputs:
    return LossInputs(restored, torch.zeros_like(restored), truth, None, made, step, False)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_definition(values_N: np.ndarray) -> np.ndarray:
    width = 1 / 256
    bins = np.zeros(256)
    for number in range(256):
        distance = values_N - (number + 0.5) * width
        bins[number] = (sigmoid(400 * (distance + width / 2)) - sigmoid(400 * (distance - width / 2))).sum()
    return bins


def some_classes(pixels: int) -> Tensor:
    """Of four classes, one of which has no pixel."""
    return torch.arange(pixels) % 5 % 3


def test_soft_histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    values = images()[0][0].flatten(1)
    classes = some_classes(values.shape[1])
    expected = [
        [by_definition(channel[classes.numpy() == number]) for number in range(4)]
        for channel in values.double().numpy()
    ]
    assert np.allclose(histograms(values, classes, 4), expected, atol=1e-4)
    monkeypatch.setattr(skf_histogram, "CHUNK", 5)
    assert np.allclose(histograms(values, classes, 4), expected, atol=1e-4)


def test_value_by_definition() -> None:
    restored, truth = images()
    total = 0.0
    for image in range(2):
        of_truth = halves(truth)[image].argmax(0).numpy()
        for number in range(4):
            for channel in range(3):
                a, b = (x[image, channel].double().numpy()[of_truth == number] for x in (restored, truth))
                total += abs(by_definition(a) - by_definition(b)).mean()
    loss = SKFHistogram()
    assert loss.traits.takes == "inputs"
    assert loss(inputs(restored, truth, segment=halves)).item() == pytest.approx(total / (2 * 6 * 7), rel=1e-4)


def test_parts_of_a_batch_average_to_the_whole() -> None:
    restored, truth = images()
    loss = SKFHistogram()
    parts = [loss(inputs(restored[n : n + 1], truth[n : n + 1], segment=halves)) for n in range(2)]
    assert sum(parts).item() / 2 == pytest.approx(loss(inputs(restored, truth, segment=halves)).item(), rel=1e-5)


def test_gradient_is_that_of_the_definition_in_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    values = images()[0][0].flatten(1).double()
    classes = some_classes(values.shape[1])
    weights = torch.rand(3, 4, 256, generator=torch.Generator().manual_seed(1), dtype=torch.double)

    def gradient(bins: Callable[[Tensor], Tensor]) -> Tensor:
        leaf = values.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad((bins(leaf) * weights).sum(), leaf)
        return gradient

    def plainly(x: Tensor) -> Tensor:
        distance = x[..., None] - (torch.arange(256, dtype=torch.double) + 0.5) / 256
        bins = torch.sigmoid(400 * (distance + 1 / 512)) - torch.sigmoid(400 * (distance - 1 / 512))
        return torch.stack([bins[:, classes == number].sum(1) for number in range(4)], 1)

    def ours(x: Tensor) -> Tensor:
        return histograms(x, classes, 4)

    expected = gradient(plainly)
    assert expected.abs().max() > 1
    assert torch.allclose(gradient(ours), expected, atol=1e-9)
    monkeypatch.setattr(skf_histogram, "CHUNK", 5)
    assert torch.allclose(gradient(ours), expected, atol=1e-9)


def test_gradient_reaches_every_image() -> None:
    restored, truth = images()
    restored.requires_grad_(True)
    SKFHistogram()(inputs(restored, truth, segment=halves)).backward()
    assert restored.grad is not None
    assert restored.grad.abs().amax((1, 2, 3)).min() > 0


def test_the_network_that_segments_gets_no_gradient_and_works_at_every_nth_step_alone() -> None:
    restored, truth = images()
    calls: list[Tensor] = []

    def segment(image: Tensor) -> Tensor:
        calls.append(image)
        return halves(image)

    loss = SKFHistogram(every=3)
    values = [loss(inputs(restored, truth, step=step, segment=segment)).item() for step in range(1, 8)]
    assert [value > 0 for value in values] == [step in (3, 6) for step in range(1, 8)]
    assert len(calls) == 2
    assert calls[0] is truth
    seen = restored.clone().requires_grad_(True)
    SKFHistogram(every=1, classes="restored")(inputs(seen, truth, segment=segment))
    assert torch.equal(calls[2], restored)
    assert not calls[2].requires_grad


def test_what_it_cannot_do_without() -> None:
    restored, truth = images()
    with pytest.raises(HarnessError, match="nothing in this cell tells") as caught:
        SKFHistogram()(inputs(restored, truth))
    assert "skf" in caught.value.hint
    with pytest.raises(HarnessError, match="clean images"):
        SKFHistogram()(inputs(restored, None, segment=halves))
