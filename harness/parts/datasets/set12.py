"""Data set `set12`: Set12, 12 gray images that papers on denoising share."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Set12(Declared):
    """Set12: 12 gray images, to which tasks add noise."""

    traits = DatasetTraits(
        licence="Set12, standard test images; see the page for their terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="Set12",
            page="https://github.com/cszn/DnCNN/tree/master/testsets",
            citation="Zhang, Zuo, Chen, Meng, Zhang: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for "
            "Image Denoising. IEEE TIP, 2017",
            size="12 gray images",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that Restormer and mmagic link",
                    splits={"test": Files(gt=("Set12/*",), gray=True)},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("Set12/01.png",),
                            ("Set12/02.png",),
                            ("Set12/12.png",),
                        )
                    },
                ),
            ),
            counts={"test": Count(12)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0_gray",
            traps=(
                "The noise of a test image is drawn from NumPy's generator, seeded with 0 before every image: other "
                "noise gives other numbers.",
                "Papers read the files with cv2.imread and IMREAD_GRAYSCALE; another formula of gray differs by a "
                "level in many pixels.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
