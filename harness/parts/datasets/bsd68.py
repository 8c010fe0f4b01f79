"""Data set `bsd68`: BSD68, 68 photographs of the Berkeley set in gray."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared


class BSD68(Declared):
    """BSD68: 68 gray images, to which tasks add noise."""

    traits = DatasetTraits(
        licence="Berkeley Segmentation Dataset by Martin, Fowlkes, Tal and Malik; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="BSD68",
            page="https://github.com/cszn/DnCNN/tree/master/testsets",
            citation="Martin, Fowlkes, Tal, Malik: A Database of Human Segmented Natural Images and its Application "
            "to Evaluating Segmentation Algorithms and Measuring Ecological Statistics. ICCV 2001",
            size="68 gray images",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that Restormer and mmagic link",
                    splits={"test": Files(gt=("BSD68/*",), gray=True)},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("BSD68/test001.png",),
                            ("BSD68/test005.png",),
                            ("BSD68/test068.png",),
                        )
                    },
                ),
            ),
            counts={"test": Count(68)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0_gray",
            traps=(
                "The noise of a test image is drawn from NumPy's generator, seeded with 0 before every image: other "
                "noise gives other numbers.",
                "Papers read the files with cv2.imread and IMREAD_GRAYSCALE; another formula of gray differs by a "
                "level in many pixels.",
                "These are the photographs of CBSD68, of the 100 that BSD400 leaves out: a network that was trained "
                "on all of BSD500 has seen them.",
            ),
            shared=(
                Shared(
                    split="test",
                    other="bsd400",
                    other_split="val",
                    why="its photographs are of the 100 of BSD500 that BSD400 leaves out",
                ),
                Shared(split="test", other="cbsd68", other_split="test", why="the same photographs in colour"),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
