"""What parts give back: refused with words, the file and the line where it breaks what their kinds promise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.core.errors import HarnessError
from harness.core.registry import Entry, Registry
from harness.core.running import import_file
from harness.parts import guard

IMAGES = torch.zeros(2, 3, 8, 8)
CLEAN = np.full((4, 5, 3), 0.5, np.float32)
GUEST = str(Path(__file__).with_name("guest.py"))
PART = import_file(GUEST).Guest()


class Own(torch.Tensor): ...


def refused(check: Callable[[], Any]) -> str:
    with pytest.raises(HarnessError) as caught:
        check()
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{GUEST}:6")
    return caught.value.what


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (None, "Guest gives a NoneType and not a tensor 2×4 float32"),
        (np.zeros((2, 4), np.float32), "Guest gives a ndarray and not a tensor 2×4 float32"),
        (torch.zeros(4, 4), "Guest gives 4×4 for 2×3×8×8, and its dim is 4"),
        (torch.zeros(2, 3), "Guest gives 2×3 for 2×3×8×8, and its dim is 4"),
        (torch.zeros(2, 0), "Guest gives 2×0 for 2×3×8×8, and its dim is 4"),
        (torch.zeros(8), "Guest gives 8 for 2×3×8×8, and its dim is 4"),
        (torch.zeros(2, 4, 1), "Guest gives 2×4×1 for 2×3×8×8, and its dim is 4"),
        (torch.zeros(2, 4, dtype=torch.float64), "Guest gives float64"),
        (torch.zeros(2, 4, dtype=torch.float16), "Guest gives float16"),
        (torch.zeros(2, 4, dtype=torch.int64), "Guest gives int64"),
        (torch.zeros(2, 4, dtype=torch.complex64), "Guest gives complex64"),
        (torch.zeros(2, 4).to_sparse(), "Guest gives its vectors as a sparse_coo tensor"),
        (torch.zeros(2, 4).as_subclass(Own), "Guest gives a Own and not a tensor 2×4 float32"),
        (torch.zeros(2, 4, device="meta"), "Guest gives its vectors on meta, and the images are on cpu"),
    ],
)
def test_rows_are_one_vector_an_image(rows: Any, what: str) -> None:
    assert refused(lambda: guard.check_rows(PART, rows, IMAGES, 4)) == what


def test_sound_rows_pass() -> None:
    rows = torch.ones(2, 4)
    assert guard.check_rows(PART, rows, IMAGES, 4) is rows


@pytest.mark.parametrize("dim", [0, -1, 2.0, "8", None, True, (2, 2)])
def test_a_width_is_a_number_above_zero(dim: Any) -> None:
    assert refused(lambda: guard.check_width(PART, dim)).startswith("Guest says that its vectors have")


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 0), [2, 2, 2], (2, 2, 3), (2.0, 2, 2)])
def test_a_shape_of_maps_agrees_with_the_width(shape: Any) -> None:
    assert "that its maps have the shape" in refused(lambda: guard.check_width(PART, 8, shape))
    assert guard.check_width(PART, 8, (2, 2, 2)) == (2, 2, 2)


@pytest.mark.parametrize(
    ("degraded", "what"),
    [
        (None, "Guest gives a NoneType for image 'a'"),
        (np.ma.masked_greater(CLEAN, 0.9), "Guest gives a MaskedArray of 4×5×3 float32 for image 'a'"),
        (CLEAN[1:], "Guest gives 3×5×3 for image 'a', which is 4×5×3"),
        (CLEAN[..., :1], "Guest gives 4×5×1 for image 'a', which is 4×5×3"),
        ((CLEAN * 255).astype(np.uint8), "Guest gives a ndarray of 4×5×3 uint8 for image 'a'"),
        (CLEAN * 255, "Guest gives pixels from 127.5 to 127.5 for image 'a', and white is 1"),
        (CLEAN * np.nan, "Guest gives pixels that are not finite for image 'a'"),
    ],
)
def test_a_degraded_image_is_floats_of_the_same_shape(degraded: Any, what: str) -> None:
    assert refused(lambda: guard.check_degraded(PART, degraded, CLEAN, "a")) == what


def test_noise_may_leave_the_range() -> None:
    for kind in (np.float32, np.float64):
        noisy = (CLEAN + np.random.default_rng(0).normal(0, 2.0, CLEAN.shape)).astype(kind)
        assert guard.check_degraded(PART, noisy, CLEAN, "a") is noisy


@pytest.mark.parametrize("value", [None, "1", True, 1j, np.zeros(1), np.float64(1) * np.ones(3), torch.tensor(1.0)])
def test_a_metric_gives_one_number(value: Any) -> None:
    assert refused(lambda: guard.check_value(PART, value)).endswith("for one image")


@pytest.mark.parametrize("value", [1, 1.5, np.float32(2), np.int64(3), float("inf")])
def test_numbers_of_numpy_are_numbers(value: Any) -> None:
    found = guard.check_value(PART, value)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize(
    ("restored", "what"),
    [
        ((IMAGES,), "Guest gives a tuple and not a tensor"),
        (IMAGES[:1], "Guest gives 1×3×8×8 for 2×3×8×8"),
        (IMAGES[..., :4], "Guest gives 2×3×8×4 for 2×3×8×8"),
        (IMAGES[:, :1], "Guest gives 2×1×8×8 for 2×3×8×8"),
        (IMAGES.byte(), "Guest gives uint8 and not floats"),
        (IMAGES.double(), "Guest gives float64 for float32"),
        (IMAGES.half(), "Guest gives float16 for float32"),
        (IMAGES.to_sparse(), "Guest gives its images as a sparse_coo tensor"),
        (IMAGES.to("meta"), "Guest gives its images on meta, and it got them on cpu"),
    ],
)
def test_a_restoration_has_the_size_of_its_input(restored: Any, what: str) -> None:
    assert refused(lambda: guard.check_restored(PART, restored, IMAGES, 3)) == what


def test_the_precision_is_that_of_the_input_or_of_autocast() -> None:
    half = IMAGES.bfloat16()
    assert guard.check_restored(PART, half, half, 3) is half
    with torch.autocast("cpu", torch.bfloat16):
        assert guard.check_restored(PART, half, IMAGES, 3) is half
        assert guard.check_restored(PART, IMAGES, half, 3) is IMAGES
        assert refused(lambda: guard.check_restored(PART, IMAGES.double(), IMAGES, 3)) == (
            "Guest gives float64 for float32"
        )
    assert refused(lambda: guard.check_restored(PART, half, IMAGES, 3)) == "Guest gives bfloat16 for float32"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (1.0, "Guest gives a float and not a tensor"),
        (torch.ones(3), "Guest gives 3 float32"),
        (torch.ones(1), "Guest gives 1 float32"),
        (torch.tensor(1), "Guest gives one int64"),
        (torch.tensor(1.0), "Guest has no gradient for the restored images"),
    ],
)
def test_a_loss_is_a_scalar_with_a_gradient(value: Any, what: str) -> None:
    assert refused(lambda: guard.check_loss(PART, value, learns=True)) == what


def test_a_loss_that_is_zero_for_now_needs_no_gradient() -> None:
    zero = torch.zeros(())
    assert guard.check_loss(PART, zero, learns=False) is zero


def test_a_change_in_place_is_seen() -> None:
    images, same = torch.ones(2, 3), torch.ones(2)
    before = guard.versions_of(images, None, same)
    guard.check_unchanged(PART, before, images, None, same)
    with torch.no_grad():
        images[0].mul_(2)  # through a view
    assert "changes what it is given" in refused(lambda: guard.check_unchanged(PART, before, images, None, same))


@pytest.mark.parametrize("change", [lambda x: x.data.mul_(2), lambda x: x.numpy().fill(0.5)])
def test_a_change_that_torch_does_not_count_is_seen_in_the_values(change: Callable[[torch.Tensor], Any]) -> None:
    images, same = torch.ones(2, 3), torch.tensor([torch.nan, torch.inf])
    before = guard.copies_of(images, None, same)
    guard.check_same(PART, before, images, None, same)
    change(images)
    assert "changes what it is given" in refused(lambda: guard.check_same(PART, before, images, None, same))


def test_a_number_that_no_float_holds_is_the_metrics_fault() -> None:
    assert "too large for a float" in refused(lambda: guard.check_value(PART, 10**400))


def test_inference_tensors_count_no_changes() -> None:
    with torch.inference_mode():
        images = torch.ones(2)
        before = guard.versions_of(images)
        images.mul_(2)
    guard.check_unchanged(PART, before, images)


@pytest.mark.parametrize(
    ("edited", "what"),
    [
        (IMAGES.long(), "Guest edits a map of floats to int64"),
        (IMAGES.bool(), "Guest edits a map of floats to bool"),
        (IMAGES.to("meta"), "Guest edits a map on cpu to one on meta"),
        (IMAGES[:1], "Guest edits a map 2×3×8×8 to 1×3×8×8"),
        (None, "Guest edits a map 2×3×8×8 to a NoneType"),
    ],
)
def test_an_edited_map_stays_a_map(edited: Any, what: str) -> None:
    assert refused(lambda: guard.check_edited(PART, edited, IMAGES)) == what
    assert guard.check_edited(PART, IMAGES.half(), IMAGES).dtype is torch.float16


def test_a_control_gives_a_row_a_key() -> None:
    sound = np.ones((3, 4))
    assert guard.check_derived(PART, sound, 3, 4) is sound
    assert guard.check_derived(PART, sound, 3, None) is sound
    for rows in (None, sound.astype(int), sound[0], sound[:2], sound[:, :2], sound[:, :0], sound * np.nan):
        refused(partial(guard.check_derived, PART, rows, 3, 4))


NETWORKS = """
import torch
from torch import nn

