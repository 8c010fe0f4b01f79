"""How restored images are scored, by name.

The evaluation protocol is the largest source of irreproducible numbers in image restoration: PSNR on MATLAB's luma is
1.32 dB higher than on full-range luma, and kinds of SSIM on RGB differ by 0.02 on restored photographs and by 0.2 on
blurred ones. So a protocol is a named, versioned value that is hashed into every evaluation. When the meaning changes,
raise the version; never edit a protocol in place.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.declaration import read_declaration
from harness.api.reference import PartRef
from harness.api.task import (
    DPDD,
    GAUSSIAN_FIELD,
    PROTOCOLS,
    RGB_FLOAT,
    RGB_UINT8,
    RGB_UINT8_SCENES,
    RGB_UINT8_SSIM3D,
    SIDD,
    Y_UINT8,
    EvaluationProtocol,
)
from harness.core.errors import SpecErrors, UnknownName, did_you_mean
from harness.core.registry import Registry

__all__ = [
    "DPDD",
    "GAUSSIAN_FIELD",
    "PROTOCOLS",
    "RGB_FLOAT",
    "RGB_UINT8",
    "RGB_UINT8_SCENES",
    "RGB_UINT8_SSIM3D",
    "SIDD",
    "Y_UINT8",
    "known_protocols",
    "protocol_of",
    "protocols_of",
]


def protocol_of(registry: Registry, task: PartRef) -> EvaluationProtocol:
    """The protocol that a task is scored under, from its traits.

    Raises UnknownName, with the nearest known names, when the traits name a protocol that does not exist.
    """
    protocol = read_declaration("task", registry.get("task", task.name).target).traits.protocol
    if isinstance(protocol, EvaluationProtocol):
        return protocol
    if protocol not in PROTOCOLS:
        hint = did_you_mean(protocol, PROTOCOLS)
        raise UnknownName(f"no protocol is called {protocol!r}", where=f"task {task.name}", hint=hint)
    return PROTOCOLS[protocol]


def protocols_of(
    registry: Registry, task: PartRef, asked: Sequence[EvaluationProtocol]
) -> tuple[EvaluationProtocol, ...]:
    """What a task is scored under: what a suite asks for, else the task's own. Raises as `protocol_of`."""
    return tuple(asked) or (protocol_of(registry, task),)


def known_protocols(registry: Registry) -> dict[EvaluationProtocol, tuple[str, ...]]:
    """The protocols that a suite may name, the built-in ones first, each with the tasks of the registry that bring it
    along. Several may share a name, and even a version.

    A task whose declaration is wrong is skipped: it is reported where a suite names it.
    """
    known: dict[EvaluationProtocol, tuple[str, ...]] = dict.fromkeys(PROTOCOLS.values(), ())
    for entry in registry.entries("task"):
        try:
            protocol = read_declaration("task", entry.target).traits.protocol
        except (SpecErrors, ImportError, OSError, SyntaxError):
            continue
        if isinstance(protocol, EvaluationProtocol):
            known[protocol] = (*known.get(protocol, ()), entry.name)
    return known
