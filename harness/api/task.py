"""Tasks: what is solved, and the protocol by which restored images are scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.api.traits import Traits


@dataclass(frozen=True)
class EvaluationProtocol:
    """How restored images are scored. Hashed into every evaluation; two protocols never share a table column."""

    name: str
    version: int
    colour: Literal["rgb", "y", "gray"] = "rgb"
    """`y`: BT.601 limited range, as MATLAB's rgb2ycbcr."""
    rounding: Literal["uint8", "none"] = "uint8"
    """`uint8`: clip to [0, 1] and round to 8 bits before scoring; `none`: clip only."""
    border: int = 0
    """Pixels cut from every side before scoring."""
    ssim: Literal["rgb2d", "rgb3d", "y"] = "rgb2d"
    """`rgb2d`: mean of three 2-D maps; `rgb3d`: one volumetric filter over the channels; `y`: luma only."""


@dataclass(frozen=True, kw_only=True)
class TaskTraits(Traits):
    """What a task declares. A task's class has a docstring and these traits, nothing else."""

    degradation: str
    """Name of the degradation that makes the inputs."""
    protocol: str | EvaluationProtocol
    """The name of a protocol (harness.api.protocols), or one of your own."""
    options: tuple[str, ...] = ()
    """The degradation's options that a suite may set at the task. The others keep their values."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Values of the degradation's options that differ from its defaults in this task."""


class Task(Protocol):
    """What is solved. Never instantiated: its traits say everything."""

    traits: TaskTraits
