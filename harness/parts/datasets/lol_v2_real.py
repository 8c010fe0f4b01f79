"""Data set `lol_v2_real`: LOL-v2-real, 789 pairs of one scene with a short and a long exposure."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared

_DIGITS = r"(\d+)\.[^.]*$"


class LOLv2Real(Declared):
    """LOL-v2-real (TIP 2021): 689 training and 100 test pairs of low and normal light."""

    traits = DatasetTraits(
        licence="LOL-v2 by Yang, Wang, Huang, Wang and Liu; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="LOL-v2-real",
            page="https://github.com/flyywh/CVPR-2020-Semi-Low-Light",
            citation="Yang, Wang, Huang, Wang, Liu: Sparse Gradient Regularized Deep Retinex Network for Robust "
            "Low-Light Image Enhancement. TIP 2021",
            size="789 pairs of 600×400",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' LOL-v2 archive",
                    splits={
                        "train": Files(
                            lq=("Real_captured/Train/Low/*",),
                            gt=("Real_captured/Train/Normal/*",),
                            pair=(_DIGITS, _DIGITS),
                        ),
                        "test": Files(
                            lq=("Real_captured/Test/Low/*",),
                            gt=("Real_captured/Test/Normal/*",),
                            pair=(_DIGITS, _DIGITS),
                        ),
                    },
                    inside=("LOL-v2", "LOLv2"),
                    examples={
                        "train": (
                            ("Real_captured/Train/Low/low00001.png", "Real_captured/Train/Normal/normal00001.png"),
                            ("Real_captured/Train/Low/low00002.png", "Real_captured/Train/Normal/normal00002.png"),
                            ("Real_captured/Train/Low/00003.png", "Real_captured/Train/Normal/00003.png"),
                        ),
                        "test": (
                            ("Real_captured/Test/Low/low00690.png", "Real_captured/Test/Normal/normal00690.png"),
                            ("Real_captured/Test/Low/00691.png", "Real_captured/Test/Normal/00691.png"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(689), "test": Count(100)},
            tasks=("low_light",),
            protocol="rgb_uint8",
            traps=(
                "The two sides of a pair have other names, low00690.png and normal00690.png, and in some copies bare "
                "digits: what pairs them are the digits at the end.",
                "Test images are among the training images of LOL-v1: a network that was trained on LOL-v1 is not to "
                "be tested here.",
                "SNR-Net resizes the training images to 608×400, and its inputs at the test, whose outputs it resizes "
                "back: that is the protocol snr_lol.",
                "Some papers scale the output to the mean of the truth before they score it (GT-mean), which reads 2 "
                "to 5 dB higher: that is the protocol lol_gtmean, never to be mixed with others.",
            ),
            shared=(
                Shared(
                    split="test",
                    other="lol_v1",
                    other_split="train",
                    why="test images of LOL-v2-real are among the training images of LOL-v1",
                ),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
