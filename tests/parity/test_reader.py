"""The golden reader itself: formulas and the weights rule, on numbers worked out by hand."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.goldens import Golden, make_input

RANDOM = "default_rng(seed).random(shape).astype(float32)"


def u(shape: list[int]) -> np.ndarray:
    return np.random.default_rng(3).random(shape).astype(np.float32)


def test_formulas() -> None:
    image = make_input(f"u = {RANDOM}, in [0,1)", [2, 5], 3)
    assert np.array_equal(image, u([2, 5]))
    stretched = make_input(f"1.4*u-0.2 with u={RANDOM}", [2, 5], 3)
    assert np.allclose(stretched, 1.4 * u([2, 5]) - 0.2, atol=1e-7)
    noisy = make_input(f"u={RANDOM}, then the last channel is overwritten by the constant float32(25/255)", [2, 5], 3)
    assert np.array_equal(noisy[:, :-1], u([2, 5])[:, :-1])
    assert noisy[:, -1].tolist() == pytest.approx([25 / 255, 25 / 255])
    rows = make_input(f"u={RANDOM}; z=u-0.5; float32(20)*z/||z||_2 per row", [2, 5], 3)
    assert rows.dtype == torch.float32
    assert torch.allclose(rows.norm(dim=1), torch.tensor(20.0))
    assert rows[1, 2] / rows[1, 0] == pytest.approx((u([2, 5])[1, 2] - 0.5) / (u([2, 5])[1, 0] - 0.5), rel=1e-5)


def test_unknown_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="no reading"):
        make_input("__import__('os').getcwd()", [1], 0)


@pytest.mark.parametrize(
    ("key", "shape", "mark", "expected"),
    [
        ("conv.weight", [2, 3, 2, 2], "filled", lambda z: 0.7 * z / 12**0.5),
        ("norm.weight", [4], "filled", lambda z: 1 + 0.1 * z),
        ("norm.bias", [4], "filled", lambda z: 0.1 * z),
        ("scale", [], "filled", lambda z: 0.1 * z),
        ("bn.running_var", [4], "filled", lambda z: abs(z) + 0.5),
        ("prompt", [2, 3], "filled_z*-0.35", lambda z: -0.35 * z),
    ],
)
def test_weights_rule(key: str, shape: list[int], mark: str, expected: object) -> None:
    golden = Golden(Path("x.json"), {"state_dict": [[key, shape, "float32", mark]], "gain_on_ndim_ge_2": 0.7})
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    (entry,) = golden.state().values()
    assert entry.dtype == torch.float32
    assert np.allclose(entry, expected(z), atol=1e-6)


def test_shared_tensors_hold_one_value() -> None:
    rows = [["a", [3], "float32", "filled"], ["b", [3], "float32", "filled"]]
    content = {"state_dict": rows, "shared_tensors": [{"keys": ["a", "b"], "holds_value_of": "b"}]}
    state = Golden(Path("x.json"), content).state()
    assert torch.equal(state["a"], state["b"])


def test_tolerance_follows_the_outputs_scale_and_the_noise_floor() -> None:
    content = {"name": "restormer", "outputs": [{"std": 2.0}, {"std": 0.0}], "float64_rerun_max_abs_diff": [1e-7, 3e-5]}
    golden = Golden(Path("x.json"), content)
    assert golden.tolerance(0) == pytest.approx(2e-4)
    assert golden.tolerance(1) == pytest.approx(3e-4)
    assert Golden(Path("x.json"), content | {"name": "ptg_rm"}).tolerance(0) == 1e-5
