"""Data set `test100`: Test100, the test half of Rain800."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Test100(Declared):
    """Test100: 100 test pairs of synthetic rain and clean photographs, the test half of Rain800."""

    traits = DatasetTraits(
        licence="Test100 by Zhang, Sindagi and Patel; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Test100",
            page="https://github.com/hezhangsprinter/ID-CGAN",
            citation="Zhang, Sindagi, Patel: Image De-raining Using a Conditional Generative Adversarial Network. "
            "arXiv 1701.05957",
            size="100 pairs",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that MPRNet and Restormer link; mmagic has the same folders",
                    splits={"test": Files(lq=("Test100/input/*",), gt=("Test100/target/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "Datasets",
                        "Synthetic_Rain_Datasets/test",
                        "Datasets/Synthetic_Rain_Datasets/test",
                    ),
                    examples={
                        "test": (
                            ("Test100/input/1.png", "Test100/target/1.png"),
                            ("Test100/input/2.png", "Test100/target/2.png"),
                            ("Test100/input/10.png", "Test100/target/10.png"),
                            ("Test100/input/98.png", "Test100/target/98.png"),
                        )
                    },
                ),
            ),
            counts={"test": Count(100, sure=False, also=(98,))},
            tasks=("derain",),
            protocol="y_matlab",
            average="derain5",
            traps=(
                "The authors' own archive holds the rainy and the clean half side by side in one file, which no "
                "layout here reads: take the prepared copy.",
                "Copies have 100 or 98 pairs: compare the number in a table before its mean.",
                "png and jpg lie in one folder: the published script pairs results and truths by their places in two"
                " lists, jpg before png; here names pair them.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
