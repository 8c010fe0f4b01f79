"""Data set `div2k`: DIV2K, 800 training photographs of 2K resolution."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_TRAIN = r"^0(?:[0-7]\d\d|800)\."
"""The names of the training images, 0001 to 0800."""


class DIV2K(Declared):
    """DIV2K (CVPR workshops 2017): 800 training and 100 validation photographs of 2K resolution."""

    traits = DatasetTraits(
        licence="DIV2K by Agustsson and Timofte; for academic use, see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="DIV2K",
            page="https://data.vision.ee.ethz.ch/cvl/DIV2K/",
            citation="Agustsson, Timofte: NTIRE 2017 Challenge on Single Image Super-Resolution: Dataset and Study. "
            "CVPR Workshops 2017",
            size="800 training photographs (3.5 GB), 100 of validation (0.4 GB)",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archives DIV2K_train_HR and DIV2K_valid_HR",
                    splits={
                        "train": Files(gt=("DIV2K_train_HR/*.png",), only=_TRAIN),
                        "val": Files(gt=("DIV2K_valid_HR/*.png",)),
                    },
                    inside=("DIV2K", "data/DIV2K", "datasets/DIV2K"),
                    examples={
                        "train": (
                            ("DIV2K_train_HR/0001.png",),
                            ("DIV2K_train_HR/0002.png",),
                            ("DIV2K_train_HR/0800.png",),
                        ),
                        "val": (
                            ("DIV2K_valid_HR/0801.png",),
                            ("DIV2K_valid_HR/0900.png",),
                        ),
                    },
                ),
                Layout(
                    name="mmagic",
                    of="DIV2K_train_HR alone, into which mmagic and BasicSR also move the validation images",
                    splits={"train": Files(gt=("DIV2K_train_HR/*.png",), only=_TRAIN)},
                    inside=("DIV2K", "data/DIV2K", "datasets/DIV2K"),
                    examples={
                        "train": (
                            ("DIV2K_train_HR/0001.png",),
                            ("DIV2K_train_HR/0002.png",),
                            ("DIV2K_train_HR/0800.png",),
                        )
                    },
                ),
                Layout(
                    name="restormer",
                    of="the folder of Restormer's download, which it cuts into patches",
                    splits={"train": Files(gt=("DIV2K/*",), only=_TRAIN)},
                    inside=("Downloads", "Datasets/Downloads", "Denoising/Datasets/Downloads", "trainsets"),
                    examples={
                        "train": (
                            ("Downloads/DIV2K/0001.png",),
                            ("Downloads/DIV2K/0002.png",),
                            ("Downloads/DIV2K/0800.png",),
                        )
                    },
                ),
            ),
            counts={"train": Count(800), "val": Count(100)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "mmagic moves the 100 validation images into the training folder: 0801 to 0900 are never training "
                "images here.",
                "Restormer cuts images whose two sides are longer than 800 into crops of 512 that overlap by 96: say"
                " so in `train`.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
