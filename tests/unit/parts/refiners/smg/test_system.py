from __future__ import annotations

import torch

from harness.parts.refiners.smg.system import SMG
from harness.testing import checks


def small() -> SMG:
    torch.manual_seed(0)
    return SMG(size=16, appearance_width=4, enhancement_width=4).eval()


def test_edges_come_from_the_grey_image() -> None:
    network = small()
    lq = checks.images(2, 3, 16, 16)
    with torch.no_grad():
        result = network(lq)
        grey = 0.299 * lq[:, :1] + 0.587 * lq[:, 1:2] + 0.114 * lq[:, 2:]
        edges = network.structure(grey).map_B1HW
        given = network.enhance(lq, edges)
    checks.assert_close(result.edges_B1HW, edges, "edges", tolerance=1e-5)
    checks.assert_close(result.final_BCHW, given.final_BCHW, "result", tolerance=1e-5)


def test_both_images_lie_in_0_to_1() -> None:
    network = small()
    with torch.no_grad():
        result = network.enhance(4 * checks.images(2, 3, 20, 24) - 2, checks.images(2, 1, 20, 24))
    for image in (result.final_BCHW, result.appearance_BCHW):
        assert image.shape == (2, 3, 20, 24)
        assert 0 == image.min() < image.max() == 1
