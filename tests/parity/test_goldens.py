"""Our networks equal the authors': same parameters by name and shape, same outputs for the same weights and inputs, in
both forms of operations that have two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits
from harness.api.weights import OfficialNames, Renamed
from harness.models.readings import renamed
from harness.models.weights import fill
from harness.parts.ops import forms
from tests.parity.goldens import Golden, read_golden
from tests.parity.networks.network import Network, NotSupported, builder


def test_equals_the_authors_network(golden_path: Path, record_property: Callable[[str, object], None]) -> None:
    golden = read_golden(golden_path)
    build = builder(golden.network)
    if build is None:
        pytest.skip(f"no implementation yet: {golden.network}")
    try:
        network = build(golden)
    except NotSupported as reason:
        pytest.skip(f"{golden.network}: {reason}")

    for module in network.modules.values():
        assert not isinstance(traits := getattr(module, "traits", None), BackboneTraits) or traits.verified
    fill_by_rule(network, golden)
    parameters = sum(p.numel() for module in network.modules.values() for p in module.parameters())
    assert parameters == golden.content["num_parameters"]

    with torch.inference_mode(), forms.using("lean"), forms.noting() as noted:
        outputs = network.outputs(golden.inputs())
    assert len(outputs) == len(golden.content["outputs"])
    measured = [(golden.error(i, output), golden.tolerance(i)) for i, output in enumerate(outputs)]
    if noted:
        with torch.inference_mode(), forms.using("plain"):
            defined = network.outputs(golden.inputs())
        measured += [(golden.error(i, output), golden.tolerance(i)) for i, output in enumerate(defined)]
    error, tolerance = max(measured, key=lambda pair: pair[0] / pair[1])
    record_property("parity", (golden.network, golden.content["config_label"], parameters, error, tolerance))
    assert error <= tolerance


def fill_by_rule(network: Network, golden: Golden) -> None:
    """Gives every module its share of the golden's weights, and checks that all of them are used."""
    state = golden.state()
    total = sum(tensor.double().abs().sum().item() for tensor in state.values())
    sums = dict(golden.as_built())
    for prefix, module in network.modules.items():
        mine = {key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)}
        built = {key.removeprefix(prefix): sums.pop(key) for key in list(sums) if key.startswith(prefix)}
        fill(module, mine | as_built(module, built), where=golden.path.name)
        module.eval()
    assert not state
    assert not sums
    if not golden.as_built():
        assert total == pytest.approx(golden.content["state_check"]["sum_abs_of_all_float_entries"], rel=1e-6)


def as_built(module: nn.Module, expected: dict[str, float]) -> dict[str, Tensor]:
    """The entries that the constructor makes, under their official keys, after a look at their sums."""
    own, official = module.state_dict(), module.official if isinstance(module, Renamed) else OfficialNames()
    entries = {key: own[renamed(key, official.parts)] for key in expected}
    for key, entry in entries.items():
        assert entry.double().sum().item() == pytest.approx(expected[key], rel=1e-6), key
    return entries
