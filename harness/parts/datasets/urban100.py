"""Data set `urban100`: Urban100, 100 photographs of buildings."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Urban100(Declared):
    """Urban100: 100 colour images, to which tasks add noise."""

    traits = DatasetTraits(
        licence="Urban100 by Huang, Singh and Ahuja; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="Urban100",
            page="https://github.com/jbhuang0604/SelfExSR",
            citation="Huang, Singh, Ahuja: Single Image Super-Resolution from Transformed Self-Exemplars. CVPR 2015",
            size="100 colour images",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that Restormer and mmagic link",
                    splits={"test": Files(gt=("Urban100/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("Urban100/img_001.png",),
                            ("Urban100/img_002.png",),
                            ("Urban100/img_100.png",),
                        )
                    },
                ),
                Layout(
                    name="official",
                    of="the authors' repository SelfExSR",
                    splits={"test": Files(gt=("Urban100/image_SRF_4/*_HR.png",))},
                    inside=("data", "SelfExSR/data", "SelfExSR-master/data"),
                    examples={
                        "test": (
                            ("Urban100/image_SRF_4/img_001_SRF_4_HR.png",),
                            ("Urban100/image_SRF_4/img_002_SRF_4_HR.png",),
                            ("Urban100/image_SRF_4/img_100_SRF_4_HR.png",),
                        )
                    },
                ),
            ),
            counts={"test": Count(100)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "The noise of a test image is drawn from NumPy's generator, seeded with 0 before every image: other "
                "noise gives other numbers.",
                "The authors' files are cut to multiples of the factor of super-resolution, and the low-resolution "
                "ones lie beside them: sizes, and so numbers, may differ from those of the copies.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
