"""Restormer's training step against the same computation written plainly (tests/reference), same weights.

`python -m tests.benchmarks.restormer [ROUNDS]`. A smaller network than the published one, of all its parts: the ratio
is the median over rounds in which both take their turn. Measured on 2 cores of an AMD EPYC (AVX2), torch 2.14.1:
1.23x at 2x128x128, 1.12x at 8x64x64.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from harness.parts.backbones.restormer import Restormer
from tests.benchmarks.ptg_rm import ratio, step
from tests.reference.restormer import PlainRestormer

SIZES = ((2, 128, 128), (8, 64, 64))


def main(rounds: int = 5) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape: dict[str, Any] = {"dim": 24, "num_blocks": (1, 2, 2, 2), "num_refinement_blocks": 1}
    torch.manual_seed(0)
    ours, plain = Restormer(**shape), PlainRestormer(**shape)
    plain.load_state_dict(ours.state_dict())
    ours, plain = ours.to(device), plain.to(device)
    for batch, height, width in SIZES:
        given = (torch.rand(batch, 3, height, width, device=device),)
        times, took = ratio(lambda: step(ours, given), lambda: step(plain, given), rounds, device)  # noqa: B023
        print(
            f"Restormer's training step against the plain computation, {batch}x{height}x{width}, {device}, "
            f"{torch.get_num_threads()} threads: {times:.2f}x as fast (goal 1x), {1e3 * took:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
