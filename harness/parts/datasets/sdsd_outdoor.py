"""Data set `sdsd_outdoor`: SDSD-outdoor, static videos in low and in normal light as sRGB arrays."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_SCENE = r"^(MVI_\d+)(?:_2)?/"
# dvlab-research/SNR-Aware-Low-Light-Enhance, options/test/SDSD_outdoor.yml, testing_dir
_TEST = (
    "MVI_0898", "MVI_0906", "MVI_0928", "MVI_0975", "MVI_0997",
    "MVI_1001", "MVI_1003", "MVI_1026", "MVI_1030", "MVI_1032",
)  # fmt: skip


class SDSDOutdoor(Declared):
    """SDSD-outdoor, static (ICCV 2021; arrays of SNR-Net, CVPR 2022): 116 training and 10 test scenes."""

    traits = DatasetTraits(
        licence="SDSD by Wang, Xu, Fu, Lu, Yu and Jia; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="SDSD-outdoor",
            page="https://github.com/dvlab-research/SNR-Aware-Low-Light-Enhance",
            citation="Wang, Xu, Fu, Lu, Yu, Jia: Seeing Dynamic Scene in the Dark: A High-Quality Video Dataset with "
            "Mechatronic Alignment. ICCV 2021",
            size="126 scenes, arrays of 960×512",
            layouts=(
                Layout(
                    name="official",
                    of="the arrays of SNR-Net's authors, outdoor_static_np",
                    splits={
                        "train": Files(
                            lq=("outdoor_static_np/input/*/*",),
                            gt=("outdoor_static_np/GT/*/*",),
                            scene=_SCENE,
                            not_scenes=_TEST,
                            reader="npy_bgr",
                        ),
                        "test": Files(
                            lq=("outdoor_static_np/input/*/*",),
                            gt=("outdoor_static_np/GT/*/*",),
                            scene=_SCENE,
                            scenes=_TEST,
                            frames=30,
                            reader="npy_bgr",
                        ),
                    },
                    inside=("SDSD",),
                    examples={
                        "train": (
                            ("outdoor_static_np/input/MVI_0918/0001.npy", "outdoor_static_np/GT/MVI_0918/0001.npy"),
                            ("outdoor_static_np/input/MVI_0918/0002.npy", "outdoor_static_np/GT/MVI_0918/0002.npy"),
                            ("outdoor_static_np/input/MVI_0918/0003.npy", "outdoor_static_np/GT/MVI_0918/0003.npy"),
                        ),
                        "test": (
                            ("outdoor_static_np/input/MVI_0898/0001.npy", "outdoor_static_np/GT/MVI_0898/0001.npy"),
                            ("outdoor_static_np/input/MVI_0906_2/0001.npy", "outdoor_static_np/GT/MVI_0906_2/0001.npy"),
                            ("outdoor_static_np/input/MVI_1032/0001.npy", "outdoor_static_np/GT/MVI_1032/0001.npy"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(scenes=116, sure=False), "test": Count(scenes=10, sure=False)},
            tasks=("low_light",),
            protocol="sid_resized",
            traps=(
                "A folder that ends in _2, as MVI_0906_2, shows the scene of the one without: both are of the same "
                "split, so that no test scene is trained on.",
                "SNR-Net scores the first 30 frames of a test folder, as here; Retinexformer scores all of them: "
                "numbers of the two are not to be compared.",
                "These are the static arrays of SNR-Net's authors; the videos of the SDSD paper move, and numbers on "
                "them are not to be compared with these.",
                "The arrays hold blue, green, red, and both images are resized to 960×512 before they are scored.",
            ),
            resize=(512, 960),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
