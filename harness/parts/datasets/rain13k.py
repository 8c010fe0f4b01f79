"""Data set `rain13k`: Rain13K, the training set of MPRNet, Restormer and most after them.

The names of its examples stand for the archive's, which no repository lists.
"""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Rain13K(Declared):
    """Rain13K (CVPR 2021): 13,712 training pairs of synthetic rain, gathered of several data sets."""

    traits = DatasetTraits(
        licence="Rain13K, gathered by the authors of MPRNet of several data sets; see their pages for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Rain13K",
            page="https://github.com/swz30/MPRNet/tree/main/Deraining/Datasets",
            citation="Zamir, Arora, Khan, Hayat, Khan, Yang, Shao: Multi-Stage Progressive Image Restoration. CVPR "
            "2021",
            size="13,712 pairs",
            layouts=(
                Layout(
                    name="restormer",
                    of="the training set that MPRNet and Restormer link",
                    splits={"train": Files(lq=("Rain13K/input/*",), gt=("Rain13K/target/*",))},
                    inside=("train", "Datasets/train", "Datasets"),
                    examples={
                        "train": (
                            ("train/Rain13K/input/1.jpg", "train/Rain13K/target/1.jpg"),
                            ("train/Rain13K/input/2.png", "train/Rain13K/target/2.png"),
                            ("train/Rain13K/input/10.png", "train/Rain13K/target/10.jpg"),
                        )
                    },
                ),
            ),
            counts={"train": Count(13712, also=(13711,))},
            tasks=("derain",),
            protocol="y_matlab",
            traps=(
                "Papers say 13,712 pairs; the download has 13,711, since its authors removed one of a wrong size.",
                "png and jpg lie in one folder: pair by name, never by the place in a list.",
                "It has no validation images of its own, and Restormer's recipe takes the test images of Rain100L: a"
                " checkpoint "
                "that is chosen by that is chosen on a test set.",
                "One photograph is there under several rains: images that are held out by name are not new to the "
                "network.",
                "RainTrainH, one of its sources, shows the backgrounds of Rain100H in 546 of 1,800 images: bench "
                "data audit says "
                "which are in your copy.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
