"""Every built-in loss keeps the contract: on what its network makes, and on small stand-ins for published weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from harness.api.loss import LossInputs
from harness.parts.catalogue import REGISTRY
from harness.testing.inputs import detached, each
from harness.testing.loss import LossContract
from tests import tiny_depth
from tests.absent_gpu import absent_gpu, on_gpu, waits_of
from tests.refused import refused_of


class Catalogued(LossContract):
    name: ClassVar[str]
    sides = (32, 40)
    network: ClassVar[str] = ""
    """The backbone whose outputs the loss reads."""
    on_host: ClassVar[bool] = False
    """Whether it looks at images on the host, for which a GPU is waited for."""
    network_options: ClassVar[dict[str, Any]] = {}

    def make(self) -> Any:
        return REGISTRY.load("loss", self.name)(**self.options)

    def outputs(self, lq_BCHW: Tensor) -> Mapping[str, Any]:
        if not self.network:
            return {}
        outputs = REGISTRY.load("backbone", self.network)(**self.network_options).outputs(lq_BCHW)
        return {name: value for name, value in outputs.items() if name != "restored"}

    def test_waits_for_nothing_on_a_gpu(self) -> None:
        loss, traits = copy.deepcopy(self.fresh()), self.part.traits
        given = self.inputs(everything=True)
        with absent_gpu():
            loss = on_gpu(loss)
            images = {name: on_gpu(getattr(given, name)) for name in IMAGES}
            given = replace(given, **images, outputs=each(given.outputs, on_gpu))
            value = loss.own_loss if traits.adversary and self.on_host else partial(self.value, loss)
            if self.on_host:
                with pytest.raises(RuntimeError, match="numpy"):
                    waits_of(value, given)
                return
            assert waits_of(value, given) == []
            if traits.adversary:
                assert waits_of(loss.own_loss, given) == []

    def test_can_be_trained_deterministically(self) -> None:
        """Needs no operation that torch refuses on a GPU in deterministic mode."""
        loss, given = self.fresh(), self.inputs(everything=True)
        assert refused_of(lambda: self.value(loss, given)) == set()
        if self.part.traits.adversary:
            assert refused_of(lambda: loss.own_loss(detached(given))) == set()


IMAGES = ("restored_BCHW", "lq_BCHW", "gt_BCHW", "clean_BCHW")
SUM: Mapping[str, Any] = {"reduction": "sum"}


class TestL1(Catalogued):
    name = "l1"


class TestSummedL1(TestL1):
    options = SUM


class TestSmoothL1(Catalogued):
    name = "smooth_l1"


class TestSummedSmoothL1(TestSmoothL1):
    options = SUM


class TestCharbonnier(Catalogued):
    name = "charbonnier"


class TestSummedCharbonnier(TestCharbonnier):
    options = SUM


class TestEdge(Catalogued):
    name = "edge"


class TestSummedEdge(TestEdge):
    options = SUM


class TestMSE(Catalogued):
    name = "mse"


class TestSummedMSE(TestMSE):
    options = SUM


class TestPSNRLoss(Catalogued):
    name = "psnr_loss"


class TestSSIMLoss(Catalogued):
    name = "ssim_loss"


class TestTV(Catalogued):
    name = "tv"


class TestRUAS(Catalogued):
    name = "ruas"
    network = "ruas"


class TestSCI(Catalogued):
    name = "sci"
    network = "sci"
    network_options: ClassVar[dict[str, Any]] = {"stage": 3}


class TestSpairMask(Catalogued):
    name = "spair_mask"
    network = "spair"
    network_options: ClassVar[dict[str, Any]] = {"width": 4, "levels": 2, "blocks": 1, "mask_width": 4}


class TestDecomposition(Catalogued):
    name = "uretinex_decomposition"
    network = "uretinex"


class TestUnfolding(Catalogued):
    name = "uretinex_unfolding"
    network = "uretinex"


@pytest.mark.usefixtures("vgg19_file")
class TestFeatures(Catalogued):
    name = "uretinex_features"
    network = "uretinex"
    sides = (32, 32)


class TestDecompositionOfTheTruth(TestDecomposition):
    """On a network that decomposes the truth as well."""

    def outputs(self, lq_BCHW: Tensor) -> Mapping[str, Any]:
        outputs = REGISTRY.load("backbone", "uretinex")(truth_trains=True).outputs(lq_BCHW, lq_BCHW)
        return {name: value for name, value in outputs.items() if name != "restored"}

    def inputs(self, **how: Any) -> LossInputs:
        return super().inputs(**{**how, "everything": True})


class TestAdjustment(Catalogued):
    name = "uretinex_adjustment"
    network = "uretinex"


class TestZeroDCE(Catalogued):
    name = "zero_dce"
    network = "zero_dce"


class TestEnlightenGAN(Catalogued):
    name = "enlightengan"
    options: ClassVar[Mapping[str, Any]] = {"patches": 2, "width": 4}


class OfClasses(Catalogued):
    def outputs(self, lq_BCHW: Tensor) -> Mapping[str, Any]:
        """Three classes, told by colour."""
        return {"segment": lambda image_BCHW: torch.softmax(8 * image_BCHW, 1)}


class TestSKFHistogram(OfClasses):
    name = "skf_histogram"


class TestSKFHistogramOfTheRestored(TestSKFHistogram):
    options: ClassVar[Mapping[str, Any]] = {"classes": "restored", "every": 1}


class TestSKFAdversarial(OfClasses):
    name = "skf_adversarial"
    options: ClassVar[Mapping[str, Any]] = {"width": 8, "class_maps": 3}


class TestSKFAdversarialOfBoth(TestSKFAdversarial):
    options: ClassVar[Mapping[str, Any]] = {
        "width": 8,
        "class_maps": 3,
        "regions": "both",
        "classes": "truth",
    }


class OfMaps(Catalogued):
    def outputs(self, lq_BCHW: Tensor) -> Mapping[str, Any]:
        """A map of structure as SMG makes one."""
        return {"structure": lq_BCHW.mean(1, keepdim=True).sigmoid()}


class TestSMGStructure(OfMaps):
    name = "smg_structure"
    on_host = True  # Canny's edges of the truth are OpenCV's


class TestSMGAdversary(OfMaps):
    name = "smg_adversary"
    on_host = True
    options: ClassVar[Mapping[str, Any]] = {"size": 64, "narrow": 0.25}


class TestSMGDepth(OfMaps):
    name = "smg_depth"

    @pytest.fixture(autouse=True)
    def weights(self, tmp_path: Path) -> None:
        self.options = {"folder": str(tiny_depth.write(tmp_path))}  # type: ignore[misc]


@pytest.mark.usefixtures("random_lpips")
class TestLPIPS(Catalogued):
    name = "lpips"


class TestAbsoluteLPIPS(TestLPIPS):
    options: ClassVar[Mapping[str, Any]] = {"scaled": False, "differences": "absolute"}


class OfVGG(Catalogued):
    sides = (32, 32)


@pytest.mark.usefixtures("vgg19_file")
class TestPerceptual(OfVGG):
    name = "perceptual"


class TestSummedPerceptual(TestPerceptual):
    options = SUM


@pytest.mark.usefixtures("vgg16_file")
class TestSelfFeature(OfVGG):
    name = "self_feature"
    options: ClassVar[Mapping[str, Any]] = {"patches": 2, "patch": 16}


def test_every_loss_is_here() -> None:
    def names(case: type[Catalogued]) -> set[str]:
        return {vars(case)["name"]} if "name" in vars(case) else set().union(*map(names, case.__subclasses__()))

    assert names(Catalogued) == set(REGISTRY.names("loss"))
