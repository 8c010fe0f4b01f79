"""Data set `sid`: See-in-the-Dark, Sony, as sRGB arrays: short exposures with one long one a scene."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_FOLDER = r"^([^/]+)/"


class SID(Declared):
    """SID, Sony, sRGB (CVPR 2018; arrays of SNR-Net, CVPR 2022): 2,099 training and 598 test inputs."""

    traits = DatasetTraits(
        licence="SID by Chen, Chen, Xu and Koltun, MIT License by its page; arrays by Xu, Wang, Fu and Jia",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="SID",
            page="https://github.com/dvlab-research/SNR-Aware-Low-Light-Enhance",
            citation="Chen, Chen, Xu, Koltun: Learning to See in the Dark. CVPR 2018",
            size="2,697 inputs of 231 scenes, arrays of 960×512",
            layouts=(
                Layout(
                    name="official",
                    of="the arrays of SNR-Net's authors, short_sid2 and long_sid2",
                    splits={
                        "train": Files(
                            lq=("short_sid2/*/*",),
                            gt=("long_sid2/*/*",),
                            pair=(_FOLDER, _FOLDER),
                            scene=_FOLDER,
                            only=r"^[02]",
                            first_gt=True,
                            reader="npy_bgr",
                        ),
                        "test": Files(
                            lq=("short_sid2/*/*",),
                            gt=("long_sid2/*/*",),
                            pair=(_FOLDER, _FOLDER),
                            scene=_FOLDER,
                            only=r"^1",
                            first_gt=True,
                            reader="npy_bgr",
                        ),
                    },
                    inside=("SID", "sid_processed"),
                    examples={
                        "train": (
                            ("short_sid2/00001/00001_00_0.04s.npy", "long_sid2/00001/00001_00_10s.npy"),
                            ("short_sid2/00001/00001_00_0.1s.npy", "long_sid2/00001/00001_00_10s.npy"),
                            ("short_sid2/20188/20188_00_0.033s.npy", "long_sid2/20188/20188_00_10s.npy"),
                        ),
                        "test": (
                            ("short_sid2/10003/10003_00_0.04s.npy", "long_sid2/10003/10003_00_10s.npy"),
                            ("short_sid2/10003/10003_01_0.1s.npy", "long_sid2/10003/10003_00_10s.npy"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(2099, sure=False), "test": Count(598, sure=False)},
            tasks=("low_light",),
            protocol="sid_resized",
            traps=(
                "The first character of a scene's number is its split: 0 training, 2 validation, 1 test; low-light "
                "papers train on 0 and 2.",
                "All short exposures of a scene have one truth, the first file of its sorted long folder; papers "
                "average over images or over scenes, and the two means differ.",
                "The arrays hold blue, green, red, and both images are resized to 960×512 before they are scored, "
                "which is not the shape of the photographs.",
                "The authors' page asks to leave the scenes 10034, 10045 and 10172 out of numbers, because their "
                "truths are not aligned; low-light papers keep them.",
                "Other copies, as Sony_total_dark, are developed otherwise from the same raw files: numbers on them "
                "are not to be compared with these.",
            ),
            resize=(512, 960),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
