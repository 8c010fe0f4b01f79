"""Every network trains in two processes as in one: the same losses, weights and batch statistics, to rounding."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite
from tests import tiny_hrnet
from tests.unit.parts.ops.ranks import together
from tests.unit.training.several import trained

STEPS = 2
RECIPE = {"preset": "proxy", "batch": 4, "patch": 64, "steps": 300, "optimizer": "sgd", "lr": 1e-3, "clip_grad": 1.0}
"""Plain descent: Adam turns gradients that are zero but for rounding, as those of a bias before a norm, into steps."""
SMALL: dict[str, dict[str, Any]] = {
    "grl": {"embed_dim": 16, "depths": [2], "num_heads_window": [2], "num_heads_stripe": [2], "window_size": 8,
            "stripe_size": [8, 16], "local_connection": False, "drop_path_rate": 0.5},
    "uformer": {"img_size": 64, "embed_dim": 4, "depths": [1] * 9, "num_heads": [1] * 9, "win_size": 4,
                "drop_path_rate": 0.5, "drop_rate": 0.1, "attn_drop_rate": 0.1},
    "enlightengan": {"width": 4},
    "sci": {"stage": 3},
    "nafnet": {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1]},
}  # fmt: skip
IDLE = "whole.12.bias"
"""Of EnlightenGAN's adversary: its loss compares scores, and so does not depend on what is added to all of them."""
PATCHES = {"name": "enlightengan", "width": 8, "patches": 2}
HARD: dict[str, dict[str, Any]] = {
    "sci": {"backbone": "sci"},
    "enlightengan": {"backbone": "enlightengan", "recipe": {"losses": [PATCHES]}},
    "grl": {"backbone": "grl"},
    "uformer": {"backbone": "uformer"},
    "ruas": {"backbone": "ruas"},
    "mixup": {"backbone": "nafnet", "recipe": {"mixup": {"alpha": 1.2, "chance": 1.0}}},
    "sci in micro-batches": {"backbone": "sci", "recipe": {"micro_batch": 2}},
    "enlightengan in micro-batches": {
        "backbone": "enlightengan",
        "recipe": {"micro_batch": 2, "losses": [PATCHES]},
    },
    "uformer in micro-batches": {"backbone": "uformer", "recipe": {"micro_batch": 1, "mixup": 1.2}},
}
"""What trains otherwise where each process has statistics, coins or partners of its own."""


def cells(tmp_path: Path, blocks: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """The cells of a suite's blocks, JSON by name. Steps are for the recipe's checks alone."""
    found = {}
    for name, block in blocks.items():
        recipe = {**RECIPE, **block.get("recipe", {})}
        block = {**block, "backbone": sized(block["backbone"])}
        plain = {"task": "low_light", "dataset": "photos", **block, "recipe": recipe}
        file = tmp_path / "suite.yaml"
        file.write_text(json.dumps({"suite": "several", "run": {"gpus": 0}, "blocks": [plain]}))
        [cell] = [each.cell for each in open_suite(str(file))[0].cells if each.listed and each.cell.backbone]
        found[name] = cell.model_dump_json()
    return found


def sized(name: str) -> dict[str, Any]:
    return {"name": name, **SMALL.get(name, {})}


def apart(one: dict[str, Any], shares: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """(largest difference of a step's loss, as a share of it; of a weight or a running statistic, as a share of the
    tensor's largest number). Infinite where processes have not become the same, or nothing finite."""
    first = shares[0]
    losses = max(abs(a - b) / max(abs(a), 1e-3) for a, b in zip(one["losses"], first["losses"], strict=True))
    states = [(one["state"], first["state"]), *zip(one["adversaries"], first["adversaries"], strict=True)]
    pairs = [
        (value.double(), other[name].double())
        for state, other in states
        for name, value in state.items()
        if name != IDLE and value.numel()
    ]
    weights = max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-2)) for a, b in pairs)
    same = all(torch.equal(value, each["state"][name]) for each in shares[1:] for name, value in first["state"].items())
    finite = math.isfinite(losses) and all(bool(b.isfinite().all()) for _, b in pairs)
    return losses, weights if same and finite else math.inf


def differences(tmp_path: Path, ready: dict[str, str], ranks: int) -> dict[str, tuple[float, float]]:
    """Of some processes from one, by cell."""
    shares = together(trained, ranks, tmp_path, ready, STEPS)
    one = trained(0, 1, ready, STEPS)
    found = {name: apart(one[name], [share[name] for share in shares]) for name in ready}
    print("\n".join(f"{name:32} loss {loss:.1e}  weights {weight:.1e}" for name, (loss, weight) in found.items()))
    return found


def test_what_whole_batches_decide_is_decided_together(tmp_path: Path) -> None:
    ready = {name: HARD[name] for name in ("sci", "enlightengan", "uformer", "ruas", "mixup")}
    _same(differences(tmp_path, cells(tmp_path, ready), 2))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("ranks", [2, 4])
def test_so_it_is_in_several_processes_and_micro_batches(ranks: int, tmp_path: Path) -> None:
    _same(differences(tmp_path, cells(tmp_path, HARD), ranks))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_network_and_refiner(tmp_path: Path) -> None:
    """The proxies of the official recipes; SKF's segmentation network has random weights."""
    hrnet = tiny_hrnet.write(tmp_path)["checkpoint"]
    blocks: dict[str, dict[str, Any]] = {name: {"backbone": name} for name in REGISTRY.names("backbone")}
    blocks["enlightengan"] |= {"recipe": {"losses": [PATCHES]}}
    refiners = {
        "ptg_rm": {"refiner": "ptg_rm", "prior": "random"},
        "skf": {"refiner": {"name": "skf", "checkpoint": hrnet}},
        "skf, truth": {"refiner": {"name": "skf", "checkpoint": hrnet, "semantics": "truth"}},
        "smg": {"refiner": {"name": "smg", "size": 64, "narrow": 0.125}},
    }
    for name, variant in refiners.items():
        blocks[f"snr_net with {name}"] = {"backbone": "snr_net", "variant": variant}
    # SMG's form on depths differs in its losses alone, one of which needs weights that cannot be had here
    assert {*(each.partition(",")[0] for each in refiners), "smg_depth"} == set(REGISTRY.names("refiner"))
    _same(differences(tmp_path, cells(tmp_path, blocks), 2))


def _same(found: Mapping[str, tuple[float, float]]) -> None:
    wrong = {name: pair for name, pair in found.items() if pair[0] > 1e-5 or pair[1] > 1e-3}
    assert found
    assert not wrong
