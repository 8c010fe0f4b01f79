"""The Protocols that parts fulfil. A part is a class in one file and one catalogue line.

Shape letters: B batch, C channels, H height, W width, D prior width. Images are RGB floats in [0, 1] unless said.
Positional constructor parameters are given by the harness, keyword-only ones are the suite's options
(harness/core/signature.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from harness.api.reference import PartRef

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class WeightFile:
    """A file of weights that a part needs and this package may not ship.

    A part that needs any has `@staticmethod def weights(*, <its options>) -> tuple[WeightFile, ...]` in a module that
    imports no torch at its top, so that planning can ask. A path that does not exist blocks the cell.
    """

    name: str
    path: str
    fetch: str
    """The command that gets it, ready to paste."""
    sha256: str | None = None
    """Known digest; None for a user's own file, which is hashed where it lies."""


# --- data -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceImage:
    """One clean image of a data set: `key` unique in the split, `scene` shared by images that must not be parted."""

    key: str
    scene: str
    pixels: np.ndarray
    """H×W×3 uint8 RGB."""


class Dataset(Protocol):
    """Named train and test splits. Torch-free, so that planning can ask for the fingerprint.

    Constructor: keyword-only options. Raises DataError with what to do when its files are missing or differ.
    """

    licence: str

    def splits(self) -> Sequence[str]: ...

    def fingerprint(self) -> str:
        """Digest of the content of all splits, cheap enough for planning; never depends on where files lie."""

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) of every image of a split, in a fixed order, without decoding any."""

    def images(self, split: str) -> Iterator[SourceImage]: ...


class Degradation(Protocol):
    """Turns a clean image into a degraded one. Constructor: keyword-only options."""

    quantised: bool
    """Whether results are 8-bit images (a camera's file) or unclipped floats (the denoising convention)."""

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to the same shape; randomness only from `random`."""


# --- tasks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluationProtocol:
    """How restored images are judged. Hashed into every evaluation; two protocols never share a table column."""

    name: str
    version: int
    colour: Literal["rgb", "y", "gray"] = "rgb"
    """`y`: BT.601 limited range, as MATLAB's rgb2ycbcr."""
    rounding: Literal["uint8", "none"] = "uint8"
    """`uint8`: clip to [0, 1] and round to 8 bits before scoring; `none`: clip only."""
    border: int = 0
    """Pixels cut from every side before scoring."""
    ssim: Literal["rgb2d", "rgb3d", "y"] = "rgb2d"
    """`rgb2d`: mean of three 2-D maps; `rgb3d`: one volumetric filter over the channels; `y`: luma only."""


@dataclass(frozen=True)
class Task:
    """What is solved and how it is judged."""

    name: str
    degradation: PartRef | None
    """None when the data set brings its own degraded images."""
    protocol: EvaluationProtocol


class Metric(Protocol):
    """One number for an image. Constructor: (protocol,) given by the harness, then keyword-only options."""

    name: str
    higher_is_better: bool
    unit: str
    decimals: int

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255], already cut, clipped and rounded as the protocol says. May be inf (PSNR)."""


# --- networks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Capabilities:
    """What a backbone can do, as data: read by padding, tiling, assembly, tables and contract tests."""

    channels_in: int = 3
    channels_out: int = 3
    size_multiple: int = 1
    """Height and width must be multiples of this; the harness pads by reflection and cuts back."""
    min_size: int = 1
    tile: int | None = None
    """Side of tiles for inference where whole images do not fit; None: whole images only.

    Tiles are sound where a pixel depends on its surroundings alone. What looks at the whole image (global means,
    attention over all positions or between channels) gives other results in tiles.
    """
    stages: int = 1
    """Restorations that one pass gives, all of which image losses look at (`stages` in `outputs`)."""
    taps: tuple[str, ...] = ()
    """Module names whose outputs (B×C×h×w) a refiner or the `restoration` prior may read, deepest last."""
    decoder: tuple[str, ...] = ()
    """Module names of decoder features (B×C×h×w), coarse to fine, that a refiner may edit."""
    half: tuple[Literal["bfloat16", "float16"], ...] = ()
    """Numbers under which autocast gives nearly what float32 gives."""
    compiles: bool = False
    """Whether `torch.compile` takes the network as one graph."""
    exports: bool = False
    """Whether `torch.export` takes the network, for images of one size."""
    licence: str = ""
    """Of the code here; where the authors' weights are under another one, `bench weights list` says which."""
    paper: str = ""
    verified: bool = False
    """Held to sampled outputs of the authors' network by a golden in the tests."""
    reimplemented: bool = False
    """Written from the published description alone, with no official network to compare with; tables say so."""


