"""What a refiner on `features` edits inside a backbone: which modules, and how many channels their maps have.

Shape letters: B batch, C channels, h, w rows and columns of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from harness.api.refiner import RefinerTraits
from harness.core.errors import HarnessError
from harness.models.boundary import guarded
from harness.parts.guard import capabilities_of
from harness.parts.shared.taps import tapped

PROBE_SIDE = 16
"""Least side, in pixels, of the image by which the channels of taps are found."""


def taps_of(backbone: nn.Module, traits: RefinerTraits, name: str) -> tuple[str, ...]:
    """The modules that a refiner on `features` edits: the deepest tap, or every decoder feature.

    Raises HarnessError for a backbone, called `name`, that has none.
    """
    can, decoder = capabilities_of(backbone), traits.edits == "decoder"
    taps = can.decoder if decoder else can.taps[-1:]
    if not taps:
        what = "decoder features" if decoder else "tap"
        hint = "another backbone, such as restormer" if decoder else "another backbone, or placement: image"
        raise HarnessError(f"the backbone {name}, with these options, has no {what}", hint=hint)
    return taps


def channels_of(backbone: nn.Module, taps: Sequence[str], name: str) -> tuple[int, ...]:
    """Channels of the taps' maps, found by restoring a small image.

    Raises HarnessError for a tap that gives no map, or more than one, when the network restores one batch.
    """
    can = capabilities_of(backbone)
    side = can.fitting(PROBE_SIDE)
    training = backbone.training
    with ExitStack() as stack:
        maps = [stack.enter_context(tapped(backbone, tap)) for tap in taps]
        stack.enter_context(torch.random.fork_rng(devices=[]))
        with torch.no_grad():
            guarded(backbone, backbone.eval(), torch.full((1, can.channels_in, side, side), 0.5))
    backbone.train(training)
    for tap, found in zip(taps, maps, strict=True):
        if len(found) != 1 or not isinstance(found[0], Tensor) or found[0].ndim != 4:
            what = f"the module {tap!r} of the backbone {name} does not give one map B×C×h×w for a batch"
            raise HarnessError(what, hint="capabilities name modules that are called once and give one tensor")
    return tuple(features[0].shape[1] for features in maps)
