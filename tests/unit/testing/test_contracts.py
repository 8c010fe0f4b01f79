"""The contract classes catch parts that break their promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.prior import PriorTraits
from harness.api.refiner import RefinerTraits
from harness.testing.backbone import BackboneContract
from harness.testing.prior import DerivedPriorContract, PriorContract
from harness.testing.refiner import RefinerContract
from tests.unit.testing.made import broken

UNREAD = {"test_traits_are_read_from_the_source", "test_options_are_keywords"}
"""What a part is caught at whose declaration cannot be read."""


class Good(nn.Module):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(taps=("conv",))
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return lq_BCHW + self.conv(lq_BCHW)


class Mixes(Good):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return super().forward(lq_BCHW - lq_BCHW.mean(0, keepdim=True))


class Shrinks(Good):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return super().forward(lq_BCHW)[..., 1:]


class Idle(Good):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(3))


class Untapped(Good):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(taps=("latent",))


class Overflows(Good):
    """Counts in a range that float16 does not have."""

    traits = BackboneTraits(taps=True, half=("bfloat16", "float16"), licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return lq_BCHW + self.conv(1e6 * lq_BCHW) / 1e6


class Asks(Good):
    """Wants to know a number in the middle of its work, and of all images together."""

    traits = BackboneTraits(taps=True, compiles=True, exports=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        return super().forward(lq_BCHW) if lq_BCHW.mean().item() > 0.1 else lq_BCHW


class Undecided(Good):
    """Its training sees other results than its use, and fewer than declared."""

    traits = BackboneTraits(taps=True, outputs=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(taps=("conv",), restorations=2)

    def outputs(self, lq_BCHW: Tensor) -> dict[str, Any]:
        restored = self(lq_BCHW) + 1
        return {"restored": restored, "restorations": (restored,)}


class Aside(Good):
    """Its decoder feature is looked at and not used."""

    traits = BackboneTraits(taps=True, decoder=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(taps=("conv",), decoder=("aside",))
        self.aside = nn.Identity()

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        self.aside(lq_BCHW)
        return super().forward(lq_BCHW)


class Claims(Good):
    """Its traits promise what it does not have, and hide what it has."""

    traits = BackboneTraits(decoder=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()


class Inherits(Good):
    """Has the traits of its base class, and none of its own."""

    def __init__(self) -> None:
        super().__init__()


class Computes(Good):
    """Its traits cannot be known without running its file."""

    traits = BackboneTraits(taps=True, licence="M" + "IT", paper=str(None).lower())

    def __init__(self) -> None:
        super().__init__()


class Numpy(Good):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()
        self.conv.weight.data = torch.from_numpy(np.random.default_rng().random((3, 3, 3, 3), dtype=np.float32))


class Spoils(Good):
    traits = BackboneTraits(taps=True, licence="MIT", paper="none")

    def __init__(self) -> None:
        super().__init__()

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        restored = super().forward(lq_BCHW)
        if not torch.is_grad_enabled():
            lq_BCHW[0, 0, 0, 0] += 1
        return restored


@pytest.mark.parametrize(
    ("network", "caught"),
    [
        (Good, set()),
        (Spoils, {"test_leaves_the_images_alone", "test_image_does_not_depend_on_its_batch", "test_state_round_trip"}),
        (Mixes, {"test_image_does_not_depend_on_its_batch", "test_shares_of_a_batch_train_as_the_whole"}),
        (Shrinks, {"test_keeps_the_size", "test_odd_sizes_work_once_padded"}),
        (Idle, {"test_gradient_reaches_every_parameter"}),
        (Untapped, {"test_taps_give_feature_maps"}),
        (Overflows, {"test_half_precision_is_near_where_declared"}),
        pytest.param(
            Asks,
            {
                "test_compiles_and_exports_where_declared",
                "test_image_does_not_depend_on_its_batch",
                "test_shares_of_a_batch_train_as_the_whole",
            },
            marks=pytest.mark.slow,
        ),
        (Undecided, {"test_outputs_say_what_the_result_is_made_of"}),
        (Aside, {"test_decoder_features_can_be_edited"}),
        (Claims, {"test_declares_its_traits"}),
        (Inherits, {"test_declares_its_traits", *UNREAD}),
        (Computes, UNREAD),
        (Numpy, {"test_weights_come_from_the_seed"}),
    ],
)
def test_backbone_contract(network: Callable[[], nn.Module], caught: set[str]) -> None:
    class Case(BackboneContract):
        def make(self) -> Any:
            return network()

    assert broken(Case()) == caught


def test_a_backbone_is_not_both_verified_and_reimplemented() -> None:
    with pytest.raises(ValueError, match="either verified"):
        BackboneTraits(verified=True, reimplemented=True)


class Adds(nn.Module):
    traits = RefinerTraits()

    def __init__(self, prior_dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(prior_dim, 3)

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        return initial_BCHW + 0.01 * self.map(prior_BD)[:, :, None, None]


class Deaf(Adds):
    traits = RefinerTraits()

    def __init__(self, prior_dim: int) -> None:
        super().__init__(prior_dim)

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        return super().forward(lq_BCHW, initial_BCHW, torch.zeros_like(prior_BD))


class Forgetful(Adds):
    traits = RefinerTraits()

    def __init__(self, prior_dim: int) -> None:
        super().__init__(prior_dim)

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        return super().forward(lq_BCHW, torch.zeros_like(initial_BCHW), prior_BD)


class Overwrites(Adds):
    traits = RefinerTraits()

    def __init__(self, prior_dim: int) -> None:
        super().__init__(prior_dim)

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        lq_BCHW.zero_()
        return super().forward(lq_BCHW, initial_BCHW, prior_BD)


@pytest.mark.parametrize(
    ("refiner", "caught"),
    [
        (Adds, set()),
        (Overwrites, {"test_leaves_its_inputs_alone"}),
        (Deaf, {"test_uses_the_prior", "test_gradient_reaches_every_parameter"}),
        (Forgetful, {"test_gradient_reaches_the_initial_restoration", "test_starts_near_the_initial_restoration"}),
    ],
)
def test_refiner_contract(refiner: Callable[[int], nn.Module], caught: set[str]) -> None:
    class Case(RefinerContract):
        def make(self, prior_dim: int, channels: Any = None) -> Any:
            return refiner(prior_dim)

    assert broken(Case()) == caught


class Colours:
    traits = PriorTraits()
    dim = 3

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        return torch.nn.functional.normalize(lq_BCHW.mean((-2, -1)), dim=1)


class Long(Colours):
    traits = PriorTraits()

    def __init__(self) -> None: ...

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        return lq_BCHW.mean((-2, -1))


class Noisy(Colours):
    traits = PriorTraits()

    def __init__(self) -> None: ...

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(len(lq_BCHW), 3), dim=1)


class Centring(Colours):
    traits = PriorTraits()

    def __init__(self) -> None: ...

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        return super().encode(lq_BCHW + lq_BCHW.mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("prior", "caught"),
    [
        (Colours, set()),
        (Long, {"test_gives_unit_vectors"}),
        (
            Noisy,
            {
                "test_is_fixed",
                "test_leaves_the_random_state_alone",
                "test_row_depends_on_its_image_alone",
                "test_two_of_a_kind_agree",
            },
        ),
        (Centring, {"test_row_depends_on_its_image_alone"}),
    ],
)
def test_prior_contract(prior: Callable[[], Any], caught: set[str]) -> None:
    class Case(PriorContract):
        def make(self) -> Any:
            return prior()

    assert broken(Case()) == caught


class Copies:
    traits = PriorTraits(derived=True)

    def derive(self, rows_ND: Any, train_rows_MD: Any, keys: Any, images: Any) -> Any:
        return rows_ND


class Drops(Copies):
    traits = PriorTraits(derived=True)

    def __init__(self) -> None: ...

    def derive(self, rows_ND: Any, train_rows_MD: Any, keys: Any, images: Any) -> Any:
        return rows_ND[1:]


@pytest.mark.parametrize(("prior", "caught"), [(Copies, set()), (Drops, {"test_gives_a_row_per_sample"})])
def test_derived_prior_contract(prior: Callable[[], Any], caught: set[str]) -> None:
    class Case(DerivedPriorContract):
        def make(self) -> Any:
            return prior()

    assert broken(Case()) == caught
