"""Data set `test2800`: Test2800, 200 photographs with 14 kinds of rain each."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Test2800(Declared):
    """Test2800: 2,800 test pairs of Rain14000, 14 rains drawn into each of 200 photographs."""

    traits = DatasetTraits(
        licence="Test2800 by Fu, Huang, Zeng, Huang, Ding and Paisley; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Test2800",
            page="https://xmu-smartdsp.github.io/",
            citation="Fu, Huang, Zeng, Huang, Ding, Paisley: Removing Rain from Single Images via a Deep Detail "
            "Network. CVPR 2017",
            size="2,800 pairs",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that MPRNet and Restormer link; mmagic has the same folders",
                    splits={"test": Files(lq=("Test2800/input/*",), gt=("Test2800/target/*",), scene=r"^(\d+)_")},
                    inside=(
                        "test",
                        "Datasets/test",
                        "Datasets",
                        "Synthetic_Rain_Datasets/test",
                        "Datasets/Synthetic_Rain_Datasets/test",
                    ),
                    examples={
                        "test": (
                            ("Test2800/input/801_1.jpg", "Test2800/target/801_1.jpg"),
                            ("Test2800/input/801_14.jpg", "Test2800/target/801_14.jpg"),
                            ("Test2800/input/1000_2.jpg", "Test2800/target/1000_2.jpg"),
                        )
                    },
                ),
                Layout(
                    name="official",
                    of="the authors' rainy_image_dataset: 14 rainy images have one clean one",
                    splits={
                        "test": Files(
                            lq=("testing/rainy_image/*.jpg",),
                            gt=("testing/ground_truth/*.jpg",),
                            pair=(r"^(\d+)_\d+\.", r"^(\d+)\."),
                        )
                    },
                    inside=("rainy_image_dataset",),
                    examples={
                        "test": (
                            ("testing/rainy_image/901_1.jpg", "testing/ground_truth/901.jpg"),
                            ("testing/rainy_image/901_14.jpg", "testing/ground_truth/901.jpg"),
                            ("testing/rainy_image/902_1.jpg", "testing/ground_truth/902.jpg"),
                        )
                    },
                ),
            ),
            counts={"test": Count(2800, sure=False, also=(1400,))},
            tasks=("derain",),
            protocol="y_matlab",
            average="derain5",
            traps=(
                "Rain1400 is a part of it: 14 rains of the photographs 901 to 1000 alone.",
                "Some copies repeat the clean image 14 times under the names of the rainy ones, others have it once:"
                " both are "
                "read, and the images of one photograph are one scene.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
