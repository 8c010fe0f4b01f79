"""Data set `jnb`: JNB, photographs slightly out of focus in places, with no sharp ones to compare with."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class JNB(Declared):
    """JNB (CVPR 2015): photographs with just noticeable defocus blur, without reference; for tests only."""

    traits = DatasetTraits(
        licence="JNB by Shi, Xu and Jia; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="JNB",
            page="https://www.cse.cuhk.edu.hk/~leojia/projects/jnb_detect/index.html",
            citation="Shi, Xu, Jia: Just Noticeable Defocus Blur Detection and Estimation. CVPR 2015",
            size="the blurred photographs of the page's archive `Data and Results`",
            layouts=(
                Layout(
                    name="folder",
                    of="a folder of the blurred photographs alone, taken from the authors' archive, under any names",
                    splits={"test": Files(lq=("*.[jJ][pP][gG]", "*.[jJ][pP][eE][gG]", "*.[pP][nN][gG]"))},
                    examples={"test": (("1.png",), ("2.png",), ("10.jpg",))},
                ),
                Layout(
                    name="input",
                    of="a folder `input` of the blurred photographs, as prepared test sets have it, under any names",
                    splits={"test": Files(lq=("input/*",))},
                    inside=("JNB",),
                    examples={"test": (("input/1.png",), ("input/2.png",), ("input/10.jpg",))},
                ),
            ),
            counts={},
            folders=("JNB",),
            siblings={
                "ebdb": ("EBDB", "poetry-tip2018"),
            },
            tasks=("defocus",),
            protocol="dpdd",
            traps=(
                "There are no sharp images: only metrics without reference are taken, and none of them says how near "
                "to the truth a restored image is.",
                "The authors' archive also holds masks and results of methods: give a folder with the photographs "
                "alone, or the masks are tested, too.",
                "JNB is also the name of a metric of sharpness, which this is not.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
