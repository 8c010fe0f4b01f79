"""sRGB to linear light and back (IEC 61966-2-1), and a sensor that catches the light: what exposure and blur act on."""

from __future__ import annotations

import numpy as np


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] to relative luminous flux in [0, 1], same shape and dtype."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear, dtype=srgb.dtype)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB; clips to [0, 1] first, as a sensor saturates. Same shape and dtype."""
    clipped = np.clip(linear, 0.0, 1.0)
    srgb = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.asarray(srgb, dtype=linear.dtype)


def caught(light: np.ndarray, full_well: float, read_noise: float, random: np.random.Generator) -> np.ndarray:
    """Linear light as a sensor measures it: float64, same shape, not clipped.

    Light L gives Poisson(L·full_well) electrons (shot noise) and N(0, read_noise) electrons (read noise), divided by
    full_well. Poisson-Gaussian model: Foi et al., IEEE TIP 17(10), 2008. `full_well` and `read_noise` in electrons.
    Less than no light, as filters leave it at edges, counts as none.
    """
    electrons = random.poisson(np.maximum(light.astype(np.float64), 0.0) * full_well) + random.normal(
        0.0, read_noise, light.shape
    )
    return np.asarray(electrons / full_well)