from harness.api.backbone import BackboneTraits, Capabilities


class Plain:
    "No module."

    traits = BackboneTraits()


class Silent(nn.Module):
    "No capabilities."

    traits = BackboneTraits()

    def __init__(self, *, width: int = 1) -> None:
        super().__init__()


class Needy(nn.Module):
    "Wants what nobody gives."

    traits = BackboneTraits()

    def __init__(self, channels) -> None:
        super().__init__()


class Twice(nn.Module):
    "Overwrites what its gradient needs."

    traits = BackboneTraits()
    capabilities = Capabilities()

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, lq_BCHW):
        out = torch.exp(lq_BCHW * self.weight)
        once = out * 2
        out.mul_(3)
        return once
"""


@pytest.fixture
def networks(tmp_path: Path) -> tuple[Registry, str]:
    file = tmp_path / "networks.py"
    file.write_text(NETWORKS)
    names = ("Plain", "Silent", "Needy", "Twice")
    return Registry([Entry("backbone", name.lower(), f"{file}:{name}") for name in names]), str(file)


def test_what_is_no_network_is_the_plug_ins_fault(networks: tuple[Registry, str]) -> None:
    registry, file = networks
    silent = guard.made_module(registry, "backbone", "silent")
    for line, what, make in (
        (8, "Plain is no nn.Module", lambda: guard.made_module(registry, "backbone", "plain")),
        (14, "Silent: AttributeError: 'Silent' object has no attribute 'capabilities'",
         lambda: guard.capabilities_of(silent)),
        (23, "Needy: TypeError: Needy.__init__() missing 1 required positional argument: 'channels'",
         lambda: guard.made_module(registry, "backbone", "needy")),
    ):  # fmt: skip
        with pytest.raises(HarnessError) as caught:
            make()
        assert (caught.value.kind, caught.value.where, caught.value.what) == ("plugin", f"{file}:{line}", what)


def test_a_gradient_that_a_network_spoils_is_its_fault(networks: tuple[Registry, str]) -> None:
    registry, file = networks
    network = guard.made_module(registry, "backbone", "twice")
    restored = network(IMAGES)
    with pytest.raises(HarnessError) as caught, guard.differentiated(network):
        restored.pow(2).sum().backward()
    assert "the gradients through Twice cannot be computed" in caught.value.what
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{file}:32")
    with pytest.raises(RuntimeError, match="mine"), guard.differentiated(nn.Linear(1, 1)):
        raise RuntimeError("mine")
