"""Restormer's training step in the form that it chooses against its definitions, same weights.

`python -m tests.benchmarks.restormer [ROUNDS]`. A smaller network than the published one, of all its parts: the ratio
is the median over rounds in which both take their turn.

Measured as tests/benchmarks/ptg_rm.py was: 0.99x at 2x128x128, 7 rounds. The definitions of its norms and of its
attention are all it has; only its gated GELU is lean, in large maps.
"""

from __future__ import annotations

import sys
from functools import partial

import torch

from harness.parts.backbones.restormer import Restormer
from tests.benchmarks.ptg_rm import FORMS, side_by_side, step

SIZES = ((2, 128, 128), (8, 64, 64), (2, 32, 32))


def main(rounds: int = 5) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network = Restormer(dim=24, num_blocks=(1, 2, 2, 2), num_refinement_blocks=1).to(device)
    for batch, height, width in SIZES:
        given = (torch.rand(batch, 3, height, width, device=device),)
        runs = {name: partial(step, network, given, FORMS[name]) for name in ("plain", "chosen")}
        times, took = side_by_side(runs, rounds, device)["chosen"]
        print(
            f"Restormer's training step against its definitions, {batch}x{height}x{width}, {device}, "
            f"{torch.get_num_threads()} threads: {times:.2f}x as fast (goal 1x), {1e3 * took:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
