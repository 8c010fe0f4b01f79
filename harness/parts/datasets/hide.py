"""Data set `hide`: HIDE, frames of videos of people that are blurred by averaging their neighbours."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_NAME = r"([^/]+)\.[^.]*$"


class HIDE(Declared):
    """HIDE (ICCV 2019): 2,025 test pairs of blurred and sharp frames; 6,397 to train on, which the field does not."""

    traits = DatasetTraits(
        licence="HIDE by Shen, Wang, Lu, Shen, Ling, Xu and Shao; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="HIDE",
            page="https://github.com/joanshen0508/HA_deblur",
            citation="Shen, Wang, Lu, Shen, Ling, Xu, Shao: Human-Aware Motion Deblurring. ICCV 2019",
            size="8,422 pairs of 1280×720, of which 2,025 are the test set",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' HIDE_dataset archive",
                    splits={
                        "train": Files(lq=("train/*",), gt=("GT/*",), spare_gt=True),
                        "test": Files(lq=("test/*/*",), gt=("GT/*",), pair=(_NAME, _NAME), spare_gt=True),
                    },
                    inside=("HIDE_dataset", "HIDE"),
                    examples={
                        "train": (
                            ("train/166fromGOPR0955.png", "GT/166fromGOPR0955.png"),
                            ("train/22fromGOPR1040.MP4.png", "GT/22fromGOPR1040.MP4.png"),
                            ("train/1fromGOPR1037.MP4.png", "GT/1fromGOPR1037.MP4.png"),
                        ),
                        "test": (
                            ("test/test-close-ups/1fromGOPR0950.png", "GT/1fromGOPR0950.png"),
                            ("test/test-close-ups/109fromGOPR1096.MP4.png", "GT/109fromGOPR1096.MP4.png"),
                            ("test/test-long-shot/110fromGOPR1087.MP4.png", "GT/110fromGOPR1087.MP4.png"),
                        ),
                    },
                ),
                Layout(
                    name="official_test",
                    of="the authors' HIDE_dataset archive without its training images",
                    splits={"test": Files(lq=("test/*/*",), gt=("GT/*",), pair=(_NAME, _NAME), spare_gt=True)},
                    inside=("HIDE_dataset", "HIDE"),
                    examples={
                        "test": (
                            ("test/test-close-ups/1fromGOPR0950.png", "GT/1fromGOPR0950.png"),
                            ("test/test-long-shot/110fromGOPR1087.MP4.png", "GT/110fromGOPR1087.MP4.png"),
                        ),
                    },
                ),
                Layout(
                    name="mprnet",
                    of="the test set that MPRNet links",
                    splits={"test": Files(lq=("test/input/*",), gt=("test/target/*",), without=r"(?:^|/)GOPR\d")},
                    inside=("HIDE",),
                    examples={
                        "test": (
                            ("test/input/1fromGOPR0950.png", "test/target/1fromGOPR0950.png"),
                            ("test/input/109fromGOPR1096.MP4.png", "test/target/109fromGOPR1096.MP4.png"),
                        ),
                    },
                ),
                Layout(
                    name="restormer",
                    of="the test set that Restormer links, beside others",
                    splits={"test": Files(lq=("test/HIDE/input/*",), gt=("test/HIDE/target/*",))},
                    inside=("Datasets",),
                    examples={
                        "test": (
                            ("test/HIDE/input/1fromGOPR0950.png", "test/HIDE/target/1fromGOPR0950.png"),
                            ("test/HIDE/input/110fromGOPR1087.MP4.png", "test/HIDE/target/110fromGOPR1087.MP4.png"),
                        ),
                    },
                ),
                Layout(
                    name="mmagic",
                    of="the folders that mmagic asks for",
                    splits={"test": Files(lq=("input/*",), gt=("target/*",), without=r"(?:^|/)GOPR\d")},
                    inside=("HIDE",),
                    examples={
                        "test": (
                            ("input/1fromGOPR0950.png", "target/1fromGOPR0950.png"),
                            ("input/1fromGOPR1096.MP4.png", "target/1fromGOPR1096.MP4.png"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(6397, sure=False), "test": Count(2025, sure=False)},
            folders=("HIDE", "HIDE_dataset"),
            siblings={
                "gopro": ("GoPro", "GOPRO_Large"),
                "realblur_j": ("RealBlur_J", "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"),
                "realblur_r": ("RealBlur_R", "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"),
            },
            tasks=("motion_blur",),
            protocol="rgb_uint8_ssim3d",
            traps=(
                "The field tests networks on HIDE that were trained on GoPro alone; a row of one that was trained on "
                "HIDE is another row.",
                "The clean images of the training and of the test set lie in one folder.",
                "Many names have a second ending, as 1fromGOPR1096.MP4.png: only the last one is left out.",
                "SSIM is MATLAB's on the three channels as a volume, which reads higher than the mean of three.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
