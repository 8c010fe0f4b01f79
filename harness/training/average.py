"""The exponential moving average of the weights, which is evaluated in their place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """e ← decay·e + (1 − decay)·w after every optimizer step. It starts as a copy of the weights.

    As `model_ema` of basicsr (basicsr/models/base_model.py), without a correction for the start. What is not a
    parameter, as the statistics of batch norm, is not averaged: the last value counts. Parameters that never train are
    left out. All processes of a training compute the same average.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        """The average of the parameters of `model` that require gradients now; of none, without a decay."""
        self._update = get_ema_multi_avg_fn(decay or 0.0)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._weights = {} if decay is None else trained
        self._average = {name: value.detach().clone() for name, value in self._weights.items()}

    def update(self) -> None:
        """Takes in the weights after an optimizer step."""
        if self._weights:
            self._update(list(self._average.values()), list(self._weights.values()), None)

    @torch.no_grad()
    def replace_weights(self) -> None:
        """Puts the average into the model, once training is over."""
        for name, value in self._weights.items():
            value.copy_(self._average[name])

    def state(self) -> dict[str, Tensor]:
        """The average by parameter, for a checkpoint."""
        return {name: value.cpu() for name, value in self._average.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restores what `state` gave."""
        for name, value in self._average.items():
            value.copy_(state[name])
