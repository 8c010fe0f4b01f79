"""What the depth variant of SMG's structure network learns. Torch-free; the network is in `depth.py` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api.parts import Reads, View, WeightFile
from harness.api.reference import LocalFile
from harness.core.errors import MissingWeights
from harness.core.hub import weights_folder

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1

RELEASE = "Intel/dpt-large"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


class SMGDepth:
    """Mean |map − depth of the truth|, as a frozen network for single images sees that depth.

    Depth is relative and inverse (near is large) and stretched to [0, 1] in each image, as neither its scale nor its
    shift is known. `folder`: any network for depth estimation as transformers saves it, with its
    `preprocessor_config.json`; without, DPT-Large of MiDaS 3.0 (R. Ranftl et al., ICCV 2021), expected under
    `$PRIORBENCH_WEIGHTS` (default `~/.cache/priorbench/weights`). Raises MissingWeights when a file is not there,
    HarnessError when they are no such network.
    """

    reads: ClassVar[Reads] = "pair"
    reduction = "mean"

    @staticmethod
    def weights(*, folder: LocalFile | None = None) -> tuple[WeightFile, ...]:
        """The network's description, how images are prepared for it, and its weights."""
        place = Path(folder).expanduser() if folder else weights_folder() / RELEASE.rpartition("/")[2]
        fetch = (
            f"cp -r YOUR_COPY '{place}'" if folder else f"hf download {RELEASE} {' '.join(FILES)} --local-dir '{place}'"
        )
        return tuple(WeightFile(f"{place.name}/{name}", str(place / name), fetch) for name in FILES)

    def __init__(self, *, folder: LocalFile | None = None) -> None:
        files = SMGDepth.weights(folder=folder)
        for file in files:
            if not Path(file.path).is_file():
                raise MissingWeights(f"{file.name} is not on this machine", where=file.path, hint=file.fetch)
        from harness.parts.losses.depth import DepthNetwork

        self._network = DepthNetwork(Path(files[0].path).parent)

    def to(self, device: Any) -> SMGDepth:
        """Moves the network, as nn.Module.to does."""
        self._network.to(device)
        return self

    def of(self, view: View) -> Tensor:
        """A scalar in [0, 1], of the map that the refiner made. Raises HarnessError where it makes none."""
        from harness.parts.losses.made import truth_of
        from harness.parts.losses.smg_structure import structure_of

        distance: Tensor = (structure_of(view) - self._network(truth_of(view, loss="smg_depth"))).abs().mean()
        return distance
