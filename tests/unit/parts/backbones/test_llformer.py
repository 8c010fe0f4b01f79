from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError
from harness.parts.backbones.llformer import LLFormer, RowAttention

SMALL: dict[str, Any] = {"dim": 4, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1, "heads": (1, 1, 2, 2)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": (1, 2, 4)}, "four levels"),
        ({"inp_channels": 4, "skip": True}, "`inp_channels` is 4, `out_channels` is 3"),
        ({"heads": (3, 1, 2, 2)}, r"`dim` is 4, `heads` is \[3,1,2,2\]"),
    ],
)
def test_options_must_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        LLFormer(**(SMALL | options))


def test_rows_attend_within_themselves() -> None:
    torch.manual_seed(0)
    attention = RowAttention(8, 2).eval()
    x = torch.rand(1, 8, 5, 7)
    with torch.no_grad():
        attention.scale.fill_(3)
        query, key, value = attention.qkv(x).unflatten(1, (3, 2, 4)).unbind(1)
        scores = torch.einsum("bhcyx,bhcyz->bhyxz", F.normalize(query, dim=2), F.normalize(key, dim=2))
        mixed = torch.einsum("bhyxz,bhcyz->bhcyx", (3 * scores).softmax(-1), value)
        assert torch.allclose(attention(x), attention.project_out(mixed.flatten(1, 2)), atol=1e-6)


def test_skip_adds_the_image() -> None:
    torch.manual_seed(0)
    plain, skipping = LLFormer(**SMALL).eval(), LLFormer(**SMALL, skip=True).eval()
    skipping.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 16, 32)
    with torch.no_grad():
        assert torch.allclose(skipping(image), plain(image) + image)


def test_mixing_weights_stay_at_one_when_not_learned() -> None:
    frozen = [name for name, given in LLFormer(**SMALL, attention=False).named_parameters() if not given.requires_grad]
    unused = [name for name, given in LLFormer(**SMALL).named_parameters() if not given.requires_grad]
    assert unused == ["unused_coefficients", "unused_conv.weight"]
    assert set(frozen) - set(unused) == {f"mixes.{level}.coefficients" for level in range(4)}
