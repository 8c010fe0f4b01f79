"""Trials leave what plug-ins import as it is, and rehearse once what several cells have in common."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.parts.catalogue import REGISTRY
from harness.training import trial
from harness.training.trial import Trial
from tests.unit.training.test_trial import problems

LAZY = '''
import torch
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities


class Net(nn.Module):
    """A network that imports a helper with a table of numbers where it needs them."""

    traits = BackboneTraits()

    def __init__(self, *, width: int = 4, late: bool = True) -> None:
        super().__init__()
        self.capabilities = Capabilities()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1))
        self.late = late
        if not late:
            import own_table

    def forward(self, lq_BCHW):
        if self.late:
            import own_table
        return self.body(lq_BCHW)


CATALOGUE = (("backbone", "net", "Net"),)
'''


@pytest.mark.parametrize("late", ["true", "false"])
@pytest.mark.parametrize("light", [0, 1e18])
def test_what_a_plugin_imports_in_a_trial_keeps_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, light: float
) -> None:
    monkeypatch.setattr(trial, "LIGHT", light)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own_table.py").write_text("import torch\n\nTABLE = torch.tensor([1.0, 2.0])\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    monkeypatch.delitem(sys.modules, "own_table", raising=False)
    assert problems(tmp_path, f"  - backbone: {{name: net, late: {late}}}\n", LAZY) == []
    assert sys.modules["own_table"].TABLE.tolist() == [1.0, 2.0]


def test_priors_of_one_width_share_a_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(trial, "rehearse", lambda _cell, _model, dim, *_: seen.append(dim))
    tested, part, train = Trial(REGISTRY), PartRef(name="low_light"), PartRef(name="photos")
    random = [PartRef(name="random", options={"dim": dim}) for dim in (36, 9)]
    for prior in (PartRef(name="nss"), *random, PartRef(name="nss")):
        variant = Variant(refiner=PartRef(name="ptg_rm"), prior=prior)
        cell = Cell(task=part, train=train, backbone=PartRef(name="zero_dce"), variant=variant)
        assert tested.faults(cell) == ()
    assert seen == [36, 9]
