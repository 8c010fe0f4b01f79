"""What low-light and deblurring sets of the field hold in every layout's examples, written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.unit.parts.datasets.scene_tree import Pairs

NAMES = (
    "lol_v2_real", "lol_v2_syn", "sid", "smid", "sdsd_indoor", "sdsd_outdoor", "hide", "realblur_j", "realblur_r",
    "ebdb", "jnb",
)  # fmt: skip

REAL, SYN, INPUT = "Real_captured", "Synthetic", ("input", "target")
SHORT, LONG, LQ, TRUE = "short_sid2", "long_sid2", "SMID_LQ_np", "SMID_Long_np"
J = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
R = "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"


def _alone(prefix: str, folders: tuple[str, str], names: Iterable[str], scenes: str = "") -> Pairs:
    """Pairs of one name in two folders, each a scene."""
    lq, gt = folders
    return {
        Path(name).stem: (scenes + Path(name).stem, f"{prefix}{lq}/{name}", f"{prefix}{gt}/{name}") for name in names
    }


def _scenes(folder: str, *frames: str) -> Pairs:
    return {
        frame: (frame.split("/")[0].removesuffix("_2"), f"{folder}/input/{frame}.npy", f"{folder}/GT/{frame}.npy")
        for frame in frames
    }


def _shake(folder: str, *shots: tuple[str, int]) -> Pairs:
    return {
        f"{scene}/blur_{number}": (
            scene,
            f"{folder}/{scene}/blur/blur_{number}.png",
            f"{folder}/{scene}/gt/gt_{number}.png",
        )
        for scene, number in shots
    }


def _prepared(prefix: str) -> Pairs:
    return {
        "scene050_blur_2": (
            "scene050_blur_2",
            f"{prefix}input/scene050_blur_2.png",
            f"{prefix}target/scene050_blur_2.png",
        ),
        "scene230_blur_10": (
            "scene230_gt_10",
            f"{prefix}input/scene230_blur_10.png",
            f"{prefix}target/scene230_gt_10.png",
        ),
    }


def _real_blur(name: str, folder: str) -> dict[tuple[str, str], dict[str, Pairs]]:
    title = "RealBlur_J" if name == "realblur_j" else "RealBlur_R"
    return {
        (name, "official"): {
            "train": _shake(folder, ("scene084", 10), ("scene115", 2), ("scene226", 1)),
            "test": _shake(folder, ("scene050", 2), ("scene050", 10), ("scene230", 7)),
        },
        (name, "mprnet"): {"test": _prepared("test/")},
        (name, "restormer"): {"test": _prepared(f"test/{title}/")},
        (name, "mmagic"): {"test": _prepared("")},
    }


def _no_truth(prefix: str, *names: str) -> Pairs:
    return {Path(name).stem: (Path(name).stem, prefix + name, None) for name in names}


EXPECTED: dict[tuple[str, str], dict[str, Pairs]] = {
    ("lol_v2_real", "official"): {
        "train": {
            "low00001": ("normal00001", f"{REAL}/Train/Low/low00001.png", f"{REAL}/Train/Normal/normal00001.png"),
            "low00002": ("normal00002", f"{REAL}/Train/Low/low00002.png", f"{REAL}/Train/Normal/normal00002.png"),
            "00003": ("00003", f"{REAL}/Train/Low/00003.png", f"{REAL}/Train/Normal/00003.png"),
        },
        "test": {
            "low00690": ("test/normal00690", f"{REAL}/Test/Low/low00690.png", f"{REAL}/Test/Normal/normal00690.png"),
            "00691": ("test/00691", f"{REAL}/Test/Low/00691.png", f"{REAL}/Test/Normal/00691.png"),
        },
    },
    ("lol_v2_syn", "official"): {
        "train": _alone(f"{SYN}/Train/", ("Low", "Normal"), ["r000da54ft.png", "r028896d3t.png", "r02e1abe2t.png"]),
        "test": _alone(f"{SYN}/Test/", ("Low", "Normal"), ["r00816405t.png", "r02189767t.png"], "test/"),
    },
    ("sid", "official"): {
        "train": {
            "00001/00001_00_0.04s": ("00001", f"{SHORT}/00001/00001_00_0.04s.npy", f"{LONG}/00001/00001_00_10s.npy"),
            "00001/00001_00_0.1s": ("00001", f"{SHORT}/00001/00001_00_0.1s.npy", f"{LONG}/00001/00001_00_10s.npy"),
            "20188/20188_00_0.033s": ("20188", f"{SHORT}/20188/20188_00_0.033s.npy", f"{LONG}/20188/20188_00_10s.npy"),
        },
        "test": {
            "10003/10003_00_0.04s": ("10003", f"{SHORT}/10003/10003_00_0.04s.npy", f"{LONG}/10003/10003_00_10s.npy"),
            "10003/10003_01_0.1s": ("10003", f"{SHORT}/10003/10003_01_0.1s.npy", f"{LONG}/10003/10003_00_10s.npy"),
        },
    },
    ("smid", "official"): {
        "train": {
            "0001/0001": ("0001", f"{LQ}/0001/0001.npy", f"{TRUE}/0001/0001.npy"),
            "0001/0002": ("0001", f"{LQ}/0001/0002.npy", f"{TRUE}/0001/0001.npy"),
            "0002/0001": ("0002", f"{LQ}/0002/0001.npy", f"{TRUE}/0002/0001.npy"),
        },
        "test": {
            "0007/0001": ("0007", f"{LQ}/0007/0001.npy", f"{TRUE}/0007/0001.npy"),
            "0007/0002": ("0007", f"{LQ}/0007/0002.npy", f"{TRUE}/0007/0001.npy"),
            "0196/0001": ("0196", f"{LQ}/0196/0001.npy", f"{TRUE}/0196/0001.npy"),
        },
    },
    ("sdsd_indoor", "official"): {
        "train": _scenes("indoor_static_np", "pair2/0001", "pair2/0002", "pair2/0003"),
        "test": _scenes("indoor_static_np", "pair1/0001", "pair11_2/0001", "pair21/0001"),
    },
    ("sdsd_outdoor", "official"): {
        "train": _scenes("outdoor_static_np", "MVI_0918/0001", "MVI_0918/0002", "MVI_0918/0003"),
        "test": _scenes("outdoor_static_np", "MVI_0898/0001", "MVI_0906_2/0001", "MVI_1032/0001"),
    },
    ("hide", "official"): {
        "train": _alone(
            "", ("train", "GT"), ["166fromGOPR0955.png", "1fromGOPR1037.MP4.png", "22fromGOPR1040.MP4.png"]
        ),
        "test": {
            f"{folder}/{name}": (f"test/{name}", f"test/{folder}/{name}.png", f"GT/{name}.png")
            for folder, name in (
                ("test-close-ups", "1fromGOPR0950"),
                ("test-close-ups", "109fromGOPR1096.MP4"),
                ("test-long-shot", "110fromGOPR1087.MP4"),
            )
        },
    },
    ("hide", "official_test"): {
        "test": {
            f"{folder}/{name}": (name, f"test/{folder}/{name}.png", f"GT/{name}.png")
            for folder, name in (("test-close-ups", "1fromGOPR0950"), ("test-long-shot", "110fromGOPR1087.MP4"))
        },
    },
    ("hide", "mprnet"): {"test": _alone("test/", INPUT, ["1fromGOPR0950.png", "109fromGOPR1096.MP4.png"])},
    ("hide", "restormer"): {"test": _alone("test/HIDE/", INPUT, ["1fromGOPR0950.png", "110fromGOPR1087.MP4.png"])},
    ("hide", "mmagic"): {"test": _alone("", INPUT, ["1fromGOPR0950.png", "1fromGOPR1096.MP4.png"])},
    **_real_blur("realblur_j", J),
    **_real_blur("realblur_r", R),
    ("ebdb", "official"): {
        "test": {
            key: (key, f"{key}.png", None) for key in ("poetry-tip2018/image_01", "poetry-tip2018/image_05", "image_22")
        }
    },
    ("ebdb", "folder"): {"test": _no_truth("", "1.png", "2.png", "10.jpg")},
    ("ebdb", "input"): {"test": _no_truth("input/", "image_01.png", "image_05.png", "image_22.png")},
    ("jnb", "folder"): {"test": _no_truth("", "1.png", "2.png", "10.jpg")},
    ("jnb", "input"): {"test": _no_truth("input/", "1.png", "2.png", "10.jpg")},
}
"""Of every data set and layout what each split holds, written by hand."""
