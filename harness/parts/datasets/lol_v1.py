"""Data set `lol_v1`: LOL-v1, 500 pairs of one scene with a short and a long exposure."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared


class LOLv1(Declared):
    """LOL-v1 (BMVC 2018): 485 training and 15 test pairs of low and normal light."""

    traits = DatasetTraits(
        licence="LOL-v1 by Wei, Wang, Yang and Liu; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="LOL-v1",
            page="https://daooshee.github.io/BMVC2018website/",
            citation="Wei, Wang, Yang, Liu: Deep Retinex Decomposition for Low-Light Enhancement. BMVC 2018",
            size="500 pairs of 600×400",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' LOLdataset archive",
                    splits={
                        "train": Files(lq=("our485/low/*",), gt=("our485/high/*",)),
                        "test": Files(lq=("eval15/low/*",), gt=("eval15/high/*",)),
                    },
                    inside=("LOLdataset",),
                    examples={
                        "train": (
                            ("our485/low/2.png", "our485/high/2.png"),
                            ("our485/low/5.png", "our485/high/5.png"),
                            ("our485/low/10.png", "our485/high/10.png"),
                        ),
                        "test": (
                            ("eval15/low/1.png", "eval15/high/1.png"),
                            ("eval15/low/111.png", "eval15/high/111.png"),
                        ),
                    },
                ),
                Layout(
                    name="retinexformer",
                    of="the copy that the Retinexformer repository links",
                    splits={
                        "train": Files(lq=("Train/input/*",), gt=("Train/target/*",)),
                        "test": Files(lq=("Test/input/*",), gt=("Test/target/*",)),
                    },
                    inside=("LOLv1",),
                    examples={
                        "train": (
                            ("Train/input/100.png", "Train/target/100.png"),
                            ("Train/input/101.png", "Train/target/101.png"),
                        ),
                        "test": (
                            ("Test/input/111.png", "Test/target/111.png"),
                            ("Test/input/146.png", "Test/target/146.png"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(485), "test": Count(15)},
            tasks=("low_light",),
            protocol="rgb_uint8",
            traps=(
                "The training images contain test images of LOL-v2-real: a network that was trained on LOL-v1 is not "
                "to be tested on LOL-v2-real.",
                "Some papers scale the output to the mean of the truth before they score it (GT-mean), which reads 2 "
                "to 5 dB higher: that is the protocol lol_gtmean, never to be mixed with others.",
            ),
            shared=(
                Shared(
                    split="train",
                    other="lol_v2_real",
                    other_split="test",
                    why="the training images of LOL-v1 contain test images of LOL-v2-real",
                ),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
