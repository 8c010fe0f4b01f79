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
from harness.api.source import Source
from harness.api.task import (
    DPDD,
    GRAY_UINT8,
    LOL_GTMEAN,
    NOISE_SEED0,
    NOISE_SEED0_GRAY,
    PROTOCOLS,
    REALBLUR_ALIGNED,
    RETINEXFORMER_LOL,
    RGB_FLOAT,
    RGB_UINT8,
    RGB_UINT8_SCENES,
    RGB_UINT8_SSIM3D,
    SID_RESIZED,
    SID_RESIZED_SCENES,
    SIDD,
    SNR_LOL,
    Y_FLOAT,
    Y_MATLAB,
    EvaluationProtocol,
    protocol_named,
    unknown_protocol,
)
from harness.core.errors import SpecErrors, UnknownName
from harness.core.registry import Registry

__all__ = [
    "DPDD",
    "GRAY_UINT8",
    "LOL_GTMEAN",
    "NOISE_SEED0",
    "NOISE_SEED0_GRAY",
    "PROTOCOLS",
    "REALBLUR_ALIGNED",
    "RETINEXFORMER_LOL",
    "RGB_FLOAT",
    "RGB_UINT8",
    "RGB_UINT8_SCENES",
    "RGB_UINT8_SSIM3D",
    "SIDD",
    "SID_RESIZED",
    "SID_RESIZED_SCENES",
    "SNR_LOL",
    "Y_FLOAT",
    "Y_MATLAB",
    "known_protocols",
    "protocol_of",
    "protocols_of",
    "steps_of",
]


def protocol_of(registry: Registry, task: PartRef, dataset: PartRef | None = None) -> EvaluationProtocol:
    """The protocol that a task is scored under on a data set: the field's own for the data set, where the task is one
    of those that the data set is for (harness.api.source.Source), else the task's.

    Raises UnknownName, with the nearest known names, when a declaration names a protocol that does not exist.
    """
    source = None if dataset is None else _source(registry, dataset)
    if source is not None and task.name in source.tasks:
        return _named(source.protocol, f"data set {dataset.name}" if dataset else "")
    protocol = read_declaration("task", registry.get("task", task.name).target).traits.protocol
    return protocol if isinstance(protocol, EvaluationProtocol) else _named(protocol, f"task {task.name}")


def _source(registry: Registry, dataset: PartRef) -> Source | None:
    """Where a data set comes from, if it says so; None also for one of a plug-in that is not there any more."""
    try:
        return read_declaration("dataset", registry.get("dataset", dataset.name).target).traits.source
    except (UnknownName, SpecErrors, ImportError, OSError, SyntaxError):
        return None


def _named(name: str, where: str) -> EvaluationProtocol:
    found = protocol_named(name)
    if found is None:
        raise UnknownName(f"no protocol is called {name!r}", where=where, hint=unknown_protocol(name, PROTOCOLS))
    return found


def protocols_of(
    registry: Registry, task: PartRef, dataset: PartRef, asked: Sequence[EvaluationProtocol]
) -> tuple[EvaluationProtocol, ...]:
    """What a task is scored under on a test set: what a suite asks for, else the data set's, else the task's own.

    The one place that decides it. Raises as `protocol_of`.
    """
    return tuple(asked) or (protocol_of(registry, task, dataset),)


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


_SSIM = {
    "rgb2d": "SSIM of three maps",
    "rgb3d": "volumetric SSIM",
    "y": "SSIM of luma",
    "uniform7": "SSIM of three maps, uniform window",
}


def steps_of(protocol: EvaluationProtocol) -> str:
    """What a protocol does, in one line."""
    read, through = (sides and f"{sides[1]}×{sides[0]}" for sides in protocol.sight)
    colour = {"rgb": "RGB", "y": "luma of RGB, limited range", "gray": "gray"}[protocol.colour]
    steps = [
        read and f"read at {read}",
        through and f"restored at {through} and resized back",
        protocol.gt_mean and "mean grey made that of the clean image",
        colour,
        "8 bits" if protocol.rounding == "uint8" else "not rounded",
        protocol.luma == "float" and "luma not rounded",
        protocol.border and f"{protocol.border} pixels cut from every side",
        protocol.align == "ecc" and "aligned with the clean image, masked",
        _SSIM[protocol.ssim] + (" on 8 bits" if protocol.ssim_rounding == "uint8" else ""),
        protocol.draw == "seed0" and "noise seeded with 0 before every image",
        protocol.mean == "scene" and "mean over scenes",
    ]
    return ", ".join(step for step in steps if step)
