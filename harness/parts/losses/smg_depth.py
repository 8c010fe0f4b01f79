"""What the depth variant of SMG's structure network is trained on. The network that sees depth is in `depth.py`."""

from __future__ import annotations

from torch import Tensor, nn

from harness.api.loss import LossInputs, LossTraits
from harness.api.reference import LocalFile
from harness.api.traits import OwnFile, Published, When
from harness.parts.losses.depth import DepthNetwork
from harness.parts.losses.outputs import truth_of
from harness.parts.losses.smg_structure import structure_of
from harness.weights.files import ready_files


class SMGDepth(nn.Module):
    """Mean |map − depth of the truth|, as a frozen network for single images sees that depth.

    Depth is relative and inverse (near is large) and stretched to [0, 1] per image, as neither its scale nor its
    shift is known. `folder`: any network for depth estimation as transformers saves it, with its
    `preprocessor_config.json`; without, DPT-Large of MiDaS 3.0 (R. Ranftl et al., ICCV 2021), published as dpt_large.
    Raises MissingWeights when a file is not there, HarnessError when they are no such network.
    """

    traits = LossTraits(
        takes="inputs",
        weights=(
            OwnFile("folder", files=("config.json", "preprocessor_config.json", "model.safetensors")),
            Published("dpt_large/config", when=(When("folder", None),)),
            Published("dpt_large/preprocessor", when=(When("folder", None),)),
            Published("dpt_large/model", when=(When("folder", None),)),
        ),
    )

    def __init__(self, *, folder: LocalFile | None = None) -> None:
        super().__init__()
        config, *_ = ready_files(self.traits, {"folder": folder}, "loss smg_depth")
        self._network = DepthNetwork(config.parent)

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar in [0, 1], of the map that the refiner made. Raises HarnessError where it makes none."""
        distance: Tensor = (structure_of(inputs) - self._network(truth_of(inputs, loss="smg_depth"))).abs().mean()
        return distance
