"""Data set `sidd`: SIDD, photographs of smartphones with their own noise."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_PAIR = (r"^([^/]+)/(\d+)_NOISY_(.*)\.", r"^([^/]+)/(\d+)_GT_(.*)\.")
"""The folder, the number of the scene instance, and what follows the word that tells the noisy and the clean image."""

_INSTANCE = r"^([^/]+)/"


class SIDD(Declared):
    """SIDD (CVPR 2018): 320 training pairs of SIDD-Medium sRGB, and 1,280 validation blocks to test on."""

    traits = DatasetTraits(
        licence="SIDD by Abdelhamed, Lin and Brown; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="SIDD",
            page="https://www.eecs.yorku.ca/~kamel/sidd/",
            citation="Abdelhamed, Lin, Brown: A High-Quality Denoising Dataset for Smartphone Cameras. CVPR 2018",
            size="320 pairs of photographs (SIDD-Medium sRGB), 1,280 pairs of blocks of 256×256",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archives in one folder: SIDD_Medium_Srgb, and the two validation files beside it",
                    splits={
                        "train": Files(
                            lq=("SIDD_Medium_Srgb/Data/*/*_NOISY_*.[Pp][Nn][Gg]",),
                            gt=("SIDD_Medium_Srgb/Data/*/*_GT_*.[Pp][Nn][Gg]",),
                            pair=_PAIR,
                            scene=_INSTANCE,
                        ),
                        "test": Files(
                            lq=("ValidationNoisyBlocksSrgb.mat", "SIDD_Validation_sRGB/ValidationNoisyBlocksSrgb.mat"),
                            gt=("ValidationGtBlocksSrgb.mat", "SIDD_Validation_sRGB/ValidationGtBlocksSrgb.mat"),
                            reader="mat_blocks",
                        ),
                    },
                    inside=("SIDD", "datasets/SIDD", "dataset"),
                    examples={
                        "train": (
                            (
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_010.PNG",
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_010.PNG",
                            ),
                            (
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_011.PNG",
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_011.PNG",
                            ),
                            (
                                "SIDD_Medium_Srgb/Data/0200_010_GP_01600_03200_5500_N/0200_NOISY_SRGB_010.PNG",
                                "SIDD_Medium_Srgb/Data/0200_010_GP_01600_03200_5500_N/0200_GT_SRGB_010.PNG",
                            ),
                        ),
                        "test": (("ValidationNoisyBlocksSrgb.mat", "ValidationGtBlocksSrgb.mat"),),
                    },
                ),
                Layout(
                    name="data",
                    of="the scenes in Data, as NAFNet places them, and the two validation files beside it",
                    splits={
                        "train": Files(
                            lq=("Data/*/*_NOISY_*.[Pp][Nn][Gg]",),
                            gt=("Data/*/*_GT_*.[Pp][Nn][Gg]",),
                            pair=_PAIR,
                            scene=_INSTANCE,
                        ),
                        "test": Files(
                            lq=("ValidationNoisyBlocksSrgb.mat",),
                            gt=("ValidationGtBlocksSrgb.mat",),
                            reader="mat_blocks",
                        ),
                    },
                    inside=("SIDD_Medium_Srgb", "SIDD", "datasets/SIDD"),
                    examples={
                        "train": (
                            (
                                "SIDD/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_010.PNG",
                                "SIDD/Data/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_010.PNG",
                            ),
                            (
                                "SIDD/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_011.PNG",
                                "SIDD/Data/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_011.PNG",
                            ),
                            (
                                "SIDD/Data/0200_010_GP_01600_03200_5500_N/0200_NOISY_SRGB_010.PNG",
                                "SIDD/Data/0200_010_GP_01600_03200_5500_N/0200_GT_SRGB_010.PNG",
                            ),
                        ),
                        "test": (("SIDD/ValidationNoisyBlocksSrgb.mat", "SIDD/ValidationGtBlocksSrgb.mat"),),
                    },
                ),
                Layout(
                    name="mprnet",
                    of="the folders of MPRNet: the scenes in train, the two validation files in test",
                    splits={
                        "train": Files(
                            lq=("train/*/*_NOISY_*.[Pp][Nn][Gg]",),
                            gt=("train/*/*_GT_*.[Pp][Nn][Gg]",),
                            pair=_PAIR,
                            scene=_INSTANCE,
                        ),
                        "test": Files(
                            lq=("test/ValidationNoisyBlocksSrgb.mat",),
                            gt=("test/ValidationGtBlocksSrgb.mat",),
                            reader="mat_blocks",
                        ),
                    },
                    inside=("SIDD", "Datasets/SIDD"),
                    examples={
                        "train": (
                            (
                                "SIDD/train/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_010.PNG",
                                "SIDD/train/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_010.PNG",
                            ),
                            (
                                "SIDD/train/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_011.PNG",
                                "SIDD/train/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_011.PNG",
                            ),
                            (
                                "SIDD/train/0200_010_GP_01600_03200_5500_N/0200_NOISY_SRGB_010.PNG",
                                "SIDD/train/0200_010_GP_01600_03200_5500_N/0200_GT_SRGB_010.PNG",
                            ),
                        ),
                        "test": (("SIDD/test/ValidationNoisyBlocksSrgb.mat", "SIDD/test/ValidationGtBlocksSrgb.mat"),),
                    },
                ),
                Layout(
                    name="training",
                    of="the scenes alone",
                    splits={
                        "train": Files(
                            lq=("Data/*/*_NOISY_*.[Pp][Nn][Gg]",),
                            gt=("Data/*/*_GT_*.[Pp][Nn][Gg]",),
                            pair=_PAIR,
                            scene=_INSTANCE,
                        )
                    },
                    inside=("SIDD_Medium_Srgb", "SIDD", "datasets/SIDD"),
                    examples={
                        "train": (
                            (
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_010.PNG",
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_010.PNG",
                            ),
                            (
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_NOISY_SRGB_011.PNG",
                                "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_011.PNG",
                            ),
                            (
                                "SIDD_Medium_Srgb/Data/0200_010_GP_01600_03200_5500_N/0200_NOISY_SRGB_010.PNG",
                                "SIDD_Medium_Srgb/Data/0200_010_GP_01600_03200_5500_N/0200_GT_SRGB_010.PNG",
                            ),
                        )
                    },
                ),
                Layout(
                    name="validation",
                    of="the two validation files alone",
                    splits={
                        "test": Files(
                            lq=("ValidationNoisyBlocksSrgb.mat",),
                            gt=("ValidationGtBlocksSrgb.mat",),
                            reader="mat_blocks",
                        )
                    },
                    inside=("SIDD_Validation_sRGB", "test/SIDD", "Datasets/test/SIDD", "SIDD", "SIDD/test"),
                    examples={
                        "test": (("test/SIDD/ValidationNoisyBlocksSrgb.mat", "test/SIDD/ValidationGtBlocksSrgb.mat"),)
                    },
                ),
                Layout(
                    name="mmagic",
                    of="the validation blocks as PNG files, which mmagic's script makes of the two files",
                    splits={
                        "test": Files(
                            lq=("noisy/val_*_NOISY.png",),
                            gt=("gt/val_*_GT.png",),
                            pair=(r"^val_(\d+)_NOISY\.", r"^val_(\d+)_GT\."),
                        )
                    },
                    inside=("val", "test", "SIDD/val", "SIDD/test", "data/SIDD/val", "data/SIDD/test"),
                    examples={
                        "test": (
                            ("SIDD/val/noisy/val_0_NOISY.png", "SIDD/val/gt/val_0_GT.png"),
                            ("SIDD/val/noisy/val_2_NOISY.png", "SIDD/val/gt/val_2_GT.png"),
                            ("SIDD/val/noisy/val_1279_NOISY.png", "SIDD/val/gt/val_1279_GT.png"),
                        )
                    },
                ),
            ),
            counts={"train": Count(320), "test": Count(1280)},
            tasks=("real_denoise",),
            protocol="sidd",
            traps=(
                "The noisy and the clean image lie in one folder under names that differ in one word, and sorting "
                "all names puts every clean "
                "one before its noisy one.",
                "SIDD-Small has the same folders with half as many pairs (160): the number says which one it is.",
                "Papers call the validation blocks their test: the benchmark blocks, whose clean halves are not "
                "public, are others.",
                "Scores are taken of floats that are clipped, not rounded: rounding them to 8 bits gives other "
                "numbers.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
