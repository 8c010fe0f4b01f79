"""Tasks: what is solved, and the protocol by which restored images are scored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from harness.api.degradation import Draw
from harness.api.traits import Traits
from harness.core.errors import did_you_mean

Sides = tuple[int, int]
"""Height and width."""

_LATER: dict[str, Any] = {
    "draw": "named",
    "mean": "image",
    "luma": "as_image",
    "ssim_rounding": "as_image",
    "read": None,
    "through": None,
    "align": "none",
    "gt_mean": False,
}
"""Fields of a protocol that came later, with the values at which ids leave them out: those of older results stay."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """How restored images are scored. Hashed into every evaluation; two protocols never share a table column.

    The steps, in this order: `read` the pair, restore it `through` another size, `gt_mean`, clip, `rounding`, cut the
    `border`, `align`, then the metrics in the protocol's `colour`.
    """

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
    luma: Literal["as_image", "float"] = "as_image"
    """`as_image`: luma is rounded where images are, as MATLAB does of 8-bit images; `float`: never rounded."""
    ssim_rounding: Literal["as_image", "uint8"] = "as_image"
    """`uint8`: SSIM rounds to 8 bits what the protocol does not round for the other metrics."""
    read: Sides | None = None
    """Height and width to which both images are resized before anything else, as harness.data.draw.resized does."""
    through: Sides | None = None
    """Height and width to which the network's input is resized, and from which its output is resized back; bilinear, as
    torch's interpolate without aligned corners."""
    align: Literal["none", "ecc"] = "none"
    """`ecc`: the restored image is scaled in intensity and warped by a homography onto the clean one, and what the warp
    leaves open counts nowhere (harness.evaluation.align)."""
    gt_mean: bool = False
    """Whether the restored image is multiplied by the ratio of the mean grey of the clean image and its own: it is told
    what the truth is. Never to be compared with others."""
    used_by: str = field(default="", compare=False)
    """Who scores so, and by which file. No part of what it is."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"the name of a protocol has letters, digits, _ and -, not {self.name!r}")
        if self.version < 1:
            raise ValueError(f"version is a whole number from 1 on, not {self.version}")
        if self.border < 0:
            raise ValueError(f"border is a number of pixels from 0 on, not {self.border}")
        for name, sides in (("read", self.read), ("through", self.through)):
            if sides is not None:
                if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
                    raise ValueError(f"{name} is (height, width) in pixels, not {sides!r}")
                object.__setattr__(self, name, tuple(sides))  # JSON has lists

    @property
    def label(self) -> str:
        """What records and tables call it: `<name>/v<version>`."""
        return f"{self.name}/v{self.version}"

    @property
    def needs_truth(self) -> bool:
        """Whether the restored image is changed by what the clean one is, so that nothing can be scored without it,
        and metrics without reference say nothing of it."""
        return self.align != "none" or self.gt_mean

    def measures(self, reference: Literal["full", "none"]) -> bool:
        """Whether metrics of a kind (harness.api.metric.MetricTraits) are asked under this protocol."""
        return reference == "full" or not self.needs_truth

    @property
    def sight(self) -> tuple[Sides | None, Sides | None]:
        """What decides what the network gets of a stored pair: under protocols of one sight an image is restored
        once."""
        return self.read, self.through

    def identity(self) -> dict[str, Any]:
        """The content that the id of an evaluation hashes: under the first name of what has another one now."""
        content = {name: value for name, value in asdict(self).items() if value != _LATER.get(name, ...)}
        del content["used_by"]
        return content | {"name": _FIRST.get(self.name, self.name)}


RGB_UINT8 = EvaluationProtocol(
    "rgb_uint8", 1, colour="rgb", rounding="uint8", ssim="rgb2d",
    used_by="low light, denoising: XPixelGroup/BasicSR, basicsr/metrics/psnr_ssim.py, without test_y_channel",
)  # fmt: skip
"""8-bit RGB, SSIM as the mean of the three channels' maps."""

RGB_UINT8_SSIM3D = EvaluationProtocol(
    "rgb_uint8_ssim3d", 1, colour="rgb", rounding="uint8", ssim="rgb3d",
    used_by="motion blur (GoPro, HIDE): swz30/Restormer, Motion_Deblurring/evaluate_gopro_hide.m; swz30/MPRNet, "
    "Deblurring/evaluate_GOPRO_HIDE.m",
)  # fmt: skip
"""8-bit RGB with the volumetric SSIM of NAFNet's tables and of MATLAB's ssim on H×W×3, of saved 8-bit images."""

