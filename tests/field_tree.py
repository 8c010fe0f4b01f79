"""A small tree in the official layout of LOL-v1, marked as an example: pairs of noise, no two alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_lol(folder: Path, train: int = 3, test: int = 2, *, marked: bool = True, seed: int = 0) -> Path:
    """`our485` and `eval15`, each with `low` and `high`, pairs of 24×32 pixels that are called 1.png, 2.png, …"""
    random = np.random.default_rng(seed)
    for name, count in (("our485", train), ("eval15", test)):
        for number in range(1, count + 1):
            clean = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            for side, pixels in (("low", clean // 4), ("high", clean)):
                (folder / name / side).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / name / side / f"{number}.png"), pixels)
    if marked:
        (folder / "EXAMPLE.json").write_text("{}")
    return folder
