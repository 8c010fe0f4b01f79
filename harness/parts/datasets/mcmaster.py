"""Data set `mcmaster`: McMaster, 18 colour images made for demosaicking."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class McMaster(Declared):
    """McMaster: 18 colour images, to which tasks add noise."""

    traits = DatasetTraits(
        licence="McMaster by Zhang, Wu, Buades and Li; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="McMaster",
            page="https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
            citation="Zhang, Wu, Buades, Li: Color Demosaicking by Local Directional Interpolation and Nonlocal "
            "Adaptive Thresholding. Journal of Electronic Imaging, 2011",
            size="18 colour images",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that Restormer and mmagic link",
                    splits={"test": Files(gt=("McMaster/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("McMaster/1.tif",),
                            ("McMaster/2.tif",),
                            ("McMaster/18.tif",),
                        )
                    },
                ),
            ),
            counts={"test": Count(18)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "The noise of a test image is drawn from NumPy's generator, seeded with 0 before every image: other "
                "noise gives other numbers.",
                "Its files are tif, which a script that looks for png alone does not find.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
