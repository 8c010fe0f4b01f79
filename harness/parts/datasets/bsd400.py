"""Data set `bsd400`: BSD400, the training and the test images of BSD500."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Shared, Source
from harness.parts.shared.declared.base import Declared

_CBSD68 = (
    r"(?:^|/)(?:"
    r"101085|101087|103070|105025|106024|108005|108070|108082|109053|119082|12084|123074|126007|130026|134035"
    r"|14037|143090|145086|147091|148026|148089|157055|159008|160068|16077|163085|167062|167083|170057|175032"
    r"|175043|182053|189080|19021|196073|197017|208001|210088|21077|216081|219090|220075|223061|227092|229036"
    r"|236037|24077|241004|241048|253027|253055|260058|271035|285079|291000|295087|296007|296059|299086|300091"
    r"|302008|304034|304074|306005|3096|33039|351093"
    r")\.[a-z]+$"
)
"""The names of images of CBSD68, as cszn/IRCNN, testsets/CBSD68, lists 67 of them."""


class BSD400(Declared):
    """BSD400: 400 training photographs of BSD500, its training and test images; the other 100 are its split val."""

    traits = DatasetTraits(
        licence="Berkeley Segmentation Dataset by Arbelaez, Maire, Fowlkes and Malik; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="BSD400",
            page="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
            citation="Arbelaez, Maire, Fowlkes, Malik: Contour Detection and Hierarchical Image Segmentation. IEEE "
            "TPAMI, 2011",
            size="500 photographs of 481×321, 400 of training",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archive BSR_bsds500",
                    splits={
                        "train": Files(
                            gt=("BSDS500/data/images/train/*.jpg", "BSDS500/data/images/test/*.jpg"), without=_CBSD68
                        ),
                        "val": Files(gt=("BSDS500/data/images/val/*.jpg",)),
                    },
                    inside=("BSR",),
                    examples={
                        "train": (
                            ("BSR/BSDS500/data/images/train/12074.jpg",),
                            ("BSR/BSDS500/data/images/train/2092.jpg",),
                            ("BSR/BSDS500/data/images/test/100099.jpg",),
                        ),
                        "val": (
                            ("BSR/BSDS500/data/images/val/101085.jpg",),
                            ("BSR/BSDS500/data/images/val/3096.jpg",),
                        ),
                    },
                ),
                Layout(
                    name="restormer",
                    of="the folder of Restormer's download, which PromptIR and AirNet use as well",
                    splits={"train": Files(gt=("BSD400/*",), without=_CBSD68)},
                    inside=(
                        "Downloads",
                        "Datasets/Downloads",
                        "Denoising/Datasets/Downloads",
                        "trainsets",
                        "Denoise",
                        "Train/Denoise",
                    ),
                    examples={
                        "train": (
                            ("Downloads/BSD400/12074.jpg",),
                            ("Downloads/BSD400/2092.jpg",),
                            ("Downloads/BSD400/100099.jpg",),
                        )
                    },
                ),
            ),
            counts={"train": Count(400), "val": Count(100)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "CBSD68 and BSD68 are of the 100 validation images: never train on these. Files with the names of "
                "CBSD68 are left "
                "out of the training images, and their number then says that the copy is another one.",
                "DnCNN's Train400 is also called BSD400: 400 gray images of 180×180, cut out of photographs, which "
                "are no "
                "replacement for these.",
            ),
            shared=(
                Shared(
                    split="val",
                    other="cbsd68",
                    other_split="test",
                    why="CBSD68 is of the 100 photographs of BSD500 that BSD400 leaves out",
                ),
                Shared(
                    split="val",
                    other="bsd68",
                    other_split="test",
                    why="BSD68 is of the 100 photographs of BSD500 that BSD400 leaves out",
                ),
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
