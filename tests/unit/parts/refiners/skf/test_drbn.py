from __future__ import annotations

import torch
from torch import Tensor

from harness.parts.refiners.skf.drbn import DRBN
from harness.parts.refiners.skf.hrnet import Semantics
from harness.testing import checks


def small() -> DRBN:
    torch.manual_seed(0)
    return DRBN(width=8, growth=8, semantic_channels=(6, 5, 7))


def semantics(batch: int = 2) -> Semantics:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, 7, 32, 64, generator=generator)
    features = (torch.rand(batch, 5, 8, 16, generator=generator), torch.rand(batch, 6, 4, 8, generator=generator))
    return Semantics(logits, features)


def test_three_bands() -> None:
    bands = small()(checks.images(2, 3, 32, 64), lambda _: semantics())
    assert [band.shape for band in bands] == [(2, 3, 32, 64), (2, 3, 16, 32), (2, 3, 8, 16)]


def test_gradient_reaches_every_parameter() -> None:
    """From the result of full size alone: the coarser ones are part of it."""
    network = small()
    lq = checks.images(2, 3, 32, 64)
    assert not checks.without_gradient(network, lambda: network(lq, lambda _: semantics())[0].square().mean())


def test_image_does_not_depend_on_its_batch() -> None:
    network = small()
    lq, known = checks.images(2, 3, 32, 64), semantics()

    def of(n: int) -> Semantics:
        return Semantics(known.logits_BKHW[n : n + 1], tuple(x[n : n + 1] for x in known.features))

    alone = [network(lq[n : n + 1], lambda _, n=n: of(n))[0] for n in range(2)]
    checks.assert_close(network(lq, lambda _: known)[0], torch.cat(alone), "in a batch and alone", tolerance=1e-5)


def test_semantics_are_those_of_the_third_recursion() -> None:
    network = small()
    lq = checks.images(2, 3, 32, 64)
    seen: list[Tensor] = []

    def segment(image: Tensor) -> Semantics:
        seen.append(image)
        return semantics()

    network(lq, segment)
    assert len(seen) == 1
    assert torch.equal(seen[0], network.fidelity(lq)[0][0])
