"""What every backbone promises. Plug-in authors inherit the class in a test file and say how to make theirs.

class TestMine(BackboneContract):
    def make(self):
        return Mine(width=8)

Weights are drawn under a fixed seed: a test that fails once fails again, whatever ran before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from harness.api.parts import Capabilities
from harness.parts.taps import edited, tapped
from harness.testing import checks

BATCH = 2
SEED = 0


class BackboneContract:
    """Tests for pytest; make the network small, a CPU runs them."""

    half_tolerance: ClassVar[Mapping[str, float]] = {"bfloat16": 0.1, "float16": 0.02}
    """Largest relative error under autocast, against float32."""

    def make(self) -> Any:
        """A fresh backbone, an nn.Module with `capabilities`."""
        raise NotImplementedError

    def images(self, can: Capabilities, *, extra: int = 0, seed: int = 0) -> Tensor:
        """Inputs to try, B×C×H×W in [0, 1]; `extra` pixels more than a fitting size."""
        side = checks.side_for(can.min_size, can.size_multiple)
        return checks.images(BATCH, can.channels_in, side + extra, 2 * side + extra, seed=seed)

    def fresh(self) -> Any:
        """What `make` gives under the seed of these tests."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(SEED)
            return self.make()

    def stirred(self) -> Any:
        network = self.fresh()
        checks.stir(network)
        return network

    def test_declares_what_it_can(self) -> None:
        network = self.fresh()
        assert isinstance(network, nn.Module)
        can = network.capabilities
        assert isinstance(can, Capabilities)
        assert can.size_multiple >= 1
        assert can.min_size >= 1
        assert can.tile is None or can.tile % can.size_multiple == 0
        assert can.stages >= 1
        assert not (can.verified and can.reimplemented), "held to the authors' network, or without one"
        assert can.licence, "say the licence of the network's code"
        assert can.paper, "say where the network was published"

    def test_keeps_the_size(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        with checks.evaluated(network):
            restored = network(lq)
        assert restored.shape == (BATCH, network.capabilities.channels_out, *lq.shape[-2:])
        assert restored.dtype == lq.dtype
        assert restored.isfinite().all()

    def test_smallest_size_works(self) -> None:
        network = self.stirred()
        can = network.capabilities
        side = checks.side_for(can.min_size, can.size_multiple, at_least=1)
        with checks.evaluated(network):
            assert network(checks.images(1, can.channels_in, side, side)).isfinite().all()

    def test_odd_sizes_work_once_padded(self) -> None:
        network = self.stirred()
        lq = checks.pad_to(self.images(network.capabilities, extra=3), network.capabilities.size_multiple)
        with checks.evaluated(network):
            assert network(lq).shape[-2:] == lq.shape[-2:]

    def test_gradient_reaches_every_parameter(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        made = getattr(network, "outputs", network)
        lost = checks.without_gradient(network, lambda: checks.total(made(lq)))
        assert not lost, f"no gradient for {lost}"

    def test_image_does_not_depend_on_its_batch(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        with checks.evaluated(network):
            together, alone = network(lq), torch.cat([network(image) for image in lq.split(1)])
        checks.assert_close(together, alone, "in a batch and alone", tolerance=1e-5)

    def test_state_round_trip(self) -> None:
        network, other = self.stirred(), self.make()
        other.load_state_dict(network.state_dict(), strict=True)
        lq = self.images(network.capabilities)
        with checks.evaluated(network), checks.evaluated(other):
            assert torch.equal(network(lq), other(lq))

    def test_weights_come_from_the_seed(self) -> None:
        assert checks.same_twice(self.make), "draw weights from PyTorch's global CPU generator only"

    def test_half_precision_is_near_where_declared(self) -> None:
        network = self.fresh()
        can = network.capabilities
        # One small image: a CPU without half-precision units takes its time.
        side = checks.side_for(can.min_size, can.size_multiple, at_least=16)
        lq = checks.images(1, can.channels_in, side, side)
        with checks.evaluated(network):
            expected = network(lq)
            for name in can.half:
                with torch.autocast("cpu", getattr(torch, name)):
                    restored = network(lq)
                checks.assert_close(restored, expected, f"{name} autocast", tolerance=self.half_tolerance[name])

    @pytest.mark.slow
    def test_compiles_and_exports_where_declared(self) -> None:
        """One graph, without a break; the compiler behind it is not what is tried here."""
        network = self.stirred()
        can, lq = network.capabilities, self.images(network.capabilities)
        with checks.evaluated(network), torch.no_grad():
            expected = network(lq)
            if can.compiles:
                torch._dynamo.reset()
                compiled = torch.compile(network, backend="eager", fullgraph=True)(lq)
                checks.assert_close(compiled, expected, "compiled", tolerance=1e-4)
            if can.exports:
                exported = torch.export.export(network, (lq,)).module()(lq)
                checks.assert_close(exported, expected, "exported", tolerance=1e-4)

    def test_outputs_say_what_the_result_is_made_of(self) -> None:
        """In place of `forward` in training: the same result, and as many stages as declared."""
        network = self.stirred()
        can = network.capabilities
        if not hasattr(network, "outputs"):
            assert can.stages == 1
            return
        lq = self.images(can)
        with checks.evaluated(network):
            made = network.outputs(lq)
            checks.assert_close(made["restored"], network(lq), "outputs and forward", tolerance=1e-6)
        stages = made.get("stages", (made["restored"],))
        assert len(stages) == can.stages
        assert torch.equal(stages[0], made["restored"])
        assert all(stage.shape == made["restored"].shape for stage in stages)

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
