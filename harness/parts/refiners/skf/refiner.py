"""SKF as a refiner: its options, and the file that it needs. The network is in `guidance.py` beside it."""

from __future__ import annotations

from typing import Literal

from harness.api.ranges import Count
from harness.api.reference import LocalFile
from harness.api.refiner import RefinerTraits
from harness.api.traits import FromOption, LossUse, OwnFile, Published, When
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

    In evaluation it never sees the truth. The losses' classes are another matter: those of the histogram are the
    truth's, as the truth is what a loss may know.

    `passes`: with 2, as the authors test (SNR_SKF/test.py), F restores every image twice: first with the semantics of
    the degraded image, then, from the same degraded image, with those of the first result, not clamped. With
    `semantics: input` training does the same, and no gradient reaches the first pass. With `semantics: truth` training
    has one pass, as theirs (SNR_SKF/train.py): the truth's semantics are better than a first result's. With 1 the
    degraded image's semantics are all there is. A second pass doubles the time of a restoration.

    `guidance`: the image's `own` semantics, or a control that has the same parameters and knows nothing of the image:

    - `shuffled`: another image's semantics. One of eight images of the training takes the place of the image that the
      segmentation network sees, chosen by the degraded image's content (harness.parts.shared.guidance). Where training
      reads the truth these are clean ones.
    - `random`: noise, drawn evenly from [0, 1), in the place of features; the degraded image's content is its seed.

    In training and in use it is the same; a second pass has the next of the eight images, or other noise. The losses
    know the image's own classes in any case.

    Where a cell uses this refiner, F's decoder is no longer as it was: an embedding puts normalised features in the
    place of the decoder's. So F has to be trained along (regimes `joint`, `from_base`).

    `channels`: widths of the decoder features, coarse to fine. Raises MissingWeights without the file, DataError (kind
    `weights`) when it is damaged or holds another network, HarnessError when the heads do not divide a width.
    """

    traits = RefinerTraits(
        version=2,
        placements=("features",),
        edits="decoder",
        needs_prior=False,
        reads_truth=When("semantics", "truth"),
        control=When("guidance", ("shuffled", "random")),
        passes=FromOption("passes"),
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
        passes: Literal[1, 2] = 2,
        guidance: Literal["own", "shuffled", "random"] = "own",
        heads: Count = 2,
    ) -> None:
        options = {
            "checkpoint": checkpoint,
            "semantics": semantics,
            "passes": passes,
            "guidance": guidance,
            "heads": heads,
        }
        (file,) = ready_files(SKF.traits, options, "refiner skf")
        super().__init__(channels, read_hrnet(file), semantics=semantics, heads=heads, guidance=guidance)
