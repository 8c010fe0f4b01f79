"""Reads goldens: sampled outputs of the authors' networks on inputs and weights that are made by rule.

A golden is a JSON file with the network's name and configuration, one row [key, shape, dtype, mark] an entry of its
state dict, the inputs as (shape, seed, formula) and, for each output, mean, std, min, max and 64 samples.

The weights rule, in float32: z = default_rng(crc32(key)).standard_normal(shape); a running variance is |z| + 0.5; two
or more dimensions: z / √(numbers feeding one output), times the file's gain; a vector named weight: 1 + 0.1 z; the
rest: 0.1 z. Mark `filled_z*F`: z · F instead. Mark `as_built`: what the constructor made, checked by its sum.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMBER = r"[-+]?\d+(?:\.\d+)?"
RANDOM = r"default_rng\(seed\)\.random\(shape\)\.astype\(float32\)"
PLAIN = re.compile(rf"u ?= ?{RANDOM}, in \[0,1\)")
AFFINE = re.compile(rf"({NUMBER})\*u({NUMBER}) with u ?= ?{RANDOM}")
LAST_CHANNEL = re.compile(
    rf"u ?= ?{RANDOM}, then the last channel is overwritten by the constant float32\(({NUMBER})/({NUMBER})\)"
)
UNIT_ROWS = re.compile(rf"u ?= ?{RANDOM}; z=u-0\.5; (?:float32\(({NUMBER})\)\*)?z/\|\|z\|\|_2 per row")


@dataclass(frozen=True)
class Golden:
    """One file, parsed."""

    path: Path
    content: Mapping[str, Any]

    @property
    def network(self) -> str:
        return self.content["name"]

    @property
    def config(self) -> Mapping[str, Any]:
        return self.content["config"]

    def state(self) -> dict[str, Tensor]:
        """Every entry that the rule fills, under the official keys."""
        gain = self.content.get("gain_on_ndim_ge_2", 1.0)
        rows = self.content["state_dict"]
        state = {key: _entry(key, shape, mark, gain) for key, shape, _, mark in rows if mark != "as_built"}
        for group in self.content.get("shared_tensors", ()):
            state |= {key: state[group["holds_value_of"]] for key in group["keys"] if key in state}
        return state

    def as_built(self) -> list[tuple[str, float]]:
        """Official keys that the rule leaves as the constructor makes them, with their sums."""
        return [(key, check["sum"]) for key, check in self.content.get("as_built", {}).items()]

    def inputs(self) -> dict[str, Tensor]:
        rows = self.content["inputs"]
        return {row["name"]: make_input(row["value"], row["shape"], row["seed"]) for row in rows}

    def tolerance(self, position: int) -> float:
        """Largest error of output `position` that counts as equal."""
        floors = self.content.get("float64_rerun_max_abs_diff") or []
        floor = (floors[position] if position < len(floors) else None) or 0.0
        if self.network == "ptg_rm":
            return max(1e-5, floor)
        return max(1e-4 * self.content["outputs"][position]["std"], 10 * floor)

    def error(self, position: int, output: Tensor) -> float:
        """Largest difference from output `position`: over its samples, mean, std, min and max."""
        expected = self.content["outputs"][position]
        assert list(output.shape) == expected["shape"], f"{list(output.shape)}, not {expected['shape']}"
        flat = output.double().flatten().numpy()
        indices = np.random.default_rng(7).integers(0, flat.size, 64)
        assert indices.tolist() == expected["sample_indices"]
        differences = [abs(flat[indices] - np.array(expected["samples"])).max()]
        differences += [abs(getattr(np, name)(flat) - expected[name]) for name in ("mean", "std", "min", "max")]
        return float(max(differences))


def read_golden(path: Path) -> Golden:
    return Golden(path, json.loads(path.read_text(encoding="utf-8")))


def make_input(formula: str, shape: list[int], seed: int) -> Tensor:
    """The array that one of the known formulas describes. Raises ValueError for another."""
    u = np.random.default_rng(seed).random(shape).astype(np.float32)
    if PLAIN.fullmatch(formula):
        return torch.from_numpy(u)
    if match := AFFINE.fullmatch(formula):
        return torch.from_numpy(np.float32(match[1]) * u + np.float32(match[2]))
    if match := LAST_CHANNEL.fullmatch(formula):
        u[:, -1] = np.float32(float(match[1]) / float(match[2]))
        return torch.from_numpy(u)
    if match := UNIT_ROWS.fullmatch(formula):
        z = u - np.float32(0.5)
        return torch.from_numpy(np.float32(match[1] or 1) * z / np.linalg.norm(z, axis=1, keepdims=True))
    raise ValueError(f"no reading of the input formula {formula!r}")


def _entry(key: str, shape: list[int], mark: str, gain: float) -> Tensor:
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    z = np.asarray(z, dtype=np.float32)
    if mark.startswith("filled_z*"):
        z = z * np.float32(mark.removeprefix("filled_z*"))
    elif mark != "filled":
        raise ValueError(f"{key}: unknown mark {mark!r}")
    elif key.endswith("running_var"):
        z = abs(z) + np.float32(0.5)
    elif z.ndim >= 2:
        z = z / np.float32(math.sqrt(math.prod(shape[1:]))) * np.float32(gain)
    elif z.ndim == 1 and key.endswith("weight"):
        z = 1 + np.float32(0.1) * z
    else:
        z = np.float32(0.1) * z
    return torch.from_numpy(np.asarray(z, dtype=np.float32))
