"""Additive white Gaussian noise, by the convention of the denoising papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from harness.api.degradation import DegradationTraits
from harness.core.errors import HarnessError
from harness.parts.degradations.ranges import ranged


class GaussianNoise:
    """Additive white Gaussian noise, drawn anew at every draw, by default neither clipped nor rounded.

    Option `sigma`: standard deviation on the 0–255 scale, 0 to 255; the papers report 15, 25 and 50. A range, as
    (0, 50), is for training: every image gets a value of its own, uniform between both, as blind denoisers are trained
    (cszn/KAIR, data/dataset_fdncnn.py). Results leave [0, 1], as in the usual protocol.

    Option `quantise`: `none`, or how noisy images are made 8-bit after they are clipped to [0, 1]: `floor` drops the
    decimals, as PromptIR does in training and test (va1shn9v/PromptIR, utils/degradation_utils.py and
    utils/dataset_utils.py), which darkens by half a level on average; `round` is KAIR's `use_clip`
    (cszn/KAIR, main_test_drunet.py). The clean image is an 8-bit one.

    With the draw `seed0` the noise is that of the papers' scripts, number by number. Raises HarnessError for values
    out of bounds and for a range whose begin is above its end.
    """

    traits = DegradationTraits(quantised=False, acts="drawn", varies=("sigma",), draws=("named", "seed0"))

    @ranged("gaussian_noise")
    def __init__(
        self,
        *,
        sigma: Annotated[float, Ge(0.0), Le(255.0)]
        | tuple[Annotated[float, Ge(0.0), Le(255.0)], Annotated[float, Ge(0.0), Le(255.0)]] = 25.0,
        quantise: Literal["none", "floor", "round"] = "none",
    ) -> None:
        self.sigma = sigma
        self.quantise = quantise

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×C float32 in [0, 1] to float32 of the same shape, unclipped unless quantised."""
        return self.with_settings(clean, random, self.settings(random))

    def settings(self, random: np.random.Generator) -> dict[str, float]:
        """The σ of one image, on the 0–255 scale. A single σ takes no random number."""
        return {"sigma": float(random.uniform(*self.sigma) if isinstance(self.sigma, tuple) else self.sigma)}

    def with_settings(
        self, clean: np.ndarray, random: np.random.Generator, settings: Mapping[str, float]
    ) -> np.ndarray:
        """As `__call__`, with the σ of `settings`."""
        noise = random.standard_normal(clean.shape, dtype=np.float32)
        return self._stored(clean, noise * np.float32(settings["sigma"] / 255.0))

    def with_legacy(self, clean: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """The same with double-precision noise of numpy's legacy generator, added before the sum becomes float32.

        Raises HarnessError with a range: the papers test at one σ.
        """
        if isinstance(self.sigma, tuple):
            what = f"sigma is the range {self.sigma[0]:g} to {self.sigma[1]:g}, and test images have one σ each"
            raise HarnessError(what, where="degradation gaussian_noise", hint="sigma: 25")
        return self._stored(clean, random.normal(0.0, self.sigma / 255.0, clean.shape))

    def _stored(self, clean: np.ndarray, noise: np.ndarray) -> np.ndarray:
        if self.quantise == "none":
            return np.asarray(clean + noise, dtype=np.float32)
        # Whole levels first: without noise an image must come out as it was, whatever float32 made of k/255.
        levels = np.clip(np.rint(clean.astype(np.float64) * 255.0) + noise.astype(np.float64) * 255.0, 0.0, 255.0)
        levels = np.floor(levels) if self.quantise == "floor" else np.rint(levels)
        return levels.astype(np.float32) / np.float32(255)
