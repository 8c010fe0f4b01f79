"""Data set `flickr2k`: Flickr2K, 2,650 photographs of 2K resolution."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class Flickr2K(Declared):
    """Flickr2K (CVPR workshops 2017): 2,650 training photographs of 2K resolution, without degraded ones."""

    traits = DatasetTraits(
        licence="Flickr2K, photographs of Flickr gathered by Lim, Son, Kim, Nah and Lee; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="Flickr2K",
            page="https://github.com/LimBee/NTIRE2017",
            citation="Lim, Son, Kim, Nah, Lee: Enhanced Deep Residual Networks for Single Image Super-Resolution. "
            "CVPR Workshops 2017",
            size="2,650 photographs",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archive Flickr2K.tar",
                    splits={"train": Files(gt=("Flickr2K_HR/*.png",))},
                    inside=("Flickr2K", "data/Flickr2K", "datasets/Flickr2K"),
                    examples={
                        "train": (
                            ("Flickr2K/Flickr2K_HR/000001.png",),
                            ("Flickr2K/Flickr2K_HR/000002.png",),
                            ("Flickr2K/Flickr2K_HR/002650.png",),
                        )
                    },
                ),
                Layout(
                    name="restormer",
                    of="the folder of Restormer's download, which it cuts into patches",
                    splits={"train": Files(gt=("Flickr2K/*",))},
                    inside=("Downloads", "Datasets/Downloads", "Denoising/Datasets/Downloads", "trainsets"),
                    examples={
                        "train": (
                            ("Downloads/Flickr2K/000001.png",),
                            ("Downloads/Flickr2K/000002.png",),
                            ("Downloads/Flickr2K/002650.png",),
                        )
                    },
                ),
            ),
            counts={"train": Count(2650)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=("The archive also has the folder Flickr2K_LR_bicubic, of small copies: only Flickr2K_HR is read.",),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
