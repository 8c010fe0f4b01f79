"""Every built-in refiner keeps the contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from harness.api.declaration import declaration
from harness.core.errors import HarnessError
from harness.parts.catalogue import REGISTRY
from harness.parts.refiners.ptg_rm.ablations import DESIGNS
from harness.parts.refiners.ptg_rm.refiner import PTGRM
from harness.testing import checks
from harness.testing.refiner import Given, RefinerContract, refined
from tests.absent_gpu import absent_gpu, on_gpu, waits_of
from tests.refused import refused_of

SMALL: dict[str, Any] = {"width": 4, "long_blocks": 1, "prior_hidden": 8, "prior_width": 6}


def assert_waits(case: RefinerContract, *, on_host: bool) -> None:
    """A refiner waits for nothing in training, at every placement, or does so on purpose."""
    for refiner, given in case.each():
        with absent_gpu():
            found = on_gpu((refiner.train(), given.lq_BCHW, given.prior_BD, given.maps))
            moved, there = found[0], Given(given.placement, *found[1:])
            if moved.traits.outputs and there.placement == "image":
                waits = waits_of(moved.outputs, there.lq_BCHW, *there.maps, there.prior_BD)
            else:
                waits = waits_of(refined, moved, there)
            assert bool(waits) == on_host, waits


def assert_trains_deterministically(case: RefinerContract) -> None:
    """A refiner needs no operation that torch refuses on a GPU in deterministic mode, at any placement."""
    for refiner, given in case.each():
        for x in given.maps:
            x.requires_grad_(True)  # a network before it learns from them
        if refiner.traits.outputs and given.placement == "image":
            make = partial(refiner.train().outputs, given.lq_BCHW, *given.maps, given.prior_BD)
        else:
            make = partial(refined, refiner.train(), given)
        assert refused_of(lambda make=make: checks.total(make())) == set()  # type: ignore[misc]


class Catalogued(RefinerContract):
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    parameters: ClassVar[int]
    """At a prior width of 512."""
    on_host: ClassVar[bool] = False
    """Whether something is drawn on the host, for which a GPU is waited for."""
    as_smg: ClassVar[bool] = False
    """Whether all that gets a gradient is in another case here: these are large."""

    def make(self, prior_dim: int, channels: int | None = None) -> Any:
        part = REGISTRY.load("refiner", self.name)
        given = [prior_dim] if part.traits.needs_prior else []
        return part(*given, *([] if channels is None else [channels]), **self.options)

    def test_waits_for_nothing_on_a_gpu(self) -> None:
        assert_waits(self, on_host=self.on_host)

    def test_can_be_trained_deterministically(self) -> None:
        if self.as_smg:
            pytest.skip("the networks of smg are tried once")
        assert_trains_deterministically(self)

    def test_parameter_count(self) -> None:
        assert sum(parameter.numel() for parameter in self.make(512).parameters()) == self.parameters


class TestPTGRM(Catalogued):
    name = "ptg_rm"
    options: ClassVar[dict[str, Any]] = {}
    parameters = 672_170


class TestReleasedPTGRM(Catalogued):
    name = "ptg_rm"
    options: ClassVar[dict[str, Any]] = {"head": "residual"}
    parameters = 671_735


class TestSMG(Catalogued):
    name = "smg"
    options: ClassVar[dict[str, Any]] = {"size": 16, "width": 4, "narrow": 0.125}
    parameters = 2_389_081
    prior_dims = (36,)


class TestShuffledSMG(TestSMG):
    as_smg = True
    options: ClassVar[dict[str, Any]] = {**TestSMG.options, "guidance": "shuffled"}


class TestRandomSMG(TestSMG):
    as_smg = True
    on_host = True  # noise that the content of an image is the seed of
    options: ClassVar[dict[str, Any]] = {**TestSMG.options, "guidance": "random"}

    def test_gradient_reaches_every_parameter(self) -> None:
        """The restoration gives the structure network none, which learns by the losses of its own map."""
        network, lq = self.stirred("image").train(), checks.images(2, 3, 32, 40)
        made = checks.without_gradient(
            network, lambda: sum(x.square().mean() for x in network.outputs(lq, lq).values())
        )
        assert not made


class TestSMGOfDepth(Catalogued):
    name = "smg_depth"
    as_smg = True
    options: ClassVar[dict[str, Any]] = {"size": 8, "width": 4, "narrow": 0.125}
    parameters = 2_308_850
    prior_dims = (36,)


@pytest.mark.parametrize("name", REGISTRY.names("refiner"))
def test_planning_reads_what_running_code_uses(name: str) -> None:
    assert declaration(REGISTRY, "refiner", name).traits == REGISTRY.load("refiner", name).traits


def test_every_refiner_is_here() -> None:
    of_decoders = {"skf"}  # test_decoder_refiners.py
    assert {case.name for case in Catalogued.__subclasses__()} | of_decoders == set(REGISTRY.names("refiner"))


class TestPTGRMAblations:
    """Table 3's rows keep what of the contract an ablation could break, cheaply: small networks, few images."""

    parameters: ClassVar[dict[str, int]] = {
        "without_sve": 488_390,
        "without_sve_same_size": 672_170,
        "without_channel_attention": 670_634,
        "without_spatial_attention": 360_442,
        "large_without_priors": 719_834,
        "large_without_priors_kernels": 4_037_594,
        "without_position_embedding": 648_042,
        "snr_mask": 510_202,
        "concat_1d": 443_050,
        "concat_2d": 485_290,
    }

    def size(self, ablation: Any) -> int:
        return sum(parameter.numel() for parameter in PTGRM(512, ablation=ablation).parameters())

    def test_all_are_counted(self) -> None:
        assert {"none", *self.parameters} == set(DESIGNS)
        found = {ablation: self.size(ablation) for ablation in self.parameters}
        assert found == self.parameters
        assert found["large_without_priors"] >= TestPTGRM.parameters == found["without_sve_same_size"]

    def test_the_guide_shows_the_counts(self) -> None:
        """docs/refiner.md has one line an ablation: with a vector of 512 numbers, and with a map of such vectors."""
        lines = (Path(__file__).parents[2] / "docs/refiner.md").read_text(encoding="utf-8").splitlines()
        rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
        shown = {row[0]: row[-1] for row in rows if row[0] in DESIGNS}
        of_map = sum(parameter.numel() for parameter in PTGRM((512, 7, 7), ablation="concat_2d").parameters())
        expected = {name: f"{count:,}" for name, count in {"none": TestPTGRM.parameters, **self.parameters}.items()}
        assert shown == expected | {"concat_2d": f"{expected['concat_2d']}; {of_map:,}"}

    @pytest.mark.parametrize("head", ["mask_residual", "residual"])
    @pytest.mark.parametrize("ablation", sorted(parameters))
    def test_learns_and_loads(self, ablation: Any, head: Any) -> None:
        """Gradients reach every parameter, from the first step on; another's state gives the same result."""
        refiner, other = (PTGRM(6, head=head, ablation=ablation, **SMALL) for _ in range(2))
        lq, initial = checks.images(2, 3, 16, 20), checks.images(2, 3, 16, 20, seed=1)
        given = lq, initial, checks.unit_rows(2, 6)
        assert not checks.without_gradient(refiner, lambda: refiner(*given).square().mean())
        other.load_state_dict(refiner.state_dict(), strict=True)
        with checks.evaluated(refiner), checks.evaluated(other):
            refined = refiner(*given)
            assert torch.equal(refined, other(*given))
            alone = torch.cat([refiner(*(x[n : n + 1] for x in given)) for n in range(len(lq))])
            checks.assert_close(alone, refined, "in a batch and alone", tolerance=1e-5)
            with torch.autocast("cpu", torch.bfloat16):
                checks.assert_close(refiner(*given), refined, "bfloat16 autocast", tolerance=0.1)
            assert refiner(*(image[:, :, :4, :4] for image in given[:2]), given[2]).isfinite().all()

    @pytest.mark.parametrize("head", ["mask_residual", "residual"])
    @pytest.mark.parametrize("ablation", sorted({*parameters} - {"snr_mask"}))
    def test_edits_features(self, ablation: Any, head: Any) -> None:
        refiner = PTGRM(6, 10, head=head, ablation=ablation, **SMALL)
        features, prior = checks.images(2, 10, 5, 7), checks.unit_rows(2, 6)
        assert not checks.without_gradient(refiner, lambda: refiner.edit(features, prior).square().mean())
        assert refiner.edit(features, prior).shape == features.shape

    def test_the_snr_mask_needs_the_image(self) -> None:
        with pytest.raises(HarnessError, match="snr_mask needs the degraded image"):
            PTGRM(6, 10, ablation="snr_mask")

    @pytest.mark.parametrize("ablation", sorted(parameters))
    def test_uses_the_prior_or_provably_does_not(self, ablation: Any) -> None:
        refiner = PTGRM(6, ablation=ablation, **SMALL)
        checks.stir(refiner)
        lq, initial, prior = checks.images(2, 3, 16, 20), checks.images(2, 3, 16, 20, seed=1), checks.unit_rows(2, 6)
        with checks.evaluated(refiner):
            one, other = refiner(lq, initial, prior), refiner(lq, initial, -prior)
        assert torch.equal(one, other) == ablation.startswith("large_without_priors")

    @pytest.mark.parametrize("channels", [None, 10])
    def test_learns_from_a_map(self, channels: int | None) -> None:
        torch.manual_seed(0)  # bfloat16 is near enough for most weights, not for all
        refiner = PTGRM((6, 3, 2), channels, ablation="concat_2d", **SMALL)
        prior = checks.unit_rows(2, 36)
        if channels is None:
            lq, initial = checks.images(2, 3, 16, 20), checks.images(2, 3, 16, 20, seed=1)

            def refine() -> torch.Tensor:
                return refiner(lq, initial, prior)
        else:
            features = checks.images(2, channels, 5, 1)

            def refine() -> torch.Tensor:
                return refiner.edit(features, prior)

        assert not checks.without_gradient(refiner, lambda: refine().square().mean())
        with checks.evaluated(refiner):
            expected = refine()
            with torch.autocast("cpu", torch.bfloat16):
                checks.assert_close(refine(), expected, "bfloat16 autocast", tolerance=0.1)

    @pytest.mark.parametrize("channels", [None, 8, 384])
    def test_the_large_network_is_no_smaller_than_the_full_one(self, channels: int | None) -> None:
        with torch.device("meta"):
            full, large = (PTGRM(512, channels, ablation=ablation) for ablation in ("none", "large_without_priors"))
        sizes = [sum(parameter.numel() for parameter in refiner.parameters()) for refiner in (full, large)]
        assert sizes[0] <= sizes[1]
        assert large.encoder[0].out_channels % 16 == 0
