"""SKF as a refiner: its options, and the file that it needs. The network is in `guidance.py` beside it."""

from __future__ import annotations

from typing import Literal

from harness.api.reference import LocalFile
from harness.api.refiner import RefinerTraits
from harness.api.traits import LossUse, OwnFile, Published, When
from harness.parts.refiners.skf.checkpoint import read_hrnet
from harness.parts.refiners.skf.guidance import SemanticGuidance
from harness.weights.files import ready_files


class SKF(SemanticGuidance):
    """Semantic-aware knowledge guidance (CVPR 2023, arXiv 2304.07039): a frozen HRNet guides F's decoder.

    Each decoder feature of F passes a semantic-aware embedding (section 3.2), led by the features of a segmentation
    network. Added to the recipe's losses is the class-wise colour histogram (section 3.3) with the weight that the
    authors use with SNR-Net. It belongs beside a Charbonnier that sums over pixels (`reduction: sum`, `eps: 1e-3`);
    beside one that averages it is some 10⁵ times too strong. The adversarial loss (section 3.4), which they do not use
    with SNR-Net, is the loss `skf_adversarial`, for a recipe to name.

    `checkpoint`: HRNetV2-W48 trained on PASCAL-Context, or any other HRNetV2; without it, the published file, expected
    under `$PRIORBENCH_WEIGHTS` (default `~/.cache/priorbench/weights`). `heads`: attention heads of each embedding.

    `semantics` says which image the segmentation network sees in training, and so what a comparison means:

    - `input`: the degraded one, in training as in use. Fair: nothing is known in training that is not known later.
    - `truth`: the clean one, as the authors train with SNR-Net. The embeddings learn from semantics that are better
      than any they are given later.

    In evaluation it is always the degraded image. The losses' classes are another matter: those of the histogram are
    the truth's, as the truth is what a loss may know.

    Where a cell uses this refiner, F's decoder is no longer as it was: an embedding puts normalised features in the
    place of the decoder's. So F has to be trained along (regimes `joint`, `from_base`).

    `channels`: widths of the decoder features, coarse to fine. Raises MissingWeights without the file, DataError (kind
    `weights`) when it is damaged or holds another network, HarnessError when the heads do not divide a width.
    """

    traits = RefinerTraits(
        placements=("features",),
        edits="decoder",
        needs_prior=False,
        reads_truth=When("semantics", "truth"),
        losses=(LossUse("skf_histogram", 1e4),),
        weights=(
            OwnFile("checkpoint"),
            Published("hrnet/w48-pascal-context", when=(When("checkpoint", None),)),
        ),
    )

    def __init__(
        self,
        channels: tuple[int, ...],
        *,
        checkpoint: LocalFile | None = None,
        semantics: Literal["input", "truth"] = "input",
        heads: int = 2,
    ) -> None:
        options = {"checkpoint": checkpoint, "semantics": semantics, "heads": heads}
        (file,) = ready_files(SKF.traits, options, "refiner skf")
        super().__init__(channels, read_hrnet(file), semantics=semantics, heads=heads)