RGB_FLOAT = EvaluationProtocol(
    "rgb_float", 1, colour="rgb", rounding="none", ssim="rgb2d",
    used_by="results that are never saved as 8-bit files; what rounding to 8 bits changes",
)  # fmt: skip
"""RGB clipped but not rounded."""

SIDD = EvaluationProtocol(
    "sidd", 1, colour="rgb", rounding="none", ssim="rgb3d",
    used_by="real noise (SIDD): swz30/MPRNet, Denoising/evaluate_SIDD.m; swz30/Restormer, "
    "Denoising/test_real_denoising_SIDD.py",
)  # fmt: skip
"""RGB clipped but not rounded, with MATLAB's ssim on H×W×3: of the floats that the test script clips and saves."""

DPDD = EvaluationProtocol(
    "dpdd", 1, colour="rgb", rounding="none", ssim="uniform7",
    used_by="defocus blur (DPDD, single and dual pixel): swz30/Restormer, Defocus_Deblurring/utils.py and "
    "test_single_image_defocus_deblur.py",
)  # fmt: skip
"""RGB clipped but not rounded, with scikit-image's SSIM at its defaults, as DPDNet's metrics.py."""

Y_MATLAB = EvaluationProtocol(
    "y_matlab", 1, colour="y", rounding="uint8", ssim="y",
    used_by="deraining: swz30/Restormer, Deraining/evaluate_PSNR_SSIM.m",
)  # fmt: skip
"""Luma as MATLAB's rgb2ycbcr makes it of 8-bit images (limited range, rounded)."""

Y_FLOAT = EvaluationProtocol(
    "y_float", 1, colour="y", rounding="uint8", ssim="y", luma="float",
    used_by="XPixelGroup/BasicSR, basicsr/metrics/psnr_ssim.py with test_y_channel (metric_util.py, to_y_channel)",
)  # fmt: skip
"""Luma of 8-bit images, limited range, not rounded itself."""

GRAY_UINT8 = EvaluationProtocol(
    "gray_uint8", 1, colour="gray", rounding="uint8", ssim="y",
    used_by="gray images: swz30/Restormer, Denoising/test_gaussian_gray_denoising.py, which saves 8-bit images",
)  # fmt: skip
"""8-bit gray images of one channel."""

NOISE_SEED0 = EvaluationProtocol(
    "noise_seed0", 1, colour="rgb", rounding="uint8", ssim="rgb2d", draw="seed0",
    used_by="Gaussian noise (CBSD68, Kodak24, McMaster, Urban100): swz30/Restormer, "
    "Denoising/test_gaussian_color_denoising.py; cszn/KAIR, main_test_drunet.py",
)  # fmt: skip
"""As `rgb_uint8`, with the test noise of the denoising papers: a generator seeded with 0 before every image."""

NOISE_SEED0_GRAY = EvaluationProtocol(
    "noise_seed0_gray", 1, colour="gray", rounding="uint8", ssim="y", draw="seed0",
    used_by="Gaussian noise in gray (Set12, BSD68, Urban100): swz30/Restormer, "
    "Denoising/test_gaussian_gray_denoising.py",
)  # fmt: skip
"""As `gray_uint8`, with the test noise of the denoising papers."""

RGB_UINT8_SCENES = EvaluationProtocol(
    "rgb_uint8_scenes", 1, colour="rgb", rounding="uint8", ssim="rgb2d", mean="scene",
    used_by="video in low light, the first mean printed: dvlab-research/SNR-Aware-Low-Light-Enhance, test.py",
)  # fmt: skip
"""As `rgb_uint8`, averaged over scenes; the second mean of that script, over images, is `rgb_uint8`."""

REALBLUR_ALIGNED = EvaluationProtocol(
    "realblur_aligned", 1, colour="rgb", rounding="uint8", ssim="rgb2d", align="ecc",
    used_by="RealBlur-J, RealBlur-R: swz30/MPRNet, Deblurring/evaluate_RealBlur.py",
)  # fmt: skip
"""8-bit RGB, aligned with the clean image, and scored where the aligned image has pixels."""

