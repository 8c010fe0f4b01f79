"""Data set `dfwb`: DIV2K, Flickr2K, WED and BSD400 together, the training set of Gaussian denoising."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared

_OTHERS = (
    r"^DIV2K(?:_train_HR)?/0(?:80[1-9]|8[1-9]\d|900)\.(?i:png)$"
    r"|^BS(?:R|D400)/(?:.*/)?(?:"
    r"101085|101087|103070|105025|106024|108005|108070|108082|109053|119082|12084|123074|126007|130026|134035"
    r"|14037|143090|145086|147091|148026|148089|157055|159008|160068|16077|163085|167062|167083|170057|175032"
    r"|175043|182053|189080|19021|196073|197017|208001|210088|21077|216081|219090|220075|223061|227092|229036"
    r"|236037|24077|241004|241048|253027|253055|260058|271035|285079|291000|295087|296007|296059|299086|300091"
    r"|302008|304034|304074|306005|3096|33039|351093"
    r")\.[a-z]+$"
)
"""Names of validation images: 0801 to 0900 of DIV2K, and CBSD68 of BSD500, as in the data sets `div2k` and `bsd400`."""


class DFWB(Declared):
    """DFWB: 8,594 clean training photographs, those of DIV2K, Flickr2K, WED and BSD400."""

    traits = DatasetTraits(
        licence="DIV2K, Flickr2K, Waterloo Exploration Database and Berkeley Segmentation Dataset; see their pages "
        "for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="DFWB",
            page="https://github.com/swz30/Restormer/tree/main/Denoising",
            citation="Zhang, Li, Zuo, Zhang, Van Gool, Timofte: Plug-and-Play Image Restoration with Deep Denoiser "
            "Prior. IEEE TPAMI, 2021",
            size="8,594 photographs of four data sets",
            layouts=(
                Layout(
                    name="restormer",
                    of="the four folders of Restormer's download, which it cuts into patches",
                    splits={"train": Files(gt=("DIV2K/*", "Flickr2K/*", "WaterlooED/*", "BSD400/*"), without=_OTHERS)},
                    inside=("Downloads", "Datasets/Downloads", "Denoising/Datasets/Downloads", "trainsets"),
                    examples={
                        "train": (
                            ("Downloads/DIV2K/0001.png",),
                            ("Downloads/DIV2K/0800.png",),
                            ("Downloads/Flickr2K/000001.png",),
                            ("Downloads/WaterlooED/00001.bmp",),
                            ("Downloads/BSD400/2092.jpg",),
                            ("Downloads/BSD400/100099.jpg",),
                        )
                    },
                ),
                Layout(
                    name="official",
                    of="the archives of the four data sets, unpacked into one folder",
                    splits={
                        "train": Files(
                            gt=(
                                "DIV2K_train_HR/*.png",
                                "Flickr2K/Flickr2K_HR/*.png",
                                "exploration_database_and_code/pristine_images/*.bmp",
                                "BSR/BSDS500/data/images/train/*.jpg",
                                "BSR/BSDS500/data/images/test/*.jpg",
                            ),
                            without=_OTHERS,
                        )
                    },
                    examples={
                        "train": (
                            ("DIV2K_train_HR/0001.png",),
                            ("Flickr2K/Flickr2K_HR/000001.png",),
                            ("exploration_database_and_code/pristine_images/00001.bmp",),
                            ("BSR/BSDS500/data/images/train/2092.jpg",),
                            ("BSR/BSDS500/data/images/test/100099.jpg",),
                        )
                    },
                ),
            ),
            counts={"train": Count(8594)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "BSD400 is the training and the test images of BSD500: with its validation images a network would "
                "train on CBSD68.",
                "The photographs have all sizes: Restormer cuts those whose two sides are longer than 800 into crops"
                " of 512 that "
                "overlap by 96, and keeps the others whole.",
                "One of the four folders may be missing and all the rest be right: the number of images says so.",
            ),
            shared=(
                Shared(split="train", other="div2k", other_split="train", why="it is a part of DFWB"),
                Shared(split="train", other="flickr2k", other_split="train", why="it is a part of DFWB"),
                Shared(split="train", other="wed", other_split="train", why="it is a part of DFWB"),
                Shared(split="train", other="bsd400", other_split="train", why="it is a part of DFWB"),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
