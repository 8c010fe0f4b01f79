"""What an attempt of a training found of its parts, in a form that its checkpoints hold: which ran as graphs.

A later attempt follows it, so that what runs as a graph does not depend on where a training was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Verdicts:
    """Of one stage."""

    sizes: list[tuple[int, ...]] = field(default_factory=list)
    """Of the images that parts were tried with, in the order of the training."""
    found: dict[str, str] = field(default_factory=dict)
    """Of every call of a part: empty for a graph, or why it runs as written."""


ByStage = dict[int, Verdicts]
"""By the step after which a stage begins."""


def told(stages: ByStage, device: str) -> dict[str, Any]:
    """Plain values. `device`: its kind, on which they were found."""
    kept = {first: {"sizes": list(each.sizes), "found": dict(each.found)} for first, each in stages.items()}
    return {"device": device, "stages": kept}


def followed(of_ranks: Sequence[Mapping[str, Any]], rank: int, ranks: int, device: str) -> ByStage:
    """What a process is to follow of what all processes told; nothing where they were others, or on another kind of
    device."""
    if len(of_ranks) != ranks or of_ranks[rank]["device"] != device:
        return {}
    return {
        first: Verdicts([tuple(size) for size in each["sizes"]], dict(each["found"]))
        for first, each in of_ranks[rank]["stages"].items()
    }


def ran_as_graphs(of_ranks: Sequence[Mapping[str, Any]], first: int) -> bool:
    """Whether anything of the stage that begins after a step did, in the attempt that told."""
    return any("" in stages[first]["found"].values() for each in of_ranks if first in (stages := each["stages"]))
