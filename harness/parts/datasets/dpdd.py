"""Data set `dpdd`: DPDD, photographs with a wide and a small aperture.

1P0A0917 and 1P0A0916, among its examples, are a pair of the authors' archive; the other names have the same form.
"""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Group, Layout, Source
from harness.parts.shared.declared.base import Declared


class DPDD(Declared):
    """DPDD (ECCV 2020): 350 training, 74 validation and 76 test scenes, read in 8 bits."""

    traits = DatasetTraits(
        licence="DPDD by Abuolaim and Brown; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="DPDD",
            page="https://github.com/Abdullah-Abuolaim/defocus-deblurring-dual-pixel",
            citation="Abuolaim, Brown: Defocus Deblurring Using Dual-Pixel Data. ECCV 2020",
            size="500 scenes of 1680×1120, 16 bits",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archive dd_dp_dataset_canon, with Restormer's files of labels beside its folders",
                    splits={
                        "train": Files(
                            lq=("train_c/source/*.png",), gt=("train_c/target/*.png",), pair="order", apart=3, bits=8
                        ),
                        "val": Files(
                            lq=("val_c/source/*.png",), gt=("val_c/target/*.png",), pair="order", apart=3, bits=8
                        ),
                        "test": Files(
                            lq=("test_c/source/*.png",),
                            gt=("test_c/target/*.png",),
                            pair="order",
                            apart=3,
                            bits=8,
                            groups=(
                                Group(name="indoor", file="indoor_labels.npy", needed=False),
                                Group(name="outdoor", file="outdoor_labels.npy", needed=False),
                            ),
                        ),
                    },
                    inside=(
                        "dd_dp_dataset_canon",
                        "dd_dp_dataset_png",
                        "dd_dp_dataset_canon/dd_dp_dataset_png",
                        "DPDD",
                        "Datasets/DPDD",
                    ),
                    examples={
                        "train": (
                            ("train_c/source/1P0A0984.png", "train_c/target/1P0A0983.png"),
                            ("train_c/source/1P0A1063.png", "train_c/target/1P0A1062.png"),
                        ),
                        "val": (
                            ("val_c/source/1P0A1112.png", "val_c/target/1P0A1111.png"),
                            ("val_c/source/1P0A1434.png", "val_c/target/1P0A1433.png"),
                        ),
                        "test": (
                            ("test_c/source/1P0A0917.png", "test_c/target/1P0A0916.png"),
                            ("test_c/source/1P0A1589.png", "test_c/target/1P0A1588.png"),
                            ("test_c/source/1P0A2003.png", "test_c/target/1P0A2002.png"),
                        ),
                    },
                ),
                Layout(
                    name="restormer",
                    of="Restormer's downloads, as its scripts place them",
                    splits={
                        "train": Files(
                            lq=("Downloads/DPDD/train/train/inputC/*.png",),
                            gt=("Downloads/DPDD/train/train/target/*.png",),
                            pair="order",
                            apart=3,
                            bits=8,
                        ),
                        "val": Files(
                            lq=("Downloads/DPDD/val/val/inputC/*.png",),
                            gt=("Downloads/DPDD/val/val/target/*.png",),
                            pair="order",
                            apart=3,
                            bits=8,
                        ),
                        "test": Files(
                            lq=("test/DPDD/inputC/*.png",),
                            gt=("test/DPDD/target/*.png",),
                            pair="order",
                            apart=3,
                            bits=8,
                            groups=(
                                Group(name="indoor", file="test/DPDD/indoor_labels.npy"),
                                Group(name="outdoor", file="test/DPDD/outdoor_labels.npy"),
                            ),
                        ),
                    },
                    inside=("Datasets", "Defocus_Deblurring/Datasets"),
                    examples={
                        "train": (
                            (
                                "Downloads/DPDD/train/train/inputC/1P0A0984.png",
                                "Downloads/DPDD/train/train/target/1P0A0984.png",
                            ),
                            (
                                "Downloads/DPDD/train/train/inputC/1P0A1063.png",
                                "Downloads/DPDD/train/train/target/1P0A1063.png",
                            ),
                        ),
                        "val": (
                            (
                                "Downloads/DPDD/val/val/inputC/1P0A1112.png",
                                "Downloads/DPDD/val/val/target/1P0A1112.png",
                            ),
                            (
                                "Downloads/DPDD/val/val/inputC/1P0A1434.png",
                                "Downloads/DPDD/val/val/target/1P0A1434.png",
                            ),
                        ),
                        "test": (
                            ("test/DPDD/inputC/1P0A0917.png", "test/DPDD/target/1P0A0917.png"),
                            ("test/DPDD/inputC/1P0A1589.png", "test/DPDD/target/1P0A1589.png"),
                            ("test/DPDD/inputC/1P0A2003.png", "test/DPDD/target/1P0A2003.png"),
                        ),
                    },
                ),
                Layout(
                    name="prepared",
                    of="Restormer's pictures in one folder a split",
                    splits={
                        "train": Files(
                            lq=("train/inputC/*.png",), gt=("train/target/*.png",), pair="order", apart=3, bits=8
                        ),
                        "val": Files(lq=("val/inputC/*.png",), gt=("val/target/*.png",), pair="order", apart=3, bits=8),
                        "test": Files(
                            lq=("test/inputC/*.png",),
                            gt=("test/target/*.png",),
                            pair="order",
                            apart=3,
                            bits=8,
                            groups=(
                                Group(name="indoor", file="test/indoor_labels.npy"),
                                Group(name="outdoor", file="test/outdoor_labels.npy"),
                            ),
                        ),
                    },
                    inside=("DPDD",),
                    examples={
                        "train": (
                            ("train/inputC/1P0A0984.png", "train/target/1P0A0984.png"),
                            ("train/inputC/1P0A1063.png", "train/target/1P0A1063.png"),
                        ),
                        "val": (
                            ("val/inputC/1P0A1112.png", "val/target/1P0A1112.png"),
                            ("val/inputC/1P0A1434.png", "val/target/1P0A1434.png"),
                        ),
                        "test": (
                            ("test/inputC/1P0A0917.png", "test/target/1P0A0917.png"),
                            ("test/inputC/1P0A1589.png", "test/target/1P0A1589.png"),
                            ("test/inputC/1P0A2003.png", "test/target/1P0A2003.png"),
                        ),
                    },
                ),
                Layout(
                    name="mmagic",
                    of="Restormer's test images alone, as mmagic asks for them",
                    splits={
                        "test": Files(
                            lq=("inputC/*.png",),
                            gt=("target/*.png",),
                            pair="order",
                            apart=3,
                            bits=8,
                            groups=(
                                Group(name="indoor", file="indoor_labels.npy"),
                                Group(name="outdoor", file="outdoor_labels.npy"),
                            ),
                        )
                    },
                    inside=("DPDD", "test", "DPDD/test", "test/DPDD", "Datasets/test/DPDD", "data/DPDD"),
                    examples={
                        "test": (
                            ("inputC/1P0A0917.png", "target/1P0A0917.png"),
                            ("inputC/1P0A1589.png", "target/1P0A1589.png"),
                            ("inputC/1P0A2003.png", "target/1P0A2003.png"),
                        )
                    },
                ),
            ),
            counts={"train": Count(350), "val": Count(74), "test": Count(76)},
            tasks=("defocus",),
            protocol="dpdd",
            traps=(
                "The files have names of the camera: the clean image of 1P0A0917 is 1P0A0916, others differ by 1 or "
                "2. So the order of the names pairs them, and one file that is missing on each side would shift all "
                "pairs between.",
                "indoor_labels.npy and outdoor_labels.npy of Restormer number the test images from 1 on, in the "
                "order of their names.",
                "Files have 16 bits, and single-image results are made of the upper 8, as cv2.imread gives them "
                "without flags.",
                "The mean over 76 test images is not the mean of the indoor and the outdoor one: they are 37 and 39.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
