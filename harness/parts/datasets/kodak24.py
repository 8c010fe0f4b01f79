"""Data set `kodak24`: Kodak24, 24 photographs of Kodak's suite."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Kodak24(Declared):
    """Kodak24: 24 colour images, to which tasks add noise."""

    traits = DatasetTraits(
        licence="Kodak Lossless True Color Image Suite; as r0k.us understands, released by the Eastman Kodak Company"
        " for unrestricted usage",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="Kodak24",
            page="https://r0k.us/graphics/kodak/",
            citation="Zhang, Zuo, Zhang: FFDNet: Toward a Fast and Flexible Solution for CNN-based Image Denoising. "
            "IEEE TIP, 2018",
            size="24 colour images",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that Restormer and mmagic link",
                    splits={"test": Files(gt=("Kodak/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("Kodak/kodim01.png",),
                            ("Kodak/kodim02.png",),
                            ("Kodak/kodim24.png",),
                        )
                    },
                ),
                Layout(
                    name="ffdnet",
                    of="the test sets of FFDNet and SwinIR, and mmagic's folder",
                    splits={"test": Files(gt=("Kodak24/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "testsets",
                        "denoising_gaussian_test",
                        "data/denoising_gaussian_test",
                    ),
                    examples={
                        "test": (
                            ("Kodak24/kodim01.png",),
                            ("Kodak24/kodim02.png",),
                            ("Kodak24/kodim24.png",),
                        )
                    },
                ),
            ),
            counts={"test": Count(24)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "The noise of a test image is drawn from NumPy's generator, seeded with 0 before every image: other "
                "noise gives other numbers.",
                "The suite at r0k.us has 768×512 and 512×768 pixels, the copy that papers on denoising share is cut "
                "to 500×500: take theirs.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
