"""Data set `sdsd_indoor`: SDSD-indoor, static videos in low and in normal light as sRGB arrays."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_SCENE = r"^(pair\d+)(?:_2)?/"
# dvlab-research/SNR-Aware-Low-Light-Enhance, options/test/SDSD_indoor.yml, testing_dir
_TEST = ("pair1", "pair4", "pair9", "pair11", "pair19", "pair21")


class SDSDIndoor(Declared):
    """SDSD-indoor, static (ICCV 2021; arrays of SNR-Net, CVPR 2022): 62 training and 6 test scenes."""

    traits = DatasetTraits(
        licence="SDSD by Wang, Xu, Fu, Lu, Yu and Jia; see its page for the terms",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="SDSD-indoor",
            page="https://github.com/dvlab-research/SNR-Aware-Low-Light-Enhance",
            citation="Wang, Xu, Fu, Lu, Yu, Jia: Seeing Dynamic Scene in the Dark: A High-Quality Video Dataset with "
            "Mechatronic Alignment. ICCV 2021",
            size="68 scenes, arrays of 960×512",
            layouts=(
                Layout(
                    name="official",
                    of="the arrays of SNR-Net's authors, indoor_static_np",
                    splits={
                        "train": Files(
                            lq=("indoor_static_np/input/*/*",),
                            gt=("indoor_static_np/GT/*/*",),
                            scene=_SCENE,
                            not_scenes=_TEST,
                            reader="npy_bgr",
                        ),
                        "test": Files(
                            lq=("indoor_static_np/input/*/*",),
                            gt=("indoor_static_np/GT/*/*",),
                            scene=_SCENE,
                            scenes=_TEST,
                            frames=30,
                            reader="npy_bgr",
                        ),
                    },
                    inside=("SDSD",),
                    examples={
                        "train": (
                            ("indoor_static_np/input/pair2/0001.npy", "indoor_static_np/GT/pair2/0001.npy"),
                            ("indoor_static_np/input/pair2/0002.npy", "indoor_static_np/GT/pair2/0002.npy"),
                            ("indoor_static_np/input/pair2/0003.npy", "indoor_static_np/GT/pair2/0003.npy"),
                        ),
                        "test": (
                            ("indoor_static_np/input/pair1/0001.npy", "indoor_static_np/GT/pair1/0001.npy"),
                            ("indoor_static_np/input/pair11_2/0001.npy", "indoor_static_np/GT/pair11_2/0001.npy"),
                            ("indoor_static_np/input/pair21/0001.npy", "indoor_static_np/GT/pair21/0001.npy"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(scenes=62, sure=False), "test": Count(scenes=6, sure=False)},
            tasks=("low_light",),
            protocol="sid_resized",
            traps=(
                "A folder that ends in _2, as pair11_2, shows the scene of the one without: both are of the same "
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
