"""Data set `rain100l`: Rain100L, 100 photographs with light rain that was drawn into them."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared


class Rain100L(Declared):
    """Rain100L (CVPR 2017): 100 test pairs of light synthetic rain and clean photographs."""

    traits = DatasetTraits(
        licence="Rain100L by Yang, Tan, Feng, Liu, Guo and Yan; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="Rain100L",
            page="https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html",
            citation="Yang, Tan, Feng, Liu, Guo, Yan: Deep Joint Rain Detection and Removal from a Single Image. "
            "CVPR 2017",
            size="100 pairs",
            layouts=(
                Layout(
                    name="restormer",
                    of="the test sets that MPRNet and Restormer link; mmagic has the same folders",
                    splits={"test": Files(lq=("Rain100L/input/*",), gt=("Rain100L/target/*",))},
                    inside=(
                        "test",
                        "Datasets/test",
                        "Datasets",
                        "Synthetic_Rain_Datasets/test",
                        "Datasets/Synthetic_Rain_Datasets/test",
                    ),
                    examples={
                        "test": (
                            ("Rain100L/input/1.png", "Rain100L/target/1.png"),
                            ("Rain100L/input/2.png", "Rain100L/target/2.png"),
                            ("Rain100L/input/10.png", "Rain100L/target/10.png"),
                            ("Rain100L/input/100.png", "Rain100L/target/100.png"),
                        )
                    },
                ),
                Layout(
                    name="prenet",
                    of="the older images, as PReNet links them: the clean ones beside the folder of the rainy ones",
                    splits={
                        "test": Files(
                            lq=("Rain100L/rainy/rain-*.png",),
                            gt=("Rain100L/norain-*.png",),
                            pair=(r"^rain-(\d+)\.", r"^norain-(\d+)\."),
                        )
                    },
                    inside=("test", "datasets/test"),
                    examples={
                        "test": (
                            ("Rain100L/rainy/rain-001.png", "Rain100L/norain-001.png"),
                            ("Rain100L/rainy/rain-002.png", "Rain100L/norain-002.png"),
                            ("Rain100L/rainy/rain-010.png", "Rain100L/norain-010.png"),
                        )
                    },
                ),
                Layout(
                    name="airnet",
                    of="the copy of all-in-one restoration: a folder of rainy and one of clean images",
                    splits={
                        "test": Files(
                            lq=("Rain100L/rainy/rain-*.png",),
                            gt=("Rain100L/gt/norain-*.png",),
                            pair=(r"^rain-(\d+)\.", r"^norain-(\d+)\."),
                        )
                    },
                    inside=("test", "derain"),
                    examples={
                        "test": (
                            ("Rain100L/rainy/rain-001.png", "Rain100L/gt/norain-001.png"),
                            ("Rain100L/rainy/rain-002.png", "Rain100L/gt/norain-002.png"),
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
                    inside=("rain_data_test_Light",),
                    examples={
                        "test": (
                            ("rain_data_test_Light/rain/X2/norain-1x2.png", "rain_data_test_Light/norain/norain-1.png"),
                            ("rain_data_test_Light/rain/X2/norain-2x2.png", "rain_data_test_Light/norain/norain-2.png"),
                            (
                                "rain_data_test_Light/rain/X2/norain-10x2.png",
                                "rain_data_test_Light/norain/norain-10.png",
                            ),
                        )
                    },
                ),
            ),
            counts={"test": Count(100, sure=False)},
            folders=("Rain100L", "rain_data_test_Light"),
            siblings={
                "rain100h": ("Rain100H", "rain_data_test_Heavy"),
            },
            tasks=("derain",),
            protocol="y_matlab",
            average="derain5",
            traps=(
                "The archive on the authors' page has been changed since (its heavy half is also known as Rain200H):"
                " published numbers are of the older images, which PReNet and Restormer link.",
                "png and jpg lie in one folder: the published script pairs results and truths by their places in two"
                " lists, jpg before png; here names pair them.",
                "Restormer's recipe validates on these test images: a checkpoint that is chosen by that validation "
                "is chosen on the test set.",
            ),
            shared=(
                Shared(
                    split="test",
                    other="rain13k",
                    other_split="val",
                    why="published recipes for Rain13K choose the checkpoint on the test images of Rain100L",
                ),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
