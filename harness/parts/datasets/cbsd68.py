"""Data set `cbsd68`: CBSD68, 68 photographs of the Berkeley set in colour."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared


class CBSD68(Declared):
    """CBSD68: 68 colour images, to which tasks add noise."""

    traits = DatasetTraits(
        licence="Berkeley Segmentation Dataset by Martin, Fowlkes, Tal and Malik; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="CBSD68",
            page="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
            citation="Martin, Fowlkes, Tal, Malik: A Database of Human Segmented Natural Images and its Application "
            "to Evaluating Segmentation Algorithms and Measuring Ecological Statistics. ICCV 2001",
            size="68 colour images",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that Restormer and mmagic link",
                    splits={"test": Files(gt=("CBSD68/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("CBSD68/101085.png",),
                            ("CBSD68/12084.png",),
                            ("CBSD68/3096.png",),
                        )
                    },
                ),
                Layout(
                    name="cbsd68_dataset",
                    of="the repository clausmichele/CBSD68-dataset",
                    splits={"test": Files(gt=("CBSD68/original_png/*.png",))},
                    inside=("CBSD68-dataset", "CBSD68-dataset-master"),
                    examples={
                        "test": (
                            ("CBSD68/original_png/0000.png",),
                            ("CBSD68/original_png/0001.png",),
                            ("CBSD68/original_png/0067.png",),
                        )
                    },
                ),
            ),
            counts={"test": Count(68)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "The noise of a test image is drawn from NumPy's generator, seeded with 0 before every image: other "
                "noise gives other numbers.",
                "They are of the 100 photographs that BSD400 leaves out: a network that was trained on all of BSD500"
                " has seen them.",
                "The repository CBSD68-dataset has them as jpg and png, and under noise: original_png are the clean "
                "ones.",
            ),
            shared=(
                Shared(
                    split="test",
                    other="bsd400",
                    other_split="val",
                    why="its photographs are of the 100 of BSD500 that BSD400 leaves out",
                ),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
