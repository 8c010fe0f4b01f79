"""Data set `lol_v2_syn`: LOL-v2-synthetic, 1,000 photographs and darkened ones of them."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class LOLv2Syn(Declared):
    """LOL-v2-synthetic (TIP 2021): 900 training and 100 test pairs of low and normal light."""

    traits = DatasetTraits(
        licence="LOL-v2 by Yang, Wang, Huang, Wang and Liu; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="LOL-v2-syn",
            page="https://github.com/flyywh/CVPR-2020-Semi-Low-Light",
            citation="Yang, Wang, Huang, Wang, Liu: Sparse Gradient Regularized Deep Retinex Network for Robust "
            "Low-Light Image Enhancement. TIP 2021",
            size="1,000 pairs of 384×384",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' LOL-v2 archive",
                    splits={
                        "train": Files(lq=("Synthetic/Train/Low/*",), gt=("Synthetic/Train/Normal/*",)),
                        "test": Files(lq=("Synthetic/Test/Low/*",), gt=("Synthetic/Test/Normal/*",)),
                    },
                    inside=("LOL-v2", "LOLv2"),
                    examples={
                        "train": (
                            ("Synthetic/Train/Low/r000da54ft.png", "Synthetic/Train/Normal/r000da54ft.png"),
                            ("Synthetic/Train/Low/r028896d3t.png", "Synthetic/Train/Normal/r028896d3t.png"),
                            ("Synthetic/Train/Low/r02e1abe2t.png", "Synthetic/Train/Normal/r02e1abe2t.png"),
                        ),
                        "test": (
                            ("Synthetic/Test/Low/r00816405t.png", "Synthetic/Test/Normal/r00816405t.png"),
                            ("Synthetic/Test/Low/r02189767t.png", "Synthetic/Test/Normal/r02189767t.png"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(900, sure=False), "test": Count(100, sure=False)},
            tasks=("low_light",),
            protocol="rgb_uint8",
            traps=(
                "The archive has LOL-v2-real beside it: both are called LOL-v2, and a table must say which it is.",
                "Some papers scale the output to the mean of the truth before they score it (GT-mean), which reads 2 "
                "to 5 dB higher: that is the protocol lol_gtmean, never to be mixed with others.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
