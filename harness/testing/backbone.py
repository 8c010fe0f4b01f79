"""What every backbone promises. Plug-in authors inherit the class in a test file and say how to make theirs.

class TestMine(BackboneContract):
    def make(self):
        return Mine(width=8)

Weights are drawn under a fixed seed: a test that fails once fails again, whatever ran before it.
"""

from __future__ import annotations

from typing import Any

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

    half_tolerance = 0.1
    """Largest relative error under autocast to half precision, against float32."""

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
        lost = checks.without_gradient(network, lambda: network(lq).square().mean())
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

    def small_image(self, can: Capabilities) -> Tensor:
        """One image: half precision is slow on a CPU."""
        side = checks.side_for(can.min_size, can.size_multiple)
        return checks.images(1, can.channels_in, side, side)

    def test_half_precision_is_near_where_declared(self) -> None:
        network = self.make()
        can = network.capabilities
        lq = self.small_image(can)
        with checks.evaluated(network):
            expected = network(lq)
            for kind in can.half:
                with torch.autocast("cpu", getattr(torch, kind)):
                    restored = network(lq)
                checks.assert_close(restored, expected, f"{kind} autocast", tolerance=self.half_tolerance)

    @pytest.mark.slow
    def test_compiles_and_exports_where_declared(self) -> None:
        """One graph, without a break; the compiler behind it is not what is tried here."""
        network = self.stirred()
        can, lq = network.capabilities, self.images(network.capabilities)
        with checks.evaluated(network), torch.no_grad():
            expected = network(lq)
            torch._dynamo.reset()
            if can.compiles:
                compiled = torch.compile(network, backend="eager", fullgraph=True)(lq)
                checks.assert_close(compiled, expected, "compiled", tolerance=1e-4)
            if can.exports:
                exported = torch.export.export(network, (lq,)).module()(lq)
                checks.assert_close(exported, expected, "exported", tolerance=1e-4)

    def test_outputs_say_what_the_result_is_made_of(self) -> None:
        """In place of `forward` in training: the same result, and every parameter learns from all that is made."""
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
        lost = checks.without_gradient(network, lambda: checks.total(network.outputs(lq)))
        assert not lost, f"no gradient for {lost}"

    def test_decoder_features_can_be_edited(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        with checks.evaluated(network):
            plain = network(lq)
            for name in network.capabilities.decoder:
                with tapped(network, name) as features, edited(network, name, lambda x: 1.5 * x):
                    changed = network(lq)
                assert all(each.ndim == 4 and len(each) == BATCH for each in features), name
                assert not torch.equal(changed, plain), f"an edit of {name!r} does not reach the result"

    def test_taps_give_feature_maps(self) -> None:
        network = self.stirred()
        lq = self.images(network.capabilities)
        for name in network.capabilities.taps:
            with tapped(network, name) as features, checks.evaluated(network):
                network(lq)
            assert len(features) == 1, f"tap {name!r} ran {len(features)} times"
            assert features[0].ndim == 4, f"tap {name!r} gives {tuple(features[0].shape)}"
            assert len(features[0]) == BATCH, f"tap {name!r} mixes images"