SID_RESIZED = EvaluationProtocol(
    "sid_resized", 1, colour="rgb", rounding="uint8", ssim="rgb2d", read=(512, 960),
    used_by="SID, SMID, SDSD, mean over images: dvlab-research/SNR-Aware-Low-Light-Enhance, test.py, as "
    "caiyuanhao1998/Retinexformer, basicsr/data/SID_image_dataset.py and util.py (read_img2) read the images",
)  # fmt: skip
"""8-bit RGB of pairs that are resized to 960×512 before they are restored."""

SID_RESIZED_SCENES = EvaluationProtocol(
    "sid_resized_scenes", 1, colour="rgb", rounding="uint8", ssim="rgb2d", mean="scene", read=(512, 960),
    used_by="SID, SMID, SDSD, the first mean printed, over scenes: dvlab-research/SNR-Aware-Low-Light-Enhance, test.py",
)  # fmt: skip
"""As `sid_resized`, averaged over scenes."""

SNR_LOL = EvaluationProtocol(
    "snr_lol", 1, colour="rgb", rounding="uint8", ssim="rgb2d", through=(400, 608),
    used_by="LOL-v1, LOL-v2-real by SNR-Net: dvlab-research/SNR-Aware-Low-Light-Enhance, test_LOLv1_v2_real.py and "
    "models/Video_base_model4_m.py (test4)",
)  # fmt: skip
"""8-bit RGB of images that are restored at 608×400 and resized back to 600×400."""

RETINEXFORMER_LOL = EvaluationProtocol(
    "retinexformer_lol", 1, colour="rgb", rounding="none", ssim="rgb2d", ssim_rounding="uint8",
    used_by="LOL-v1, LOL-v2 by Retinexformer: caiyuanhao1998/Retinexformer, Enhancement/test_from_dataset.py and "
    "utils.py",
)  # fmt: skip
"""PSNR on RGB that is clipped and not rounded, SSIM on 8-bit RGB."""

LOL_GTMEAN = EvaluationProtocol(
    "lol_gtmean", 1, colour="rgb", rounding="uint8", ssim="rgb2d", gt_mean=True,
    used_by="some tables of low light (LOL), 2 to 5 dB above all others; discouraged by its own users, no default",
)  # fmt: skip
"""8-bit RGB of images whose mean grey is made that of the clean image."""

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        RGB_UINT8, RGB_UINT8_SSIM3D, RGB_FLOAT, Y_MATLAB, Y_FLOAT, GRAY_UINT8, SIDD, DPDD, NOISE_SEED0,
        NOISE_SEED0_GRAY, RGB_UINT8_SCENES, REALBLUR_ALIGNED, SID_RESIZED, SID_RESIZED_SCENES, SNR_LOL,
        RETINEXFORMER_LOL, LOL_GTMEAN,
    )
}  # fmt: skip
"""The protocols that a task, a data set or a suite may name."""

RENAMED = {"y_uint8": "y_matlab", "gaussian_field": "noise_seed0"}
"""Protocols that have another name now, by the one that ids have."""
_FIRST = {now: first for first, now in RENAMED.items()}
_LABELS = {f"{first}/v{PROTOCOLS[now].version}": PROTOCOLS[now].label for first, now in RENAMED.items()}


def present(protocol: EvaluationProtocol) -> EvaluationProtocol:
    """The same protocol by its present name: another one only where an earlier release stored it."""
    now = PROTOCOLS.get(RENAMED.get(protocol.name, ""))
    return now if now is not None and now.identity() == protocol.identity() else protocol


def protocol_named(name: str) -> EvaluationProtocol | None:
    """The protocol that a declaration names, by its earlier name, too; None for an unknown one."""
    return PROTOCOLS.get(RENAMED.get(name, name))


def present_label(label: str) -> str:
    """What a protocol is called now that a suite, or a record, calls by its name or by `<name>/v<version>`."""
    return RENAMED.get(label) or _LABELS.get(label, label)


def unknown_protocol(name: str, known: Iterable[str]) -> str:
    """What to try in place of a protocol that does not exist."""
    return f"it is now called {RENAMED[name]}" if name in RENAMED else did_you_mean(name, known)


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
