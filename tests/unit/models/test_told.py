"""Networks that are told what their degraded images were made with."""

from __future__ import annotations

import pytest
import torch

from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from tests.unit.models.test_assemble import batch, build, cell, refined

TOLD = PartRef(name="drunet", options={"nc": [4, 8, 12, 16], "nb": 1, "sigma": (0.0, 50.0)})


@pytest.mark.parametrize("regime", [None, "joint", "frozen"])
@pytest.mark.parametrize("training", [True, False])
def test_a_backbone_is_told_what_every_image_was_made_with(regime: str | None, training: bool) -> None:
    lq, prior = batch()
    model = build(cell(backbone=TOLD) if regime is None else refined(regime, backbone=TOLD)).train(training)
    given = (lq,) if regime is None else (lq, prior)
    sigma = torch.tensor([10.0, 40.0])
    with torch.no_grad():
        found = model(*given, settings={"sigma": sigma, "other": sigma}).initial_BCHW
        assert model.told == ("sigma",)
        assert torch.equal(found, model.backbone(lq, sigma))
        assert not torch.equal(found, model.backbone(lq, sigma.flip(0)))
        assert torch.equal(model(*given).initial_BCHW, model.backbone(lq, torch.full((2,), 25.0)))


def test_a_backbone_is_told_inside_its_features_too() -> None:
    lq, prior = batch()
    model = build(refined(placement="features", backbone=TOLD)).eval()
    with torch.no_grad():
        low, high = (model(lq, prior, settings={"sigma": torch.full((2,), level)}).final for level in (10.0, 40.0))
    assert not torch.equal(low, high)


def test_images_that_lack_what_the_backbone_is_told_are_refused() -> None:
    lq, _ = batch()
    with pytest.raises(HarnessError, match="told sigma of every image, which these images do not have"):
        build(cell(backbone=TOLD))(lq, settings={})
    assert build(cell()).told == ()
    assert build(cell())(lq, settings={}).final.shape == lq.shape


def test_a_backbone_of_one_noise_level_is_told_that_of_the_images_where_they_have_one() -> None:
    """Trained at 25 and tested at 50, its map holds 50; on images without noise, as of rain, its own 25."""
    lq, _ = batch()
    model = build(cell(backbone=PartRef(name="drunet", options={"nc": [4, 8, 12, 16], "nb": 1, "sigma": 25.0}))).eval()
    noise = {level: torch.full((2, 1, 16, 16), level / 255) for level in (25, 50)}
    with torch.no_grad():
        of_own, of_test = (model.backbone.restore(lq, noise[level]) for level in (25, 50))
        assert torch.equal(model(lq, settings={"sigma": torch.full((2,), 50.0)}).final, of_test)
        assert torch.equal(model(lq, settings={"sigma": torch.full((2,), 25.0)}).final, of_own)
        assert torch.equal(model(lq, settings={}).final, of_own)
        assert torch.equal(model(lq).final, of_own)
    assert not torch.equal(of_own, of_test)
