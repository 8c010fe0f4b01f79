"""What CLIP sees of an image that is not square, and the map of its patches, against open_clip's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from skimage import data

from harness.core.errors import HarnessError
from harness.parts.priors.clip import Clip
from harness.parts.priors.views import View, fit
from tests.tiny_clip import ARCHITECTURE, build

SIZES = [(64, 64), (40, 77), (300, 200), (20, 32), (31, 200)]
MODES: list[tuple[View, str]] = [("crop", "shortest"), ("squash", "squash"), ("pad", "longest")]
"""Each view, and open_clip's own name of it."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("view", "mode"), MODES)
def test_images_are_made_to_fit_as_open_clip_does_it(
    options: dict[str, Any], size: tuple[int, int], view: View, mode: str
) -> None:
    pixels = data.astronaut()[: size[0], 100 : 100 + size[1]].copy()
    as_they_are = PreprocessCfg(size=32, resize_mode=mode, mean=(0, 0, 0), std=(1, 1, 1))
    theirs = image_transform_v2(as_they_are, is_train=False)(Image.fromarray(pixels))[None]
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    # Theirs is rounded and cut to 8 bits after each direction, ours is not.
    error = (fit(image, (32, 32), view) - theirs).abs()
    assert error.mean() < 0.5 / 255
    assert error.max() < 8 / 255
    theirs = image_transform_v2(PreprocessCfg(size=32, resize_mode=mode), is_train=False)(Image.fromarray(pixels))
    with torch.no_grad():
        expected = build().encode_image(theirs[None], normalize=True)
    row = Clip(**options, view=view).encode(image)
    assert torch.nn.functional.cosine_similarity(row, expected).item() > 0.999


def test_what_each_view_shows_of_a_wide_image() -> None:
    """A step of grey from left to right, 8×24 pixels, for a network that sees 8×8."""
    columns = torch.arange(24).float() / 24 + 0.01
    image = columns.expand(1, 3, 8, 24)
    assert torch.equal(fit(image, (8, 8), "crop"), image[..., 8:16])
    padded = fit(image, (8, 8), "pad")
    assert padded[..., [0, 1, 5, 6, 7], :].abs().max() == 0  # 8/3 lines of 8: three, after two
    assert padded[..., 2:5, :].min() > 0
    squashed = fit(image, (8, 8), "squash")
    assert torch.allclose(squashed, squashed[..., :1, :].expand_as(squashed), atol=1e-6)
    for seen in (padded[0, 0, 3], squashed[0, 0, 0]):
        assert torch.allclose(seen[2:-2], columns.view(8, 3).mean(1)[2:-2], atol=1e-3)


@pytest.mark.parametrize("side", [20, 32, 64])
def test_a_square_image_is_the_same_in_every_view(side: int) -> None:
    image = torch.rand(1, 3, side, side)
    crop, squash, pad = (fit(image, (32, 32), view) for view, _ in MODES)
    assert torch.equal(crop, squash)
    assert torch.equal(crop, pad)


def test_the_view_makes_other_vectors_of_wide_images_alone(options: dict[str, Any], tile: torch.Tensor) -> None:
    wide = tile[..., :32, :]
    for view in ("squash", "pad"):
        assert torch.equal(Clip(**options, view=view).encode(tile), Clip(**options).encode(tile))
        assert not torch.allclose(Clip(**options, view=view).encode(wide), Clip(**options).encode(wide), atol=1e-3)


def test_clip_itself_cannot_encode_a_frame_as_it_is() -> None:
    """As the released code of PTG-RM asks for it: position embeddings are for one size."""
    with pytest.raises(RuntimeError, match="size of tensor"):
        build().encode_image(torch.rand(1, 3, 32, 64))


def test_patches_are_the_final_tokens_in_the_space_of_the_embedding(
    options: dict[str, Any], tile: torch.Tensor
) -> None:
    """The transformer's last tokens by open_clip's own intermediates, normed, projected, each of length 1/√16."""
    prior = Clip(**options, view="squash", tokens="patches")
    assert (prior.shape, prior.dim) == ((24, 4, 4), 384)
    wide = tile[..., :32, :]
    rows = prior.encode(torch.cat([wide, wide.flip(-1)]))
    assert torch.allclose(rows.norm(dim=1), torch.ones(2), atol=1e-6)
    visual = build().visual
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]
    std = torch.tensor(open_clip.OPENAI_DATASET_STD)[:, None, None]
    with torch.no_grad():
        found = visual.forward_intermediates(
            (fit(wide, (32, 32), "squash") - mean) / std, indices=1, normalize_intermediates=True
        )["image_intermediates"][-1]
        expected = torch.einsum("bwyx,wd->bdyx", found, visual.proj)
    expected = expected / expected.norm(dim=1, keepdim=True) / 4
    assert torch.allclose(rows[0].view(24, 4, 4), expected[0], atol=1e-6)


def test_patches_need_the_whole_image_and_a_class_token(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="map of the whole image") as caught:
        Clip(**options, tokens="patches")
    assert caught.value.hint == "view: squash"
    pooled = ARCHITECTURE | {"vision_cfg": ARCHITECTURE["vision_cfg"] | {"pool_type": "avg"}}
    config = tmp_path / "pooled.json"
    config.write_text(json.dumps(pooled))
    with pytest.raises(HarnessError, match="no patch tokens"):
        Clip(checkpoint=options["checkpoint"], config=str(config), view="squash", tokens="patches")


@pytest.mark.parametrize(
    ("wrong", "hint"), [({"view": "x"}, "crop, pad, squash"), ({"tokens": "patch"}, "did you mean 'patches'")]
)
def test_other_views_and_tokens_are_refused(options: dict[str, Any], wrong: dict[str, Any], hint: str) -> None:
    (name,) = wrong
    with pytest.raises(HarnessError, match=f"{name} cannot be '{wrong[name]}'") as caught:
        Clip(**options | wrong)
    assert hint in caught.value.hint
