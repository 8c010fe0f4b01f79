"""How restored images are scored, by name.

The evaluation protocol is the largest source of irreproducible numbers in image restoration: PSNR on MATLAB's luma is
1.32 dB higher than on full-range luma, and the two kinds of SSIM on RGB differ by 0.02.
So a protocol is a named, versioned value
that is hashed into every evaluation. When the meaning changes, raise the version; never edit a protocol in place.
"""

from __future__ import annotations

from harness.api.declaration import read_declaration
from harness.api.reference import PartRef
from harness.api.task import PROTOCOLS, RGB_FLOAT, RGB_UINT8, RGB_UINT8_SSIM3D, Y_UINT8, EvaluationProtocol
from harness.core.errors import UnknownName, did_you_mean
from harness.core.registry import Registry

__all__ = ["PROTOCOLS", "RGB_FLOAT", "RGB_UINT8", "RGB_UINT8_SSIM3D", "Y_UINT8", "protocol_of"]


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
