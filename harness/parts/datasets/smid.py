"""Data set `smid`: See-Motion-in-the-Dark, static videos of short exposures as sRGB arrays, one long exposure each."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_FOLDER = r"^([^/]+)/"
# cchen156/Seeing-Motion-in-the-Dark, DRV/test_list.txt
_TEST = (
    "0007", "0009", "0010", "0012", "0013", "0020", "0036", "0037", "0039", "0047", "0048", "0049", "0050",
    "0051", "0052", "0065", "0066", "0075", "0076", "0078", "0083", "0088", "0091", "0092", "0099", "0103",
    "0104", "0105", "0106", "0107", "0129", "0139", "0145", "0147", "0151", "0153", "0154", "0157", "0166",
    "0167", "0169", "0170", "0172", "0175", "0177", "0180", "0181", "0191", "0196",
)  # fmt: skip


class SMID(Declared):
    """SMID, sRGB (ICCV 2019; arrays of SNR-Net, CVPR 2022): 15,763 training inputs and 49 test scenes.

    Of every test scene the first 30 inputs, 1,470 in all, as SNR-Net scores them; not all, about 5,046, as
    Retinexformer.
    """

    traits = DatasetTraits(
        licence="SMID by Chen, Chen, Do and Koltun, MIT License by its page; arrays by Xu, Wang, Fu and Jia",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="SMID",
            page="https://github.com/dvlab-research/SNR-Aware-Low-Light-Enhance",
            citation="Chen, Chen, Do, Koltun: Seeing Motion in the Dark. ICCV 2019",
            size="20,809 inputs of 202 scenes, arrays",
            layouts=(
                Layout(
                    name="official",
                    of="the arrays of SNR-Net's authors, SMID_LQ_np and SMID_Long_np",
                    splits={
                        "train": Files(
                            lq=("SMID_LQ_np/*/*",),
                            gt=("SMID_Long_np/*/*",),
                            pair=(_FOLDER, _FOLDER),
                            scene=_FOLDER,
                            without=r"half|\.ARW",
                            not_scenes=_TEST,
                            first_gt=True,
                            reader="npy_bgr",
                        ),
                        "test": Files(
                            lq=("SMID_LQ_np/*/*",),
                            gt=("SMID_Long_np/*/*",),
                            pair=(_FOLDER, _FOLDER),
                            scene=_FOLDER,
                            without=r"half|\.ARW",
                            scenes=_TEST,
                            first_gt=True,
                            frames=30,
                            reader="npy_bgr",
                        ),
                    },
                    inside=("SMID",),
                    examples={
                        "train": (
                            ("SMID_LQ_np/0001/0001.npy", "SMID_Long_np/0001/0001.npy"),
                            ("SMID_LQ_np/0001/0002.npy", "SMID_Long_np/0001/0001.npy"),
                            ("SMID_LQ_np/0002/0001.npy", "SMID_Long_np/0002/0001.npy"),
                        ),
                        "test": (
                            ("SMID_LQ_np/0007/0001.npy", "SMID_Long_np/0007/0001.npy"),
                            ("SMID_LQ_np/0007/0002.npy", "SMID_Long_np/0007/0001.npy"),
                            ("SMID_LQ_np/0196/0001.npy", "SMID_Long_np/0196/0001.npy"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(15763, sure=False), "test": Count(1470, sure=False)},
            tasks=("low_light",),
            protocol="rgb_uint8",
            traps=(
                "The 49 test scenes are those of the authors' test_list.txt; their validation scenes are trained on.",
                "All inputs of a scene have one truth, the first file of its long folder whose name has neither .ARW "
                "nor half in it.",
                "SNR-Net scores the first 30 inputs of a test scene, as here; Retinexformer scores all of them, about "
                "5,046: numbers of the two are not to be compared.",
                "Retinexformer resizes both images to 960×512 before it scores them (protocol sid_resized), SNR-Net "
                "scores them as they are stored.",
                "The arrays hold blue, green, red.",
            ),
            resize=(512, 960),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
