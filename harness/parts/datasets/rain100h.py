"""Data set `rain100h`: Rain100H, 100 photographs with heavy rain that was drawn into them."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Rain100H(Declared):
    """Rain100H (CVPR 2017): 100 test pairs of heavy synthetic rain and clean photographs."""

    traits = DatasetTraits(
        licence="Rain100H by Yang, Tan, Feng, Liu, Guo and Yan; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Rain100H",
            page="https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html",
            citation="Yang, Tan, Feng, Liu, Guo, Yan: Deep Joint Rain Detection and Removal from a Single Image. "
            "CVPR 2017",
            size="100 pairs",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that MPRNet and Restormer link; mmagic has the same folders",
                    splits={"test": Files(lq=("Rain100H/input/*",), gt=("Rain100H/target/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "Datasets",
                        "Synthetic_Rain_Datasets/test",
                        "Datasets/Synthetic_Rain_Datasets/test",
                    ),
                    examples={
                        "test": (
                            ("Rain100H/input/1.png", "Rain100H/target/1.png"),
                            ("Rain100H/input/2.png", "Rain100H/target/2.png"),
                            ("Rain100H/input/10.png", "Rain100H/target/10.png"),
                            ("Rain100H/input/100.png", "Rain100H/target/100.png"),
                        )
                    },
                ),
                Layout(
                    name="prenet",
                    of="the older images, as PReNet links them: the clean ones beside the folder of the rainy ones",
                    splits={
                        "test": Files(
                            lq=("Rain100H/rainy/rain-*.png",),
                            gt=("Rain100H/norain-*.png",),
                            pair=(r"^rain-(\d+)\.", r"^norain-(\d+)\."),
                        )
                    },
                    inside=("test", "datasets/test"),
                    examples={
                        "test": (
                            ("Rain100H/rainy/rain-001.png", "Rain100H/norain-001.png"),
                            ("Rain100H/rainy/rain-002.png", "Rain100H/norain-002.png"),
                            ("Rain100H/rainy/rain-010.png", "Rain100H/norain-010.png"),
                        )
                    },
                ),
                Layout(
                    name="airnet",
                    of="the copy of all-in-one restoration: a folder of rainy and one of clean images",
                    splits={
                        "test": Files(
                            lq=("Rain100H/rainy/rain-*.png",),
                            gt=("Rain100H/gt/norain-*.png",),
                            pair=(r"^rain-(\d+)\.", r"^norain-(\d+)\."),
                        )
                    },
                    inside=("test", "derain"),
                    examples={
                        "test": (
                            ("Rain100H/rainy/rain-001.png", "Rain100H/gt/norain-001.png"),
                            ("Rain100H/rainy/rain-002.png", "Rain100H/gt/norain-002.png"),
                        )
                    },
                ),
                Layout(
                    name="official",
                    of="the archive of the authors' page",
                    splits={
                        "test": Files(
                            lq=("rain/X2/norain-*x2.png", "rain/norain-*.png"),
                            gt=("norain/norain-*.png",),
                            pair=(r"norain-(\d+)(?:x2)?\.[^.]*$", r"norain-(\d+)\.[^.]*$"),
                        )
                    },
                    inside=("rain_data_test_Heavy",),
                    examples={
                        "test": (
                            ("rain_data_test_Heavy/rain/X2/norain-1x2.png", "rain_data_test_Heavy/norain/norain-1.png"),
                            ("rain_data_test_Heavy/rain/X2/norain-2x2.png", "rain_data_test_Heavy/norain/norain-2.png"),
                            (
                                "rain_data_test_Heavy/rain/X2/norain-10x2.png",
                                "rain_data_test_Heavy/norain/norain-10.png",
                            ),
                        )
                    },
                ),
            ),
            counts={"test": Count(100, sure=False)},
            folders=("Rain100H", "rain_data_test_Heavy"),
            siblings={
                "rain100l": ("Rain100L", "rain_data_test_Light"),
            },
            tasks=("derain",),
            protocol="y_matlab",
            average="derain5",
            traps=(
                "The archive on the authors' page has been changed since (its heavy half is also known as Rain200H):"
                " published numbers are of the older images, which PReNet and Restormer link.",
                "png and jpg lie in one folder: the published script pairs results and truths by their places in two"
                " lists, jpg before png; here names pair them.",
                "RainTrainH, from which training sets are made, shows the backgrounds of Rain100H in 546 of its "
                "1,800 images, as the authors of PReNet found: audit before you train.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
