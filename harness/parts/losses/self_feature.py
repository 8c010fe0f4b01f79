"""EnlightenGAN's self-feature preserving loss. This module is torch-free; the network is in `vgg.py` beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.api.parts import Reads, View, WeightFile
from harness.core.hub import hub_file, verify_weights

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1

FILE = "vgg16-397923af.pth"
SHA256 = "397923af"
"""torchvision publishes the first eight digits, in the file's name."""
FETCH = "python -c \"import torchvision; torchvision.models.vgg16(weights='IMAGENET1K_V1')\""


class SelfFeature:
    """Squared distance of VGG-16's relu5_1, instance-normalised, between the restored and the degraded image.

    The content stays, whatever the brightness: Y. Jiang et al., TIP 2021, arXiv 1906.06972, eq. 5. It is taken of whole
    images and, added to that, of `patches` random squares of `patch` pixels, averaged. The authors' network is another
    training of VGG-16 and takes colours in [0, 255]; here it is torchvision's, with its own normalisation. Their
    patches are also those that the discriminator sees; here they are drawn anew.

    Images of 8×8 at least. Raises MissingWeights without torchvision's ImageNet weights, DataError when the file is
    another one.
    """

    reads: ClassVar[Reads] = "degraded"
    reduction = "mean"

    @staticmethod
    def weights(*, patches: int = 6, patch: int = 32) -> tuple[WeightFile, ...]:
        """torchvision's ImageNet VGG-16, in torch.hub's cache."""
        return (WeightFile("vgg16", str(hub_file("checkpoints", FILE)), FETCH),)

    def __init__(self, *, patches: int = 6, patch: int = 32) -> None:
        path = hub_file("checkpoints", FILE)
        verify_weights(path, SHA256, fetch=FETCH)
        from harness.parts.losses.vgg import SelfFeatures

        self.patches = patches
        self.patch = patch
        self._features = SelfFeatures(path)

    def to(self, device: Any) -> SelfFeature:
        """Moves the network, as nn.Module.to does."""
        self._features.to(device)
        return self

    def of(self, view: View) -> Tensor:
        """A scalar, not negative. No gradient reaches the degraded image or the network."""
        from harness.parts.losses.patches import random_patches

        images = view.restored_BCHW, view.lq_BCHW.detach()
        total = self._distance(*images)
        for pieces in random_patches(images, self.patches, self.patch):
            total = total + self._distance(*pieces) / self.patches
        return total

    def _distance(self, restored_BCHW: Tensor, lq_BCHW: Tensor) -> Tensor:
        distance: Tensor = (self._features(restored_BCHW) - self._features(lq_BCHW)).square().mean()
        return distance
