"""Cells built and run once before anything is trained, on PyTorch's `meta` device: shapes without numbers.

It finds what only a built network shows: options that do not fit together, sizes of tiles that it does not take, taps
that it does not have, losses that read what it does not give. No file of weights is read and no random state is
changed. What cannot run without numbers (a network whose steps depend on pixels) is built and run on the CPU where that
is small, and else is left to the training.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

STAND_IN: tuple[int, tuple[int, int, int]] = (512, (512, 7, 7))
"""The width of vectors, and the shape of maps, of a prior that cannot be asked without its weights."""
