"""Backbones: target restoration networks F."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.api.traits import LossUse, StageUse, Traits, When, check_stages

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BackboneTraits(Traits):
    """What a backbone declares, whatever its options."""

    losses: tuple[LossUse, ...] = ()
    """Its own losses, used when a suite names none."""
    stages: tuple[StageUse, ...] = ()
    """Stages of its training, used when a suite names neither losses nor stages. A refiner trains in the last."""
    taps: bool = False
    """Whether it has feature maps that a refiner or the prior `restoration` may read (`Capabilities.taps`)."""
    decoder: bool = False
    """Whether it has decoder features that a refiner may edit (`Capabilities.decoder`)."""
    outputs: bool = False
    """Whether it gives its losses more than its result (`WithOutputs`)."""
    reads_truth: When | None = None
    """When it sees the clean images in training (`WithTruth`); never when None."""
    reads_truth_at_test: When | None = None
    """When it sees the clean images in test, and so in training too: never a fair result, so tables mark its rows."""
    half: tuple[Literal["bfloat16", "float16"], ...] = ()
    """Number formats under which autocast gives nearly what float32 gives."""
    guided: bool = False
    """Whether it is guided by a map that it makes of its whole input, and takes that map as well (`Guided`)."""
    compiles: bool = False
    """Whether `torch.compile` takes the network as one graph, in training with its gradients."""
    exports: bool = False
    """Whether `torch.export` takes the network, for images of one size."""
    from_task: tuple[str, ...] = ()
    """Options that the task has as well, such as the noise level `sigma`. Where a suite leaves one out, it has the
    task's value; another value is refused, except None, which says that the network is not told. On a task without the
    option they are like all others. Where the task's value may be a range, of which each image has a value of its own,
    the option takes ranges, too, and `Capabilities.told` names it then."""
    licence: str = ""
    """Licence of the code in this package. The authors' weights may have another one: see `bench weights list`."""
    paper: str = ""
    verified: bool = False
    """Whether a test compares it with sampled outputs of the authors' network."""
    reimplemented: bool = False
    """Whether it was written from the paper alone, without an official network to compare with; tables say so."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stages(self.stages)
        if self.verified and self.reimplemented:
            raise ValueError("a network is either verified against its authors' or reimplemented without one")


@dataclass(frozen=True)
class Capabilities:
    """What a backbone can do with its options. Padding, tiling, assembly and contract tests read it."""

    channels_in: int = 3
    channels_out: int = 3
    size_multiple: int = 1
    """Height and width must be multiples of this; the harness pads by reflection and cuts back."""
    min_size: int = 1
    tile: int | None = None
    """Side of tiles for inference where whole images do not fit; None: whole images only.

    Tiles are correct only where a pixel depends on its surroundings alone. A network that looks at the whole image
    (global means, attention over all positions or between channels) gives other results in tiles.
    """
    restorations: int = 1
    """Restorations per forward pass. Image losses are summed over all of them (`restorations` in `outputs`)."""
    taps: tuple[str, ...] = ()
    """Module names whose outputs (B×C×h×w) a refiner or the `restoration` prior may read, deepest last."""
    decoder: tuple[str, ...] = ()
    """Module names of decoder features (B×C×h×w), coarse to fine, that a refiner may edit."""
    told: tuple[str, ...] = ()
    """Settings of the task's degradation of which it gets the value of every image (`ToldSettings`)."""
    assumes: tuple[str, ...] = ()
    """Those of `told` that it can do without: it is told None where images have no such value, and assumes its own."""

    def fitting(self, side: int) -> int:
        """The next side, in pixels, that is at least `side` and that the network takes."""
        return -(-max(side, self.min_size) // self.size_multiple) * self.size_multiple


class Backbone(Protocol):
    """A target restoration network F; an nn.Module. Constructor: keyword-only options.

    A network whose traits say `outputs` is `WithOutputs`, too.
    """

    traits: BackboneTraits
    capabilities: Capabilities

    def __call__(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded batch to the initial restoration Î, same size, not clamped.

        In evaluation mode what an image becomes depends on no other image of the batch, and on no random number that is
        drawn then, but for the rounding of another batch size. The same holds for all else that it is asked in test.
        """


class WithTruth(Protocol):
    """A network F that reads the truth, in training alone or in test as well."""

    def __call__(self, lq_BCHW: Tensor, truth_BCHW: Tensor | None = None) -> Tensor:
        """`truth_BCHW`: None where there is none, as when costs are measured. `outputs` takes it likewise."""


class ToldSettings(Protocol):
    """A network F that is told what its degraded images were made with, as the σ of a noise that is drawn.

    Which settings depends on its options: with one σ for all images it may know that value, too, and assume it where
    images have none (`Capabilities.assumes`).
    """

    def __call__(self, lq_BCHW: Tensor, *told_B: Tensor | None) -> Tensor:
        """`told_B`: one value an image and setting, in the order and the units of `Capabilities.told`; after the truth
        of a network that reads it. None where images are made with nothing, as when costs are measured. `outputs` takes
        them likewise.
        """


class Guided(Protocol):
    """A backbone that is guided by a map that it makes of its whole input (`BackboneTraits.guided`).

    `network(lq, …)` is `network.guided(lq, network.guide(lq), …)`. Where a protocol has images resized for the network,
    the map is made of them before, and resized like them.
    """

    def guide(self, lq_BCHW: Tensor) -> Tensor:
        """The map of images, B×K×H×W."""

    def guided(self, lq_BCHW: Tensor, guide_BCHW: Tensor, *given: Tensor | None) -> Tensor:
        """As `__call__`, under a map that is given. What else `__call__` takes follows."""


class WithOutputs(Protocol):
    """A network (backbone or refiner) that gives its losses more than its result."""

    def outputs(self, *given: Tensor | None) -> dict[str, Any]:
        """Called in training in place of `__call__`, with the same arguments.

        `restored` is what `__call__` gives. `restorations`, if present, holds all restorations over which image losses
        are summed, the final one first. Other keys hold whatever the network's own losses read.
        """
