"""Rain: bright streaks in one direction over the whole image, and the veil of what falls behind them."""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from harness.api.degradation import DegradationTraits
from harness.parts.degradations.ranges import ranged

_FAR = 0.5
"""Size and brightness of a layer of rain relative to the one before it: each is further away."""

_DIRECTIONS = 4
"""How many different angles and lengths the streaks of a layer have."""

_SHEETS = 4
"""Places along each side where the veil's strength is drawn; it changes smoothly between them."""


class Rain:
    """A veil of distant rain, then layers of streaks screened over the image; stored as 8-bit sRGB.

    The wind gives an image's rain one angle, from which each streak differs a little. A layer is sparse random drops,
    each drawn out to a soft line; every further layer is shorter, fainter and denser. Streaks S go over the image I as
    a screen, 1 − (1 − I)(1 − S): light is added and saturates, as with the synthetic rain of Yang et al., CVPR 2017
    (Rain100), and of Photoshop recipes. Rain too far away for streaks is a veil, as in the heavy-rain model of Yang
    et al.: I becomes (1 − v)·I + v·A with an airlight A as bright as the image's brightest parts (95 % of its pixels
    are darker), and a share v that varies smoothly between half and all of the image's own largest share.

    Options: `density`: drops per pixel in the nearest layer, 0 to 0.05. `length`: longest streak of the nearest layer
    in pixels, 3 to 200; each image's own is drawn from the upper half of that. `width`: standard deviation across a
    streak in pixels, 0.3 to 5. `max_angle`: largest tilt of an image's rain from the vertical in degrees, 0 to 80.
    `spread`: standard deviation of streaks' angles around it in degrees, 0 to 20. `brightness`: of the brightest
    streak, in [0, 1] of sRGB. `layers`: 1 to 4. `veil`: largest share of the light that comes from the veil, 0 to 0.9;
    each image's own is drawn from zero to that. Raises HarnessError outside these ranges.
    """

    traits = DegradationTraits(version=2, quantised=True, acts="fixed", synthetic=True)

    @ranged("rain")
    def __init__(
        self,
        *,
        density: Annotated[float, Ge(0.0), Le(0.05)] = 0.0015,
        length: Annotated[int, Ge(3), Le(200)] = 40,
        width: Annotated[float, Ge(0.3), Le(5.0)] = 0.7,
        max_angle: Annotated[float, Ge(0.0), Le(80.0)] = 35.0,
        spread: Annotated[float, Ge(0.0), Le(20.0)] = 2.0,
        brightness: Annotated[float, Ge(0.0), Le(1.0)] = 0.6,
        layers: Annotated[int, Ge(1), Le(4)] = 2,
        veil: Annotated[float, Ge(0.0), Le(0.9)] = 0.2,
    ) -> None:
        self.density, self.length, self.width = density, length, width
        self.max_angle, self.spread = max_angle, spread
        self.brightness, self.layers, self.veil = brightness, layers, veil

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×C float32 in [0, 1] to a rainy one of the same shape and range."""
        angle = math.radians(random.uniform(-self.max_angle, self.max_angle))
        length = random.uniform(0.5, 1.0) * self.length
        veiled = _veiled(clean, random.uniform(0.0, self.veil), random)
        passed = np.ones(clean.shape[:2], np.float32)
        for layer in range(self.layers):
            scale = _FAR**layer
            lit = self._layer(clean.shape[:2], length * scale, angle, self.density / scale, random)
            passed *= 1.0 - np.clip(lit * (self.brightness * scale), 0.0, 1.0)
        return np.asarray(1.0 - (1.0 - veiled) * passed[..., None])

    def _layer(
        self, size: tuple[int, ...], length: float, angle: float, density: float, random: np.random.Generator
    ) -> np.ndarray:
        """H×W light of streaks that differ a little in angle and length."""
        lit = np.zeros(size, np.float32)
        for _ in range(_DIRECTIONS):
            own = angle + math.radians(random.normal(0.0, self.spread))
            streak = line(length * random.uniform(0.6, 1.0), own, self.width)
            lit += _spread(_drops(size, len(streak) // 2, density / _DIRECTIONS, random), streak)
        return lit


def _veiled(clean: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """The image behind a veil, H×W×C float32."""
    sheets = random.uniform(0.5, 1.0, (_SHEETS, _SHEETS)).astype(np.float32)
    smooth = cv2.resize(sheets, (clean.shape[1], clean.shape[0]), interpolation=cv2.INTER_LINEAR)
    thickness = np.asarray(smooth)[..., None] * np.float32(share)
    airlight = np.quantile(clean.max(axis=2), 0.95).astype(np.float32)
    return np.asarray(clean + thickness * (airlight - clean))


def line(length: float, angle: float, width: float) -> np.ndarray:
    """One streak: a square float32 kernel of odd side with a line through its middle, 1 at its brightest.

    `length` in pixels, `angle` in radians from the vertical, `width` the standard deviation across.
    """
    radius = math.ceil(length / 2 + 3 * width)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    along = x * math.sin(angle) + y * math.cos(angle)
    across = x * math.cos(angle) - y * math.sin(angle)
    beyond = np.maximum(np.abs(along) - length / 2, 0.0)
    return np.asarray(np.exp(-(across**2 + beyond**2) / (2 * width**2)), dtype=np.float32)


def _drops(size: tuple[int, ...], margin: int, density: float, random: np.random.Generator) -> np.ndarray:
    """Sparse drops of random brightness on the image and a margin, so that streaks also enter from outside."""
    height, width = size[0] + 2 * margin, size[1] + 2 * margin
    hit = random.random((height, width), dtype=np.float32) < density
    return hit * random.uniform(0.4, 1.0, (height, width)).astype(np.float32)


def _spread(drops: np.ndarray, streak: np.ndarray) -> np.ndarray:
    margin = len(streak) // 2
    spread = cv2.filter2D(drops, cv2.CV_32F, streak, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(spread[margin:-margin, margin:-margin])
