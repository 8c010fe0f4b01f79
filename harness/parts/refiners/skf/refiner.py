"""SKF as a refiner: its options and the file that it needs. The network is in `guidance.py` beside it.

This module imports no tensor library at its top, so that planning can ask for the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api.parts import WeightFile
from harness.api.reference import LocalFile, Placement
from harness.core.errors import MissingWeights
from harness.core.hub import weights_folder

if TYPE_CHECKING:
    from harness.parts.refiners.skf.guidance import SemanticGuidance

VERSION = 1

PUBLISHED = "hrnet/w48-pascal-context"
"""As `bench weights list` names the file."""


class SKF:
    """Semantic-aware knowledge guidance (CVPR 2023, arXiv 2304.07039): a frozen HRNet guides F's decoder.

    Each decoder feature of F passes a semantic-aware embedding (section 3.2), led by the features of a segmentation
    network. Added to the recipe's losses is the class-wise colour histogram (section 3.3) with the weight that the
    authors use with SNR-Net. It belongs beside a Charbonnier that sums over pixels (`reduction: sum`, `eps: 1e-3`);
    beside one that averages it is some 10⁵ times too strong. The adversarial loss (section 3.4), which they do not use
    with SNR-Net, is the loss `skf_adversarial`, for a recipe to name.

    `checkpoint`: HRNetV2-W48 trained on PASCAL-Context, or any other HRNetV2; without, the published file, expected
    under `$PRIORBENCH_WEIGHTS` (default `~/.cache/priorbench/weights`). `heads`: attention heads of each embedding.

    `semantics` says which image the segmentation network sees in training, and so what a comparison means:

    - `input`: the degraded one, in training as in use. Fair: nothing is known in training that is not known later.
    - `truth`: the clean one, as the authors train with SNR-Net. The embeddings learn from semantics that are better
      than any they are given later.

    In evaluation it is always the degraded image. The losses' classes are another matter: those of the histogram are
    the truth's, as the truth is what a loss may know.

    Where a cell uses this refiner, F's decoder is no longer as it was: an embedding puts normalised features in the
    place of a decoder's. So F has to be trained along (regimes `joint`, `from_base`).
    """

    placements: ClassVar[tuple[Placement, ...]] = ("features",)
    needs_prior: ClassVar[bool] = False
    edits_decoder: ClassVar[bool] = True
    losses: ClassVar[tuple[tuple[str, float, dict[str, Any]], ...]] = (("skf_histogram", 1e4, {}),)

    # Gives the module itself, as a class of PyTorch's could not be read by planning.
    def __new__(  # type: ignore[misc]
        cls,
        channels: tuple[int, ...],
        *,
        checkpoint: LocalFile | None = None,
        semantics: Literal["input", "truth"] = "input",
        heads: int = 2,
    ) -> SemanticGuidance:
        (file,) = SKF.weights(checkpoint=checkpoint)
        if not Path(file.path).is_file():
            raise MissingWeights(f"weights {file.name} are not on this machine", where=file.path, hint=file.fetch)
        from harness.parts.refiners.skf.checkpoint import read_hrnet
        from harness.parts.refiners.skf.guidance import SemanticGuidance

        return SemanticGuidance(channels, read_hrnet(Path(file.path)), semantics=semantics, heads=heads)

    @staticmethod
    def weights(
        *, checkpoint: LocalFile | None = None, semantics: str = "input", heads: int = 2
    ) -> tuple[WeightFile, ...]:
        """The segmentation network's file. Its digest is not published."""
        if checkpoint is not None:
            path = Path(checkpoint).expanduser().absolute()
            return (WeightFile(path.name, str(path), f"cp YOUR_COPY '{path}'"),)
        path = weights_folder() / f"{PUBLISHED}.safetensors"
        return (WeightFile(PUBLISHED, str(path), f"bench weights fetch {PUBLISHED}"),)
