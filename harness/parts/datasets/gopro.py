"""Data set `gopro`: GoPro, frames of 33 videos that are blurred by averaging their neighbours."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class GoPro(Declared):
    """GoPro (CVPR 2017): 2,103 training and 1,111 test pairs of blurred and sharp frames."""

    traits = DatasetTraits(
        licence="GoPro by Nah, Kim and Lee; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="GoPro",
            page="https://seungjunnah.github.io/Datasets/gopro",
            citation="Nah, Kim, Lee: Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring. "
            "CVPR 2017",
            size="3,214 pairs of 1280×720",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' GOPRO_Large archive",
                    splits={
                        "train": Files(
                            lq=("train/*/blur/*.png",), gt=("train/*/sharp/*.png",), scene=r"^(GOPR\d+_\d+_\d+)"
                        ),
                        "test": Files(
                            lq=("test/*/blur/*.png",), gt=("test/*/sharp/*.png",), scene=r"^(GOPR\d+_\d+_\d+)"
                        ),
                    },
                    inside=("GOPRO_Large",),
                    examples={
                        "train": (
                            (
                                "train/GOPR0372_07_00/blur/000047.png",
                                "train/GOPR0372_07_00/sharp/000047.png",
                            ),
                            (
                                "train/GOPR0372_07_01/blur/000047.png",
                                "train/GOPR0372_07_01/sharp/000047.png",
                            ),
                        ),
                        "test": (
                            ("test/GOPR0384_11_00/blur/000001.png", "test/GOPR0384_11_00/sharp/000001.png"),
                            ("test/GOPR0384_11_05/blur/004081.png", "test/GOPR0384_11_05/sharp/004081.png"),
                        ),
                    },
                ),
                Layout(
                    name="restormer",
                    of="the flattened copy that Restormer and MPRNet link",
                    splits={
                        "train": Files(lq=("train/input/*",), gt=("train/target/*",), scene=r"^(GOPR\d+_\d+_\d+)"),
                        "test": Files(lq=("test/input/*",), gt=("test/target/*",), scene=r"^(GOPR\d+_\d+_\d+)"),
                    },
                    inside=("GoPro",),
                    examples={
                        "train": (
                            (
                                "train/input/GOPR0372_07_00-000047.png",
                                "train/target/GOPR0372_07_00-000047.png",
                            ),
                            (
                                "train/input/GOPR0372_07_01-000047.png",
                                "train/target/GOPR0372_07_01-000047.png",
                            ),
                        ),
                        "test": (
                            ("test/input/GOPR0384_11_00-000001.png", "test/target/GOPR0384_11_00-000001.png"),
                            ("test/input/GOPR0384_11_05-004081.png", "test/target/GOPR0384_11_05-004081.png"),
                        ),
                    },
                ),
                Layout(
                    name="mmagic",
                    of="the folders that mmagic asks for",
                    splits={
                        "train": Files(lq=("train/blur/*",), gt=("train/sharp/*",), scene=r"^(GOPR\d+_\d+_\d+)"),
                        "test": Files(lq=("test/blur/*",), gt=("test/sharp/*",), scene=r"^(GOPR\d+_\d+_\d+)"),
                    },
                    inside=("GoPro",),
                    examples={
                        "train": (
                            (
                                "train/blur/GOPR0372_07_00-000047.png",
                                "train/sharp/GOPR0372_07_00-000047.png",
                            ),
                            (
                                "train/blur/GOPR0372_07_01-000047.png",
                                "train/sharp/GOPR0372_07_01-000047.png",
                            ),
                        ),
                        "test": (
                            ("test/blur/GOPR0384_11_00-000001.png", "test/sharp/GOPR0384_11_00-000001.png"),
                            ("test/blur/GOPR0384_11_05-004081.png", "test/sharp/GOPR0384_11_05-004081.png"),
                        ),
                    },
                ),
                Layout(
                    name="restormer_datasets",
                    of="the tree of Restormer's downloads, before it is cut into tiles",
                    splits={
                        "train": Files(
                            lq=("Downloads/GoPro/input/*",),
                            gt=("Downloads/GoPro/target/*",),
                            scene=r"^(GOPR\d+_\d+_\d+)",
                        ),
                        "test": Files(
                            lq=("test/GoPro/input/*",), gt=("test/GoPro/target/*",), scene=r"^(GOPR\d+_\d+_\d+)"
                        ),
                    },
                    inside=("Datasets", "Motion_Deblurring/Datasets"),
                    examples={
                        "train": (
                            (
                                "Datasets/Downloads/GoPro/input/GOPR0372_07_00-000047.png",
                                "Datasets/Downloads/GoPro/target/GOPR0372_07_00-000047.png",
                            ),
                            (
                                "Datasets/Downloads/GoPro/input/GOPR0372_07_01-000047.png",
                                "Datasets/Downloads/GoPro/target/GOPR0372_07_01-000047.png",
                            ),
                        ),
                        "test": (
                            (
                                "Datasets/test/GoPro/input/GOPR0384_11_00-000001.png",
                                "Datasets/test/GoPro/target/GOPR0384_11_00-000001.png",
                            ),
                            (
                                "Datasets/test/GoPro/input/GOPR0384_11_05-004081.png",
                                "Datasets/test/GoPro/target/GOPR0384_11_05-004081.png",
                            ),
                        ),
                    },
                ),
                Layout(
                    name="restormer_test",
                    of="the test sets of Restormer and MPRNet alone",
                    splits={
                        "test": Files(
                            lq=("test/GoPro/input/*",), gt=("test/GoPro/target/*",), scene=r"^(GOPR\d+_\d+_\d+)"
                        )
                    },
                    inside=("Datasets", "Motion_Deblurring/Datasets"),
                    examples={
                        "test": (
                            (
                                "test/GoPro/input/GOPR0384_11_00-000001.png",
                                "test/GoPro/target/GOPR0384_11_00-000001.png",
                            ),
                            (
                                "test/GoPro/input/GOPR0384_11_05-004081.png",
                                "test/GoPro/target/GOPR0384_11_05-004081.png",
                            ),
                        ),
                    },
                ),
            ),
            counts={"train": Count(2103), "test": Count(1111)},
            folders=("GoPro", "GOPRO_Large"),
            siblings={
                "hide": ("HIDE", "HIDE_dataset"),
                "realblur_j": ("RealBlur_J", "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"),
                "realblur_r": ("RealBlur_R", "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"),
            },
            tasks=("motion_blur",),
            protocol="rgb_uint8_ssim3d",
            traps=(
                "The official archive has blur and blur_gamma: the field uses blur.",
                "SSIM is taken as a mean of three channels by some and in three dimensions by others; the same images "
                "read 0.9479 and 0.9668.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
