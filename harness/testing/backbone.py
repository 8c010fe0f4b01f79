"""What every backbone promises. Plug-in authors inherit the class in a test file and say how to make their network.

class TestMine(BackboneContract):
    def make(self):
        return Mine(width=8)

Weights are drawn under a fixed seed: a test that fails once fails again, whatever ran before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.parts.ops.whole_batch import passes
from harness.parts.shared.taps import edited, tapped
from harness.testing import checks, shares
from harness.testing.part import PartContract
from harness.training.tryout import Call, tried

BATCH = 2
SEED = 0


class BackboneContract(PartContract):
    """Restored images of the size of the input, with weights from a seed. Make it small: a CPU runs the tests."""

    kind = "backbone"
    half_tolerance: ClassVar[Mapping[str, float]] = {"bfloat16": 0.1, "float16": 0.02}
    """Largest relative error under autocast, against float32."""

    def make(self) -> Any:
        """A fresh backbone: an nn.Module with `capabilities`, of a class with `traits`."""
        raise NotImplementedError

    def images(self, can: Capabilities, *, extra: int = 0, seed: int = 0) -> Tensor:
        """Inputs to try, B×C×H×W in [0, 1], whose sides are `extra` pixels longer than the network takes."""
        side = can.fitting(32)
        return checks.images(BATCH, can.channels_in, side + extra, 2 * side + extra, seed=seed)

    def fresh(self) -> Any:
        """What `make` gives under the seed of these tests."""
        with checks.seeded(SEED):
            return self.make()

    @cached_property
    def part(self) -> Any:
        return type(self.fresh())

    def stirred(self) -> Any:
        """What `fresh` gives, with noise on every parameter."""
        network = self.fresh()
        checks.stir(network)
        return network

    def test_declares_what_it_can(self) -> None:
        """Declares its capabilities, which depend on its options."""
        network = self.fresh()
        assert isinstance(network, nn.Module), f"{self.part.__name__} is not an nn.Module"
        can = network.capabilities
        assert isinstance(can, Capabilities), f"`capabilities` is a {type(can).__name__}"
        assert can.size_multiple >= 1, f"size_multiple = {can.size_multiple}"
        assert can.min_size >= 1, f"min_size = {can.min_size}"
        assert can.tile is None or can.tile % can.size_multiple == 0, f"a tile of {can.tile} does not fit the network"
        assert can.restorations >= 1, f"restorations = {can.restorations}"

    def test_declares_its_traits(self) -> None:
        """Declares traits of its own, and has what they say."""
        super().test_declares_its_traits()
        network = self.fresh()
        traits, can = self.part.traits, network.capabilities
        assert isinstance(traits, BackboneTraits)
        assert traits.taps == bool(can.taps), "`taps` in the traits and in the capabilities differ"
        assert traits.decoder == bool(can.decoder), "`decoder` in the traits and in the capabilities differ"
        assert traits.outputs == hasattr(network, "outputs"), "`outputs` in the traits says whether there is the method"
        assert not (traits.verified and traits.reimplemented), "held to the authors' network, or without one"
        assert traits.licence, "say the licence of the network's code"
        assert traits.paper, "say where the network was published"
        checks.assert_stages_name_modules(network, traits.stages)

    def test_keeps_the_size(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        with checks.evaluated(network):
            restored = network(lq)
        wanted = (BATCH, network.capabilities.channels_out, *lq.shape[-2:])
        assert restored.shape == wanted, f"{checks.told(lq)} becomes {checks.told(restored)}"
        assert restored.dtype == lq.dtype, f"{checks.told(lq)} becomes {checks.told(restored)}"
        assert restored.isfinite().all(), "some values are not finite"

    def test_smallest_size_works(self) -> None:
        network = self.stirred()
        can = network.capabilities
        side = can.fitting(1)
        with checks.evaluated(network):
            restored = network(checks.images(1, can.channels_in, side, side))
        assert restored.isfinite().all(), f"some values are not finite at {side}×{side} pixels"

    def test_odd_sizes_work_once_padded(self) -> None:
        network = self.stirred()
        lq = checks.pad_to(self.images(network.capabilities, extra=3), network.capabilities.size_multiple)
        with checks.evaluated(network):
            restored = network(lq)
        assert restored.shape[-2:] == lq.shape[-2:], f"{checks.told(lq)} becomes {checks.told(restored)}"

    def test_gradient_reaches_every_parameter(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        train = network.outputs if self.part.traits.outputs else network
        truth = () if self.part.traits.reads_truth is None else (self.images(network.capabilities),)
        lost = checks.without_gradient(network, lambda: checks.total(train(lq, *truth)))
        assert not lost, f"no gradient for {', '.join(lost)}"

    def test_is_told_of_every_image(self) -> None:
        """Where it is told settings of the degradation, restores each image at its own."""
        network = self.stirred()
        told = network.capabilities.told
        lost = [name for name in told if name not in self.part.traits.from_task]
        assert not lost, f"`told` has {', '.join(lost)}, which `from_task` does not have"
        if not told:
            return
        lq = self.images(network.capabilities)
        one, other = (torch.full((BATCH,), value) for value in (1.0, 2.0))
        mixed = torch.tensor([1.0, 2.0])
        with checks.evaluated(network):
            low, high, both = (network(lq, *[values] * len(told)) for values in (one, other, mixed))
            assert network(lq, *[None] * len(told)).shape == low.shape, "without settings, as when costs are measured"
        assert not torch.equal(low, high), f"{', '.join(told)} = 1 and = 2 give the same result"
        checks.assert_close(both, torch.stack([low[0], high[1]]), "each at its own and all at one", tolerance=1e-5)

    def test_is_guided_by_the_map_that_it_makes(self) -> None:
        """Where it is guided by a map of its input, gives the same under that map, and something else under another."""
        if not self.part.traits.guided:
            return
        network = self.stirred()
        lq = self.images(network.capabilities)
        with checks.evaluated(network):
            guide = network.guide(lq)
            plain, same, other = network(lq), network.guided(lq, guide), network.guided(lq, 1 - guide)
        assert len(guide) == len(lq), f"guide gives {checks.told(guide)} for {checks.told(lq)}"
        checks.assert_close(plain, same, "guided by its own map, and not told of any", tolerance=1e-5)
        assert not torch.equal(same, other), "another map changes nothing"

    def test_image_does_not_depend_on_its_batch(self) -> None:
        """Restores an image in test as it does alone, whatever is beside it, dark or bright."""
        network = self.stirred()
        can = network.capabilities
        side = can.fitting(16)
        lq = shares.exposed(checks.images(shares.BATCH, can.channels_in, side, 2 * side))
        with checks.evaluated(network):
            together, alone = network(lq), torch.cat([network(image) for image in lq.split(1)])
        checks.assert_close(together, alone, "in a batch and alone", tolerance=1e-5)

    def test_shares_of_a_batch_train_as_the_whole(self) -> None:
        """Gives an image the same in training, whether one process has its batch or several share it."""
        network = self.stirred().train()
        can = network.capabilities
        side = can.fitting(16)
        lq, truth = (shares.exposed(checks.images(shares.BATCH, can.channels_in, side, side, seed=n)) for n in (0, 1))
        reads_truth = self.part.traits.reads_truth is not None

        def compute(network: Any, places: slice) -> Any:
            train = network.outputs if self.part.traits.outputs else network
            return train(lq[places], *((truth[places],) if reads_truth else ()))

        found = shares.tried(network, compute)
        shares.assert_rows_alike(found, tolerance=1e-4)
        shares.assert_buffers_alike(found, tolerance=1e-4)

    def test_leaves_the_images_alone(self) -> None:
        """Leaves the images that it is given unchanged."""
        network = self.stirred()
        lq = self.images(network.capabilities)
        before = lq.clone()
        with checks.evaluated(network):
            network(lq)
        assert torch.equal(lq, before), "the images have changed: others read them after it"

    def test_state_round_trip(self) -> None:
        network, other = self.stirred(), self.make()
        other.load_state_dict(network.state_dict(), strict=True)
        lq = self.images(network.capabilities)
        with checks.evaluated(network), checks.evaluated(other):
            assert torch.equal(network(lq), other(lq)), "another network with its state gives another image"

    def test_weights_come_from_the_seed(self) -> None:
        assert checks.same_twice(self.make), "draw weights from PyTorch's global CPU generator only"

    def test_half_precision_is_near_where_declared(self) -> None:
        """Gives nearly the same in half precision where it says so."""
        network = self.fresh()
        can = network.capabilities
        # One small image: a CPU without half-precision units is slow.
        side = can.fitting(16)
        lq = checks.images(1, can.channels_in, side, side)
        with checks.evaluated(network):
            expected = network(lq)
            for name in self.part.traits.half:
                with torch.autocast("cpu", getattr(torch, name)):
                    restored = network(lq)
                checks.assert_close(restored, expected, f"{name} autocast", tolerance=self.half_tolerance[name])

    def test_compiles_and_exports_where_declared(self) -> None:
        """Compiles and exports as one graph where it says so, and trains as one; what a compiler makes of it is not
        tested."""
        network, traits = self.stirred(), self.part.traits
        lq = self.images(network.capabilities)
        with checks.evaluated(network), torch.no_grad():
            expected = network(lq)
            if traits.compiles:
                torch._dynamo.reset()
                compiled = torch.compile(network, backend="eager", fullgraph=True)(lq)
                checks.assert_close(compiled, expected, "compiled", tolerance=1e-4)
            if traits.exports:
                exported = torch.export.export(network, (lq,)).module()(lq)
                checks.assert_close(exported, expected, "exported", tolerance=1e-4)
        if traits.compiles:
            self.assert_trains_as_graph("aot_eager")

    def assert_trains_as_graph(self, backend: str) -> None:
        """A training pass and its gradients are one graph, with the numbers of the network as written."""
        network = self.stirred().train()
        train, can = network.outputs if self.part.traits.outputs else network, network.capabilities
        truth = () if self.part.traits.reads_truth is None else (self.images(can, seed=1),)
        call = Call.of(network, train, (self.images(can), *truth), passes(BATCH)[0], SEED)
        torch._dynamo.reset()
        reason = tried(call, faster=False, backend=backend).reason
        assert not reason, f"`compiles`, but not in training: {reason}"

    def test_outputs_say_what_the_result_is_made_of(self) -> None:
        """Gives in `outputs` the result of `forward`, and as many restorations as it declares."""
        network = self.stirred()
        can = network.capabilities
        if not self.part.traits.outputs:
            assert can.restorations == 1, f"restorations = {can.restorations}, and outputs=False in the traits"
            return
        lq = self.images(can)
        with checks.evaluated(network):
            outputs = network.outputs(lq)
            checks.assert_close(outputs["restored"], network(lq), "outputs and forward", tolerance=1e-6)
        restorations = outputs.get("restorations", (outputs["restored"],))
        count = len(restorations)
        assert count == can.restorations, f"{count} restorations, and {can.restorations} declared"
        assert torch.equal(restorations[0], outputs["restored"]), "the first restoration is not the result"
        shapes = {checks.told(restoration) for restoration in restorations}
        assert len(shapes) == 1, f"restorations of several sizes: {', '.join(sorted(shapes))}"

    def test_decoder_features_can_be_edited(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        plain, decoder = _features(network, network.capabilities.decoder, lq)
        heights = []
        for name, (first, *others) in decoder.items():
            assert first.ndim == 4, f"{name!r} gives {tuple(first.shape)}"
            assert len(first) == BATCH, f"{name!r} mixes images"
            assert not others, f"{name!r} runs more than once"
            with checks.evaluated(network), edited(network, name, lambda x: 1.5 * x):
                assert not torch.equal(network(lq), plain), f"an edit of {name!r} does not reach the result"
            heights.append(first.shape[-2])
        assert heights == sorted(heights), "decoder features go from coarse to fine"

    def test_taps_give_feature_maps(self) -> None:
        network = self.stirred()
        _, taps = _features(network, network.capabilities.taps, self.images(network.capabilities))
        for name, features in taps.items():
            assert len(features) == 1, f"tap {name!r} ran {len(features)} times"
            assert features[0].ndim == 4, f"tap {name!r} gives {tuple(features[0].shape)}"
            assert len(features[0]) == BATCH, f"tap {name!r} mixes images"


def _features(network: nn.Module, names: Iterable[str], lq_BCHW: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """The restoration, and what the modules of these names gave on the way."""
    with ExitStack() as stack:
        features = {name: stack.enter_context(tapped(network, name)) for name in names}
        stack.enter_context(checks.evaluated(network))
        return network(lq_BCHW), features
