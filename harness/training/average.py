"""The exponential moving average of the weights, which is evaluated in their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from harness.training.engines.base import Engine, ModelState


class Average:
    """e ← decay·e + (1 − decay)·w after every optimizer step. It starts as a copy of the weights.

    As `model_ema` of basicsr (basicsr/models/base_model.py), without a correction for the start. What is not a
    parameter, as the statistics of batch norm, is not averaged: the last value counts. Parameters that never train are
    left out. Each process averages what it holds of the weights.
    """

    def __init__(self, engine: Engine, names: Collection[str], decay: float | None) -> None:
        """The average of these parameters of what the engine has prepared; of none, without a decay."""
        self._update = get_ema_multi_avg_fn(decay or 0.0)
        self._engine = engine
        self._names = () if decay is None else tuple(names)
        held = engine.shares() if self._names else {}
        self._average = {name: held[name].detach().clone() for name in self._names}

    def update(self) -> None:
        """Takes in the weights after an optimizer step."""
        if self._names:
            held = self._engine.shares()
            self._update(list(self._average.values()), [held[name] for name in self._names], None)

    def whole(self) -> ModelState:
        """The average by parameter, whole, on rank 0; empty on the others (collective)."""
        return self._engine.whole(self._average) if self._names else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restores what `whole` gave, which every rank has."""
        if self._names:
            self._average = self._engine.cut({name: state[name] for name in self._names})
