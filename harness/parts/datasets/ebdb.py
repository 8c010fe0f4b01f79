"""Data set `ebdb`: EBDB, photographs out of focus in places, with no sharp ones to compare with."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class EBDB(Declared):
    """EBDB (TIP 2018): photographs out of focus in places, without reference; for tests only."""

    traits = DatasetTraits(
        licence="EBDB by Karaali and Jung, MIT License for what is in their repository",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="EBDB",
            page="https://github.com/alikaraali/edge-based-dfe-tip2018",
            citation="Karaali, Jung: Edge-Based Defocus Blur Estimation With Adaptive Scale Selection. TIP 2018",
            size="three photographs in the authors' repository; the whole set is asked for by mail",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' repository",
                    splits={"test": Files(lq=("image_*.png", "poetry-tip2018/image_*.png"))},
                    examples={
                        "test": (("poetry-tip2018/image_01.png",), ("poetry-tip2018/image_05.png",), ("image_22.png",)),
                    },
                ),
                Layout(
                    name="folder",
                    of="a folder of the blurred photographs alone, under any names",
                    splits={"test": Files(lq=("*.[jJ][pP][gG]", "*.[jJ][pP][eE][gG]", "*.[pP][nN][gG]"))},
                    examples={"test": (("1.png",), ("2.png",), ("10.jpg",))},
                ),
                Layout(
                    name="input",
                    of="a folder `input` of the blurred photographs, as prepared test sets have it",
                    splits={"test": Files(lq=("input/*",))},
                    inside=("EBDB",),
                    examples={"test": (("input/image_01.png",), ("input/image_05.png",), ("input/image_22.png",))},
                ),
            ),
            counts={},
            folders=("EBDB", "poetry-tip2018"),
            siblings={
                "jnb": ("JNB",),
            },
            tasks=("defocus",),
            protocol="dpdd",
            traps=(
                "There are no sharp images: only metrics without reference are taken, and none of them says how near "
                "to the truth a restored image is.",
                "Which photographs a paper means by EBDB is seldom said: the name is that of a method to estimate "
                "blur, whose authors show three of them and refer to others for the rest.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
