"""Controls for refiners that bring their own knowledge of an image: the same refiner, with knowledge of no use.

A refiner that gains as much from another image's map, or from noise, as from its own does not gain from what the map
knows. What is compared is the same in training and in use, and depends on the degraded image alone, not on the batch,
the order of images or the device. Which images `shuffled` keeps, its first steps decide: the same on all processes, and
the same as on one where a batch passes at once.

Shape letters: B batch, C channels, H×W image, h×w a map, N images kept, S their side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.parts.ops.whole_batch import of_all

KEPT = 8
SIDE = 128


class OtherImages(nn.Module):
    """Control `shuffled`: eight images of the training, one of which stands in for each image that is restored.

    They are the first that `remember` is shown, cut to their middle 128×128 pixels (smaller ones are mirrored); until
    then noise is in their place. They are buffers, so a cell's checkpoint holds them: 1.5 MB. Which one stands in is
    chosen by the degraded image's content. In training it may now and then be another part of the same photograph.
    """

    images_N3SS: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(0)
        self.register_buffer("images_N3SS", torch.rand(KEPT, 3, SIDE, SIDE, generator=drawn))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, lq_BCHW: Tensor, turn: int = 0) -> Tensor:
        """An image for each, of the same size: a kept one, cut or continued by mirroring. `turn`: n gives the n-th next
        one, for a refiner that looks more than once.
        """
        H, W = lq_BCHW.shape[-2:]
        chosen_B = (content_numbers(lq_BCHW) + turn) % KEPT
        return _covering(self.images_N3SS[chosen_B].to(lq_BCHW.dtype), H, W)

    @torch.no_grad()
    def remember(self, image_BCHW: Tensor) -> None:
        """Keeps images of the training, until there are enough. To be called after `forward`: none meets itself.

        How many there are is known to the device alone, for which nobody waits: those after the last one are put
        nowhere.
        """
        # Of all processes, or each would train with images of its own, and a checkpoint has those of one.
        shown_B3SS = of_all(torch.stack([_middle(image.detach()) for image in image_BCHW[:KEPT]]))
        B = len(shown_B3SS)
        new_N = torch.arange(KEPT, device=self.count.device) - self.count
        is_new_N111 = ((new_N >= 0) & (new_N < B))[:, None, None, None]
        self.images_N3SS.copy_(torch.where(is_new_N111, shown_B3SS[new_N.clamp(0, B - 1)], self.images_N3SS))
        self.count.add_(B).clamp_(max=KEPT)


def noise(lq_BCHW: Tensor, channels: int, height: int, width: int, turn: int = 0) -> Tensor:
    """Control `random`: a map for each image, B×C×h×w, of numbers drawn evenly from [0, 1).

    The degraded image's content is the seed, so the same image always has the same map. `turn` as in `OtherImages`.
    """
    shape = (channels, height, width)
    drawn = [
        torch.rand(shape, generator=torch.Generator().manual_seed(number + turn))
        for number in content_numbers(lq_BCHW).tolist()
    ]
    return torch.stack(drawn).to(lq_BCHW)


def content_numbers(image_BCHW: Tensor) -> Tensor:
    """A whole number from 0 on for each image, below 2⁶², by which images differ: a sum over the bits of its values."""
    bits_BN = image_BCHW.detach().float().flatten(1).contiguous().view(torch.int32).long()
    places_N = torch.arange(1, bits_BN.shape[1] + 1, device=bits_BN.device)
    # Whole numbers overflow alike everywhere, and their sum depends on no order.
    mixed_BN = (bits_BN + 0x9E3779B9) * (2 * places_N + 1)
    sums_B = ((mixed_BN ^ (mixed_BN >> 29)) * 0xBF58476D).sum(1)
    return (sums_B >> 2) % (1 << 62)


def _middle(image_CHW: Tensor) -> Tensor:
    H, W = image_CHW.shape[-2:]
    top, left = (max(0, (side - SIDE) // 2) for side in (H, W))
    return _covering(image_CHW[:, top : top + SIDE, left : left + SIDE], SIDE, SIDE)


def _covering(image: Tensor, height: int, width: int) -> Tensor:
    """The upper left corner of an endless image that is mirrored at every border."""
    rows, columns = (
        _mirrored(side, own, image.device) for side, own in zip((height, width), image.shape[-2:], strict=True)
    )
    return image[..., rows[:, None], columns]


def _mirrored(side: int, own: int, device: torch.device) -> Tensor:
    places = torch.arange(side, device=device) % max(1, 2 * own - 2)
    return torch.minimum(places, 2 * own - 2 - places) if own > 1 else torch.zeros_like(places)
