"""Maps of whole images, and the parts of them that lie over crops and tiles.

Shape letters: B batch, D channels of a map, h and w its rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def part_of_map(map_BDhw: Tensor, sides: tuple[int, int], place: tuple[int, int, int, int]) -> Tensor:
    """The part of a map of the whole image that lies over `sides` pixels from (top, left) on, B×D×h×w again.

    Bilinear, the border's values beyond the border. `place`: top, left, and height and width of the whole image.
    """
    if place == (0, 0, *sides):
        return map_BDhw
    top, left, height, width = place
    rows, columns = (
        (2 * (start + (torch.arange(number, device=map_BDhw.device) + 0.5) * side / number) / whole - 1)
        for number, start, side, whole in zip(map_BDhw.shape[-2:], (top, left), sides, (height, width), strict=True)
    )
    grid_hw2 = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1).to(map_BDhw)
    grid_Bhw2 = grid_hw2.expand(len(map_BDhw), -1, -1, -1)
    return F.grid_sample(map_BDhw, grid_Bhw2, mode="bilinear", padding_mode="border", align_corners=False)
