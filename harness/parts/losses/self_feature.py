"""EnlightenGAN's self-feature preserving loss. The network is in `vgg.py` beside it."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor, nn

from harness.api.loss import LossInputs, LossTraits
from harness.api.ranges import Count
from harness.api.traits import Published
from harness.parts.losses.patches import random_patches
from harness.parts.losses.vgg import SelfFeatures
from harness.weights.files import ready_files


class SelfFeature(nn.Module):
    """Squared distance of VGG-16's relu5_1, instance-normalised, between the restored and the degraded image.

    The content stays, whatever the brightness: Y. Jiang et al., TIP 2021, arXiv 1906.06972, eq. 5. The distance is that
    of the whole images, plus the mean over `patches` random squares of `patch` pixels. The authors' network is another
    training of VGG-16 and takes colours in [0, 255]; here it is torchvision's, with its own normalisation. Their
    patches are also those that the discriminator sees; here they are drawn anew.

    Images of 8×8 at least. Raises MissingWeights without torchvision's ImageNet weights, DataError when the file is
    another one.
    """

    traits = LossTraits(takes="inputs", reads="degraded", weights=(Published("vgg16/imagenet"),), version=2)

    def __init__(self, *, patches: Count = 6, patch: Annotated[int, Ge(8), Le(16_384)] = 32) -> None:
        super().__init__()
        self.patches = patches
        self.patch = patch
        (path,) = ready_files(self.traits, {"patches": patches, "patch": patch}, "loss self_feature")
        self._features = SelfFeatures(path)

    def forward(self, inputs: LossInputs) -> Tensor:
        """A scalar, not negative. No gradient reaches the degraded image or the network."""
        images = inputs.restored_BCHW, inputs.lq_BCHW.detach()
        total = self._distance(*images)
        for pieces in random_patches(images, self.patches, self.patch):
            total = total + self._distance(*pieces) / self.patches
        return total

    def _distance(self, restored_BCHW: Tensor, lq_BCHW: Tensor) -> Tensor:
        distance: Tensor = (self._features(restored_BCHW) - self._features(lq_BCHW)).square().mean()
        return distance
