"""Data set `dpdd_dual`: DPDD, pairs of dual-pixel views with a wide and a small aperture.

1P0A0917 and 1P0A0916, among its examples, are a pair of the authors' archive; the other names have the same form.
"""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Group, Layout, Source
from harness.parts.shared.declared.base import Declared


class DPDDDual(Declared):
    """DPDD (dual pixel) (ECCV 2020): 350 training, 74 validation and 76 test scenes, two views of 16 bits."""

    traits = DatasetTraits(
        licence="DPDD by Abuolaim and Brown; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="DPDD (dual pixel)",
            page="https://github.com/Abdullah-Abuolaim/defocus-deblurring-dual-pixel",
            citation="Abuolaim, Brown: Defocus Deblurring Using Dual-Pixel Data. ECCV 2020",
            size="500 scenes of 1680×1120, 16 bits",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archive dd_dp_dataset_canon, with Restormer's files of labels beside its folders",
                    splits={
                        "train": Files(
                            lq=(
                                "train_l/source/*.png",
                                "train_r/source/*.png",
                            ),
                            views=True,
                            gt=("train_c/target/*.png",),
                            pair="order",
                            apart=3,
                        ),
                        "val": Files(
                            lq=(
                                "val_l/source/*.png",
                                "val_r/source/*.png",
                            ),
                            views=True,
                            gt=("val_c/target/*.png",),
                            pair="order",
                            apart=3,
                        ),
                        "test": Files(
                            lq=(
                                "test_l/source/*.png",
                                "test_r/source/*.png",
                            ),
                            views=True,
                            gt=("test_c/target/*.png",),
                            pair="order",
                            apart=3,
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
                            (
                                "train_l/source/1P0A0984_L.png",
                                "train_r/source/1P0A0984_R.png",
                                "train_c/target/1P0A0983.png",
                            ),
                            (
                                "train_l/source/1P0A1063_L.png",
                                "train_r/source/1P0A1063_R.png",
                                "train_c/target/1P0A1062.png",
                            ),
                        ),
                        "val": (
                            ("val_l/source/1P0A1112_L.png", "val_r/source/1P0A1112_R.png", "val_c/target/1P0A1111.png"),
                            ("val_l/source/1P0A1434_L.png", "val_r/source/1P0A1434_R.png", "val_c/target/1P0A1433.png"),
                        ),
                        "test": (
                            (
                                "test_l/source/1P0A0917_L.png",
                                "test_r/source/1P0A0917_R.png",
                                "test_c/target/1P0A0916.png",
                            ),
                            (
                                "test_l/source/1P0A1589_L.png",
                                "test_r/source/1P0A1589_R.png",
                                "test_c/target/1P0A1588.png",
                            ),
                            (
                                "test_l/source/1P0A2003_L.png",
                                "test_r/source/1P0A2003_R.png",
                                "test_c/target/1P0A2002.png",
                            ),
                        ),
                    },
                ),
                Layout(
                    name="restormer",
                    of="Restormer's downloads, as its scripts place them",
                    splits={
                        "train": Files(
                            lq=(
                                "Downloads/DPDD/train/train/inputL/*.png",
                                "Downloads/DPDD/train/train/inputR/*.png",
                            ),
                            views=True,
                            gt=("Downloads/DPDD/train/train/target/*.png",),
                            pair="order",
                            apart=3,
                        ),
                        "val": Files(
                            lq=(
                                "Downloads/DPDD/val/val/inputL/*.png",
                                "Downloads/DPDD/val/val/inputR/*.png",
                            ),
                            views=True,
                            gt=("Downloads/DPDD/val/val/target/*.png",),
                            pair="order",
                            apart=3,
                        ),
                        "test": Files(
                            lq=(
                                "test/DPDD/inputL/*.png",
                                "test/DPDD/inputR/*.png",
                            ),
                            views=True,
                            gt=("test/DPDD/target/*.png",),
                            pair="order",
                            apart=3,
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
                                "Downloads/DPDD/train/train/inputL/1P0A0984.png",
                                "Downloads/DPDD/train/train/inputR/1P0A0984.png",
                                "Downloads/DPDD/train/train/target/1P0A0984.png",
                            ),
                            (
                                "Downloads/DPDD/train/train/inputL/1P0A1063.png",
                                "Downloads/DPDD/train/train/inputR/1P0A1063.png",
                                "Downloads/DPDD/train/train/target/1P0A1063.png",
                            ),
                        ),
                        "val": (
                            (
                                "Downloads/DPDD/val/val/inputL/1P0A1112.png",
                                "Downloads/DPDD/val/val/inputR/1P0A1112.png",
                                "Downloads/DPDD/val/val/target/1P0A1112.png",
                            ),
                            (
                                "Downloads/DPDD/val/val/inputL/1P0A1434.png",
                                "Downloads/DPDD/val/val/inputR/1P0A1434.png",
                                "Downloads/DPDD/val/val/target/1P0A1434.png",
                            ),
                        ),
                        "test": (
                            (
                                "test/DPDD/inputL/1P0A0917.png",
                                "test/DPDD/inputR/1P0A0917.png",
                                "test/DPDD/target/1P0A0917.png",
                            ),
                            (
                                "test/DPDD/inputL/1P0A1589.png",
                                "test/DPDD/inputR/1P0A1589.png",
                                "test/DPDD/target/1P0A1589.png",
                            ),
                            (
                                "test/DPDD/inputL/1P0A2003.png",
                                "test/DPDD/inputR/1P0A2003.png",
                                "test/DPDD/target/1P0A2003.png",
                            ),
                        ),
                    },
                ),
                Layout(
                    name="prepared",
                    of="Restormer's pictures in one folder a split",
                    splits={
                        "train": Files(
                            lq=(
                                "train/inputL/*.png",
                                "train/inputR/*.png",
                            ),
                            views=True,
                            gt=("train/target/*.png",),
                            pair="order",
                            apart=3,
                        ),
                        "val": Files(
                            lq=(
                                "val/inputL/*.png",
                                "val/inputR/*.png",
                            ),
                            views=True,
                            gt=("val/target/*.png",),
                            pair="order",
                            apart=3,
                        ),
                        "test": Files(
                            lq=(
                                "test/inputL/*.png",
                                "test/inputR/*.png",
                            ),
                            views=True,
                            gt=("test/target/*.png",),
                            pair="order",
                            apart=3,
                            groups=(
                                Group(name="indoor", file="test/indoor_labels.npy"),
                                Group(name="outdoor", file="test/outdoor_labels.npy"),
                            ),
                        ),
                    },
                    inside=("DPDD",),
                    examples={
                        "train": (
                            ("train/inputL/1P0A0984.png", "train/inputR/1P0A0984.png", "train/target/1P0A0984.png"),
                            ("train/inputL/1P0A1063.png", "train/inputR/1P0A1063.png", "train/target/1P0A1063.png"),
                        ),
                        "val": (
                            ("val/inputL/1P0A1112.png", "val/inputR/1P0A1112.png", "val/target/1P0A1112.png"),
                            ("val/inputL/1P0A1434.png", "val/inputR/1P0A1434.png", "val/target/1P0A1434.png"),
                        ),
                        "test": (
                            ("test/inputL/1P0A0917.png", "test/inputR/1P0A0917.png", "test/target/1P0A0917.png"),
                            ("test/inputL/1P0A1589.png", "test/inputR/1P0A1589.png", "test/target/1P0A1589.png"),
                            ("test/inputL/1P0A2003.png", "test/inputR/1P0A2003.png", "test/target/1P0A2003.png"),
                        ),
                    },
                ),
                Layout(
                    name="mmagic",
                    of="Restormer's test images alone, as mmagic asks for them",
                    splits={
                        "test": Files(
                            lq=(
                                "inputL/*.png",
                                "inputR/*.png",
                            ),
                            views=True,
                            gt=("target/*.png",),
                            pair="order",
                            apart=3,
                            groups=(
                                Group(name="indoor", file="indoor_labels.npy"),
                                Group(name="outdoor", file="outdoor_labels.npy"),
                            ),
                        )
                    },
                    inside=("DPDD", "test", "DPDD/test", "test/DPDD", "Datasets/test/DPDD", "data/DPDD"),
                    examples={
                        "test": (
                            ("inputL/1P0A0917.png", "inputR/1P0A0917.png", "target/1P0A0917.png"),
                            ("inputL/1P0A1589.png", "inputR/1P0A1589.png", "target/1P0A1589.png"),
                            ("inputL/1P0A2003.png", "inputR/1P0A2003.png", "target/1P0A2003.png"),
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
                "Files have 16 bits, and dual-pixel results are made of all of them: a reader that gives 8 bits "
                "loses what they are for.",
                "The left and the right view have names of their own (_L, _R): to swap them is to swap the six "
                "channels.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
