"""The built-in tasks agree with the degradations they name and with the field's protocols."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api import protocols
from harness.api.declaration import declaration
from harness.api.protocols import protocol_of
from harness.api.reference import PartRef
from harness.api.task import TaskTraits
from harness.core.source import REQUIRED
from harness.parts.catalogue import REGISTRY
from harness.parts.tasks.gaussian_denoise import GaussianDenoise

DEFAULTS: dict[str, dict[str, Any]] = {
    "low_light": {"exposure_min": 0.025, "exposure_max": 0.22},
    "gaussian_denoise": {"sigma": 25.0, "quantise": "none"},
    "derain": {"density": 0.0015, "length": 40},
    "motion_blur": {"size": 21},
}
REAL = ("real_denoise", "defocus")
"""Tasks whose degraded images come with the data set."""


@pytest.mark.parametrize("name", DEFAULTS)
def test_options_and_defaults_are_those_of_the_degradation(name: str) -> None:
    task = declaration(REGISTRY, "task", name)
    theirs = declaration(REGISTRY, "degradation", task.traits.degradation).options
    assert task.traits == REGISTRY.load("task", name).traits
    assert task.traits.settings == {}
    assert REQUIRED not in [option.default for option in theirs.values()]
    assert {option: theirs[option].default for option in task.traits.options} == DEFAULTS[name]
    REGISTRY.load("degradation", task.traits.degradation)(**DEFAULTS[name])


def test_every_task_was_seen() -> None:
    assert REGISTRY.names("task") == [*DEFAULTS, *REAL]


@pytest.mark.parametrize("name", REAL)
def test_real_images_have_neither_a_degradation_nor_its_options(name: str) -> None:
    task = declaration(REGISTRY, "task", name)
    assert task.traits == REGISTRY.load("task", name).traits
    assert (task.traits.degradation, dict(task.options)) == (None, {})


@pytest.mark.parametrize("wrong", [{"options": ("sigma",)}, {"settings": {"sigma": 50.0}}])
def test_options_need_a_degradation(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="this task has none"):
        TaskTraits(degradation=None, protocol="sidd", **wrong)


def test_options_reach_the_degradation() -> None:
    traits = GaussianDenoise.traits
    assert (traits.degradation, traits.options) == ("gaussian_noise", ("sigma", "quantise"))
    assert REGISTRY.load("degradation", traits.degradation)(sigma=50.0).sigma == 50.0


def test_deraining_is_scored_on_luma_and_the_rest_on_rgb() -> None:
    found = {name: protocol_of(REGISTRY, PartRef(name=name)) for name in REGISTRY.names("task")}
    colours = {name: protocol.colour for name, protocol in found.items()}
    assert colours == dict.fromkeys(REGISTRY.names("task"), "rgb") | {"derain": "y"}
    kinds = {name: protocol.ssim for name, protocol in found.items()}
    usual = dict.fromkeys(("low_light", "gaussian_denoise"), "rgb2d")
    volumes = dict.fromkeys(("motion_blur", "real_denoise"), "rgb3d")
    assert kinds == usual | volumes | {"derain": "y", "defocus": "uniform7"}
    assert {found[name].rounding for name in REAL} == {"none"}


def test_protocol_names_are_unique_and_say_what_they_are() -> None:
    plain = {"version": 1, "colour": "rgb", "rounding": "uint8", "border": 0, "ssim": "rgb2d"}
    content = {
        name: {key: value for key, value in protocol.identity().items() if value != plain.get(key)}
        for name, protocol in protocols.PROTOCOLS.items()
    }
    assert content == {
        "rgb_uint8": {"name": "rgb_uint8"},
        "rgb_uint8_ssim3d": {"name": "rgb_uint8_ssim3d", "ssim": "rgb3d"},
        "rgb_float": {"name": "rgb_float", "rounding": "none"},
        "y_matlab": {"name": "y_uint8", "colour": "y", "ssim": "y"},
        "y_float": {"name": "y_float", "colour": "y", "ssim": "y", "luma": "float"},
        "gray_uint8": {"name": "gray_uint8", "colour": "gray", "ssim": "y"},
        "sidd": {"name": "sidd", "rounding": "none", "ssim": "rgb3d"},
        "dpdd": {"name": "dpdd", "rounding": "none", "ssim": "uniform7"},
        "noise_seed0": {"name": "gaussian_field", "draw": "seed0"},
        "noise_seed0_gray": {"name": "noise_seed0_gray", "colour": "gray", "ssim": "y", "draw": "seed0"},
        "rgb_uint8_scenes": {"name": "rgb_uint8_scenes", "mean": "scene"},
        "realblur_aligned": {"name": "realblur_aligned", "align": "ecc"},
        "sid_resized": {"name": "sid_resized", "read": (512, 960)},
        "sid_resized_scenes": {"name": "sid_resized_scenes", "read": (512, 960), "mean": "scene"},
        "snr_lol": {"name": "snr_lol", "through": (400, 608)},
        "retinexformer_lol": {"name": "retinexformer_lol", "rounding": "none", "ssim_rounding": "uint8"},
        "lol_gtmean": {"name": "lol_gtmean", "gt_mean": True},
    }
    assert all(protocol.version == 1 and protocol.border == 0 for protocol in protocols.PROTOCOLS.values())