class Backbone(Protocol):
    """A target restoration network F; an nn.Module. Constructor: keyword-only options.

    Optional, for networks that are trained by more than their result:

    - `outputs(lq_BCHW) -> dict[str, Any]`, called in training in place of `__call__`: `restored` is what that gives,
      `stages` (if there) the restorations over which image losses are summed, the final one first, and whatever else
      the network's own losses read.
    - the class attribute `losses`, ((loss, weight, {option: value}), …): its own, used when a suite names no losses;
    - the class attribute `stages`, ((share of the steps, (module, …), losses), …): parts of the training one after the
      other, in each of which only the modules named learn, by losses of their own. A refiner learns in the last;
    - the class attribute `reimplemented` True for one that was written from a description alone: tables say so.

    The harness reads these attributes from the source, so they are literals.
    """

    capabilities: Capabilities

    def __call__(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded batch to the initial restoration Î, same size, not clamped."""


class Refiner(Protocol):
    """A module R that improves F; an nn.Module.

    Constructor: (prior_dim,) given by the harness unless the class attribute `needs_prior` is False, then keyword-only
    options. The class attribute `placements` says where it can sit, on the `image` alone when left out; `losses` names
    losses that are added to the recipe's on the final restoration. `outputs`, with the arguments of `__call__`, is
    called in training in its place, where it is there (see `Backbone`).

    On `features` the constructor is also given the channels of the backbone's deepest tap, and
    `edit(features_BChw, prior_BD)` gives that map refined, in the same shape. With the class attribute `edits_decoder`
    True it is given the channels of every decoder feature instead (a tuple, coarse to fine), and
    `edits(lq_BCHW, prior_BD, truth_BCHW) -> (one function of a map for each, what its losses read)`. The truth is None
    but in training of a refiner whose attribute `reads_truth` is True.
    """

    size_multiple: int

    def __call__(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor | None) -> Tensor:
        """Refined restoration Ī, same size, not clamped."""


@runtime_checkable
class Prior(Protocol):
    """A frozen extractor G: one vector an image. May be an nn.Module.

    Constructor: keyword-only options; an option annotated `CellRef` makes the harness train that cell first and give
    its network as the positional `network`.
    """

    dim: int

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, RGB (clamped to [0, 1] inside where the network wants it), to B×D float32, L2-normalised.

        Runs on the images' device. Row b depends on image b alone.
        """


@runtime_checkable
class DerivedPrior(Protocol):
    """A control: vectors made from another prior's rows, or from nothing but keys.

    Constructor: keyword-only options; an option `of` annotated `PriorRef` names the prior whose rows it gets.
    """

    def derive(
        self,
        rows_ND: np.ndarray | None,
        train_rows_MD: np.ndarray | None,
        keys: Sequence[str],
        images: Sequence[str],
    ) -> np.ndarray:
        """Rows for N samples. `keys` names every sample (and orientation), `images` the source image of each.

        Images of one scene are named alike, so that none passes for another image.
        """


Reads = Literal["pair", "unpaired", "degraded"]
"""What a loss reads beside the degraded images: their clean ones, clean images of other scenes, or nothing."""


class Loss(Protocol):
    """A training loss; an nn.Module. Constructor: keyword-only options.

    The attribute `reduction` is "sum" where it adds over images and "mean" (or not there) where it averages. A loss
    that looks at more than an image and its truth has `of(view)` in place of `__call__`, and the attribute `reads`. A
    loss that learns (an adversary) is an `Adversary`.
    """

    def __call__(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar."""


@runtime_checkable
class ViewLoss(Protocol):
    """A loss that looks at a `View`."""

    reads: Reads

    def of(self, view: View) -> Tensor:
        """A scalar."""


@runtime_checkable
class Adversary(ViewLoss, Protocol):
    """A loss with a network of its own, which is trained beside the model: Adam at `lr` and `betas`.

    `of` is the model's loss; the network's parameters get no gradient from it. `learn` is the network's own loss, on
    the same view without gradients. Its rate falls as the recipe's does.
    """

    lr: float
    betas: tuple[float, float]

    def learn(self, view: View) -> Tensor:
        """A scalar that the network's parameters minimise."""


@dataclass(frozen=True)
class View:
    """What a loss may look at: one restoration of a batch, and what it was made of. Tensors are float32."""

    restored_BCHW: Tensor
    """Î or Ī."""
    lq_BCHW: Tensor
    gt_BCHW: Tensor | None
    """The truth; None where no loss of the recipe reads pairs."""
    clean_BCHW: Tensor | None
    """Clean images of other scenes; None where no loss reads them."""
    made: Mapping[str, Any]
    """What F's and R's `outputs` gave, by name."""
    step: int
    """The optimizer step, from 1."""
    refined: bool
    """Whether this is Ī: terms that concern F alone are then zero, as they are counted with Î."""


@dataclass
class Batch:
    """What the loader gives: float32 images, prior rows or None, sample keys.

    The truth, or clean images of other scenes, are there as far as the losses read them (`Reads`).
    """

    lq_BCHW: Tensor
    gt_BCHW: Tensor | None
    prior_BD: Tensor | None
    keys: list[str]
    clean_BCHW: Tensor | None = None


@dataclass
class Restored:
    """What an assembled model gives: Î = F(I_d), Ī when there is a refiner, and in training what else they made."""

    initial_BCHW: Tensor
    refined_BCHW: Tensor | None = None
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> Tensor:
        return self.initial_BCHW if self.refined_BCHW is None else self.refined_BCHW


# --- running ----------------------------------------------------------------------------------------------------


class Tracker(Protocol):
    """Mirrors records elsewhere. Never the truth, never fatal."""

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        """Those of the cells whose record is not mirrored as it is, as far as is known without asking anybody."""

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        """Mirrors those records; gives the reason for each one that could not be. Idempotent."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended. `failure` is a FailureClass or None; `log` a path to the full traceback and output."""

    job_id: str
    failure: str | None = None
    message: str = ""
    log: str = ""
    seconds: float = 0.0


class Executor(Protocol):
    """Places jobs. Knows nothing of suites or cells."""

    def capacity(self) -> Mapping[str, float]:
        """Total "cpus" and "gpus"."""

    def expect(self, requests: Sequence[Mapping[str, float]]) -> None:
        """The resources of all the jobs that will come, so that workers warm up before they are needed.

        Raises HarnessError when one of them can never be met.
        """

    def submit(self, job_file: str, resources: Mapping[str, float], priority: int = 0) -> Any:
        """Starts a job when its resources are free, the lowest `priority` first; gives a handle at once."""

    def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
        """Jobs that ended, waiting at most `timeout` seconds for the first."""

    def running(self) -> Sequence[Any]:
        """Handles of the jobs that have started and not ended."""

    def stop(self) -> None:
        """Ends all work at once; whatever ran resumes from its checkpoint next time."""
