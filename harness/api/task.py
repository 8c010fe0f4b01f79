"""Tasks: what is solved, and the protocol by which restored images are scored."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from harness.api.degradation import Draw
from harness.api.traits import Traits

_LATER: dict[str, Any] = {"draw": "named", "mean": "image"}
"""Fields of a protocol that came later, with the values at which ids leave them out: those of older results stay."""


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
    ssim: Literal["rgb2d", "rgb3d", "y", "uniform7"] = "rgb2d"
    """`rgb2d`: mean of three 2-D maps; `rgb3d`: one volumetric filter over the channels; `y`: luma only; all three with
    a Gaussian window. `uniform7`: mean of three 2-D maps with scikit-image's uniform 7×7 window."""
    draw: Draw = "named"
    """Where the random numbers of degraded test images come from (harness.api.degradation.Draw)."""
    mean: Literal["image", "scene"] = "image"
    """What tables average: the images, or the scenes, each of which is the mean of its images."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"the name of a protocol has letters, digits, _ and -, not {self.name!r}")
        if self.version < 1:
            raise ValueError(f"version is a whole number from 1 on, not {self.version}")
        if self.border < 0:
            raise ValueError(f"border is a number of pixels from 0 on, not {self.border}")

    @property
    def label(self) -> str:
        """What records and tables call it: `<name>/v<version>`."""
        return f"{self.name}/v{self.version}"

    def identity(self) -> dict[str, Any]:
        """The content that the id of an evaluation hashes."""
        return {name: value for name, value in asdict(self).items() if value != _LATER.get(name, ...)}


RGB_UINT8 = EvaluationProtocol("rgb_uint8", 1, colour="rgb", rounding="uint8", ssim="rgb2d")
"""8-bit RGB, SSIM as the mean of the three channels' maps: low light, denoising."""

RGB_UINT8_SSIM3D = EvaluationProtocol("rgb_uint8_ssim3d", 1, colour="rgb", rounding="uint8", ssim="rgb3d")
"""8-bit RGB with the volumetric SSIM of NAFNet's tables and of MATLAB's ssim on H×W×3: motion blur (GoPro, HIDE).

As swz30/Restormer, Motion_Deblurring/evaluate_gopro_hide.m, and swz30/MPRNet, Deblurring/evaluate_GOPRO_HIDE.m, do with
saved 8-bit images."""

RGB_FLOAT = EvaluationProtocol("rgb_float", 1, colour="rgb", rounding="none", ssim="rgb2d")
"""RGB clipped but not rounded."""

SIDD = EvaluationProtocol("sidd", 1, colour="rgb", rounding="none", ssim="rgb3d")
"""RGB clipped but not rounded, with MATLAB's ssim on H×W×3: swz30/MPRNet, Denoising/evaluate_SIDD.m, which reads the
floats that swz30/Restormer, Denoising/test_real_denoising_SIDD.py, clips and saves."""

DPDD = EvaluationProtocol("dpdd", 1, colour="rgb", rounding="none", ssim="uniform7")
"""RGB clipped but not rounded, with scikit-image's SSIM at its defaults: swz30/Restormer, Defocus_Deblurring/utils.py
and test_single_image_defocus_deblur.py, as DPDNet's metrics.py."""

Y_UINT8 = EvaluationProtocol("y_uint8", 1, colour="y", rounding="uint8", ssim="y")
"""Luma as MATLAB's rgb2ycbcr makes it of 8-bit images (limited range, rounded): deraining."""

GAUSSIAN_FIELD = EvaluationProtocol("gaussian_field", 1, colour="rgb", rounding="uint8", ssim="rgb2d", draw="seed0")
"""As `rgb_uint8`, with the test noise of the denoising papers: swz30/Restormer,
Denoising/test_gaussian_color_denoising.py, and cszn/KAIR, main_test_drunet.py."""

RGB_UINT8_SCENES = EvaluationProtocol("rgb_uint8_scenes", 1, colour="rgb", rounding="uint8", ssim="rgb2d", mean="scene")
"""As `rgb_uint8`, averaged over scenes: the first mean that dvlab-research/SNR-Aware-Low-Light-Enhance, test.py, prints
for SID; the second one, over images, is `rgb_uint8`."""

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        RGB_UINT8, RGB_UINT8_SSIM3D, RGB_FLOAT, Y_UINT8, SIDD, DPDD, GAUSSIAN_FIELD, RGB_UINT8_SCENES,
    )
}  # fmt: skip
"""The protocols that a task or a suite may name."""


@dataclass(frozen=True, kw_only=True)
class TaskTraits(Traits):
    """What a task declares. A task's class has a docstring and these traits, nothing else."""

    degradation: str | None
    """Name of the degradation that makes the inputs of clean images. One that is `fixed` stands in for real inputs: a
    data set that brings degraded images of its own is used as it is. None: the data set has to bring them."""
    protocol: str | EvaluationProtocol
    """The name of a protocol (`PROTOCOLS`), or one of your own under a name of its own."""
    options: tuple[str, ...] = ()
    """The degradation's options that a suite may set at the task. The others keep their values."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Values of the degradation's options that differ from its defaults in this task."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights:
            raise ValueError("a task needs no weights: name them at the part that loads them")
        if self.degradation is None and (self.options or self.settings):
            raise ValueError("options and settings are those of a degradation, and this task has none")


class Task(Protocol):
    """What is solved. Never instantiated: its traits say everything."""

    traits: TaskTraits
