"""Data set `realblur_j`: RealBlur-J, pairs of a long and a short exposure, as the camera's JPEG."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared

_SCENE = r"^(scene\d+)"
_BLUR = r"^([^/]+)/blur_(\d+)\."
_SHARP = r"^([^/]+)/gt_(\d+)\."
_NUMBER = r"^(.*?)(?:blur_|gt_)?(\d+)\.[^.]*$"
# RealBlur_J_test_list.txt of the authors, in rimchang/RSBlur, datalist; the two sets show the same scenes
_TEST = (
    "scene002", "scene006", "scene011", "scene015", "scene017", "scene024", "scene044", "scene047", "scene050",
    "scene056", "scene059", "scene071", "scene075", "scene085", "scene094", "scene097", "scene100", "scene101",
    "scene103", "scene105", "scene107", "scene108", "scene112", "scene118", "scene120", "scene122", "scene125",
    "scene129", "scene130", "scene141", "scene142", "scene149", "scene155", "scene159", "scene162", "scene173",
    "scene176", "scene188", "scene194", "scene204", "scene205", "scene206", "scene207", "scene208", "scene209",
    "scene218", "scene223", "scene230", "scene232", "scene234",
)  # fmt: skip


class RealBlurJ(Declared):
    """RealBlur-J (ECCV 2020): 3,758 training and 980 test pairs of camera shake in the dark."""

    traits = DatasetTraits(
        licence="RealBlur by Rim, Lee, Won and Cho, CC BY 4.0",
        pairs=True,
        random_access=True,
        skips=True,
        source=Source(
            title="RealBlur-J",
            page="https://github.com/rimchang/RealBlur",
            citation="Rim, Lee, Won, Cho: Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms. "
            "ECCV 2020",
            size="4,738 pairs of about 680×773, of which 980 are the test set",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' RealBlur archive",
                    splits={
                        "train": Files(
                            lq=("RealBlur-J_ECC_IMCORR_centroid_itensity_ref/*/blur/*.png",),
                            gt=("RealBlur-J_ECC_IMCORR_centroid_itensity_ref/*/gt/*.png",),
                            pair=(_BLUR, _SHARP),
                            scene=_SCENE,
                            not_scenes=_TEST,
                        ),
                        "test": Files(
                            lq=("RealBlur-J_ECC_IMCORR_centroid_itensity_ref/*/blur/*.png",),
                            gt=("RealBlur-J_ECC_IMCORR_centroid_itensity_ref/*/gt/*.png",),
                            pair=(_BLUR, _SHARP),
                            scene=_SCENE,
                            without=r"_1\.[^.]*$",
                            scenes=_TEST,
                        ),
                    },
                    inside=("RealBlur",),
                    examples={
                        "train": (
                            (
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene226/blur/blur_1.png",
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene226/gt/gt_1.png",
                            ),
                            (
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene084/blur/blur_10.png",
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene084/gt/gt_10.png",
                            ),
                            (
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene115/blur/blur_2.png",
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene115/gt/gt_2.png",
                            ),
                        ),
                        "test": (
                            (
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene050/blur/blur_2.png",
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene050/gt/gt_2.png",
                            ),
                            (
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene050/blur/blur_10.png",
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene050/gt/gt_10.png",
                            ),
                            (
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene230/blur/blur_7.png",
                                "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene230/gt/gt_7.png",
                            ),
                        ),
                    },
                ),
                Layout(
                    name="mprnet",
                    of="the test set that MPRNet links",
                    splits={
                        "test": Files(
                            lq=("test/input/*",), gt=("test/target/*",), pair=(_NUMBER, _NUMBER), without="GOPR"
                        ),
                    },
                    inside=("RealBlur_J",),
                    examples={
                        "test": (
                            ("test/input/scene050_blur_2.png", "test/target/scene050_blur_2.png"),
                            ("test/input/scene230_blur_10.png", "test/target/scene230_gt_10.png"),
                        ),
                    },
                ),
                Layout(
                    name="restormer",
                    of="the test set that Restormer links, beside others",
                    splits={
                        "test": Files(
                            lq=("test/RealBlur_J/input/*",), gt=("test/RealBlur_J/target/*",), pair=(_NUMBER, _NUMBER)
                        ),
                    },
                    inside=("Datasets",),
                    examples={
                        "test": (
                            ("test/RealBlur_J/input/scene050_blur_2.png", "test/RealBlur_J/target/scene050_blur_2.png"),
                            ("test/RealBlur_J/input/scene230_blur_10.png", "test/RealBlur_J/target/scene230_gt_10.png"),
                        ),
                    },
                ),
                Layout(
                    name="mmagic",
                    of="the folders that mmagic asks for",
                    splits={
                        "test": Files(lq=("input/*",), gt=("target/*",), pair=(_NUMBER, _NUMBER), without="GOPR"),
                    },
                    inside=("RealBlur_J",),
                    examples={
                        "test": (
                            ("input/scene050_blur_2.png", "target/scene050_blur_2.png"),
                            ("input/scene230_blur_10.png", "target/scene230_gt_10.png"),
                        ),
                    },
                ),
            ),
            counts={"train": Count(3758, sure=False), "test": Count(980)},
            folders=("RealBlur_J", "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"),
            siblings={
                "gopro": ("GoPro", "GOPRO_Large"),
                "hide": ("HIDE", "HIDE_dataset"),
                "realblur_r": ("RealBlur_R", "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"),
            },
            tasks=("motion_blur",),
            protocol="realblur_aligned",
            traps=(
                "The two images of a pair are not aligned to the pixel: the field scales the output in intensity and "
                "warps it onto the truth before it scores it; without that, PSNR reads lower by far.",
                "Networks that were trained on GoPro and on RealBlur differ by decibels here: a table must say which "
                "it is.",
                "The authors' test list has no pair number 1 of any scene, and their training list has.",
                "Sorting names puts blur_10 before blur_2: pairs are made by scene and number.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
