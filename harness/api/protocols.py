"""How restored images are scored, by name.

The evaluation protocol is the largest source of irreproducible numbers in image restoration: PSNR on MATLAB's luma is
1.32 dB higher than on full-range luma, and the two kinds of SSIM on RGB differ by 0.02.
So a protocol is a named, versioned value
that is hashed into every evaluation. When the meaning changes, raise the version; never edit a protocol in place.
"""

from __future__ import annotations

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.core.errors import UnknownName, did_you_mean
from harness.core.registry import Registry

RGB_UINT8 = EvaluationProtocol("rgb_uint8", 1, colour="rgb", rounding="uint8", ssim="rgb2d")
"""8-bit RGB, SSIM as the mean of the three channels' maps: low light, denoising, blur."""

RGB_UINT8_SSIM3D = EvaluationProtocol("rgb_uint8_ssim3d", 1, colour="rgb", rounding="uint8", ssim="rgb3d")
"""8-bit RGB with the volumetric SSIM of NAFNet's tables and of MATLAB's ssim on H×W×3."""

RGB_FLOAT = EvaluationProtocol("rgb_float", 1, colour="rgb", rounding="none", ssim="rgb2d")
"""RGB clipped but not rounded: SIDD and DPDD."""

Y_UINT8 = EvaluationProtocol("y_uint8", 1, colour="y", rounding="uint8", ssim="y")
"""Luma as MATLAB's rgb2ycbcr makes it of 8-bit images (limited range, rounded): deraining."""

PROTOCOLS = {protocol.name: protocol for protocol in (RGB_UINT8, RGB_UINT8_SSIM3D, RGB_FLOAT, Y_UINT8)}


def protocol_of(registry: Registry, task: PartRef) -> EvaluationProtocol:
    """The protocol that a task is scored under, from its traits.

    Raises UnknownName, with the nearest known names, when the traits name a protocol that does not exist.
    """
    protocol = declaration(registry, "task", task.name).traits.protocol
    if isinstance(protocol, EvaluationProtocol):
        return protocol
    if protocol not in PROTOCOLS:
        hint = did_you_mean(protocol, PROTOCOLS)
        raise UnknownName(f"no protocol is called {protocol!r}", where=f"task {task.name}", hint=hint)
    return PROTOCOLS[protocol]
