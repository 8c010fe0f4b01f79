"""What R does beside F without a trace in F: random numbers, statistics of normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from harness.core.identity import seed


@contextmanager
def own_draws(owner: str) -> Iterator[None]:
    """Random numbers of the owner's own inside, which follow from the seed outside, where they go on undisturbed."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    number = seed("draws", owner, torch.initial_seed())
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(number)
        yield


@contextmanager
def in_evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, which draws nothing and keeps statistics as they are; then each part is as it was."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
