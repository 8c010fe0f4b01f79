"""Data set `test1200`: Test1200, the test images of DID-MDN."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Test1200(Declared):
    """Test1200: 1,200 test pairs of synthetic rain and clean photographs, the test images of DID-MDN."""

    traits = DatasetTraits(
        licence="Test1200 by Zhang and Patel; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Test1200",
            page="https://github.com/hezhangsprinter/DID-MDN",
            citation="Zhang, Patel: Density-aware Single Image De-raining using a Multi-stream Dense Network. CVPR "
            "2018",
            size="1,200 pairs",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that MPRNet and Restormer link; mmagic has the same folders",
                    splits={"test": Files(lq=("Test1200/input/*",), gt=("Test1200/target/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "Datasets",
                        "Synthetic_Rain_Datasets/test",
                        "Datasets/Synthetic_Rain_Datasets/test",
                    ),
                    examples={
                        "test": (
                            ("Test1200/input/1.png", "Test1200/target/1.png"),
                            ("Test1200/input/2.png", "Test1200/target/2.png"),
                            ("Test1200/input/600.png", "Test1200/target/600.png"),
                            ("Test1200/input/1200.png", "Test1200/target/1200.png"),
                        )
                    },
                ),
            ),
            counts={"test": Count(1200, sure=False)},
            tasks=("derain",),
            protocol="y_matlab",
            average="derain5",
            traps=(
                "The authors' own archive holds the rainy and the clean half side by side in one file, which no "
                "layout here reads: take the prepared copy.",
                "png and jpg lie in one folder: the published script pairs results and truths by their places in two"
                " lists, jpg before png; here names pair them.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
