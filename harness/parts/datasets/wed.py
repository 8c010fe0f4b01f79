"""Data set `wed`: the Waterloo Exploration Database, 4,744 clean photographs."""

from __future__ import annotations

from harness.api.dataset import DatasetTraits
from harness.api.reference import LocalFile
from harness.api.source import Count, Files, Layout, Source
from harness.parts.shared.declared.base import Declared


class WED(Declared):
    """Waterloo Exploration Database (TIP 2017): 4,744 clean training photographs, without degraded ones."""

    traits = DatasetTraits(
        licence="Waterloo Exploration Database by Ma, Duanmu, Wu, Wang, Yong, Li and Zhang; see its page for the terms",
        pairs=False,
        random_access=True,
        skips=True,
        source=Source(
            title="WED",
            page="https://ece.uwaterloo.ca/~k29ma/exploration/",
            citation="Ma, Duanmu, Wu, Wang, Yong, Li, Zhang: Waterloo Exploration Database: New Challenges for Image"
            " Quality Assessment Models. IEEE TIP, 2017",
            size="4,744 photographs",
            layouts=(
                Layout(
                    name="official",
                    of="the authors' archive exploration_database_and_code",
                    splits={"train": Files(gt=("pristine_images/*.bmp",))},
                    inside=("exploration_database_and_code",),
                    examples={
                        "train": (
                            ("exploration_database_and_code/pristine_images/00001.bmp",),
                            ("exploration_database_and_code/pristine_images/00002.bmp",),
                            ("exploration_database_and_code/pristine_images/04744.bmp",),
                        )
                    },
                ),
                Layout(
                    name="restormer",
                    of="the folder of Restormer's download, which PromptIR and AirNet use as well",
                    splits={"train": Files(gt=("WaterlooED/*",))},
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
                            ("Downloads/WaterlooED/00001.bmp",),
                            ("Downloads/WaterlooED/00002.bmp",),
                            ("Downloads/WaterlooED/04744.bmp",),
                        )
                    },
                ),
            ),
            counts={"train": Count(4744)},
            tasks=("gaussian_denoise",),
            protocol="noise_seed0",
            traps=(
                "The archive also has the distorted images that were made of the clean ones: only pristine_images is"
                " read.",
            ),
        ),
    )

    def __init__(self, *, root: LocalFile | None = None) -> None:
        super().__init__(root)
