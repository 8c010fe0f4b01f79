"""The built-in tasks agree with the degradations they name and with the field's protocols."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api import protocols
from harness.api.declaration import declaration
from harness.api.protocols import protocol_of
from harness.api.reference import PartRef
from harness.core.source import REQUIRED
from harness.parts.catalogue import REGISTRY
from harness.parts.tasks.gaussian_denoise import GaussianDenoise

DEFAULTS: dict[str, dict[str, Any]] = {
    "low_light": {"exposure_min": 0.025, "exposure_max": 0.22},
    "gaussian_denoise": {"sigma": 25.0, "quantise": "none"},
    "derain": {"density": 0.0015, "length": 40},
    "motion_blur": {"size": 21},
}


@pytest.mark.parametrize("name", REGISTRY.names("task"))
def test_options_and_defaults_are_those_of_the_degradation(name: str) -> None:
    task = declaration(REGISTRY, "task", name)
    theirs = declaration(REGISTRY, "degradation", task.traits.degradation).options
    assert task.traits == REGISTRY.load("task", name).traits
    assert task.traits.settings == {}
    assert REQUIRED not in [option.default for option in theirs.values()]
    assert {option: theirs[option].default for option in task.traits.options} == DEFAULTS[name]
    REGISTRY.load("degradation", task.traits.degradation)(**DEFAULTS[name])


def test_every_task_was_seen() -> None:
    assert REGISTRY.names("task") == ["low_light", "gaussian_denoise", "derain", "motion_blur"]


def test_options_reach_the_degradation() -> None:
    traits = GaussianDenoise.traits
    assert (traits.degradation, traits.options) == ("gaussian_noise", ("sigma", "quantise"))
    assert REGISTRY.load("degradation", traits.degradation)(sigma=50.0).sigma == 50.0


def test_deraining_is_scored_on_luma_and_the_rest_on_rgb() -> None:
    found = {name: protocol_of(REGISTRY, PartRef(name=name)) for name in REGISTRY.names("task")}
    colours = {name: protocol.colour for name, protocol in found.items()}
    assert colours == {"low_light": "rgb", "gaussian_denoise": "rgb", "derain": "y", "motion_blur": "rgb"}
    kinds = {name: protocol.ssim for name, protocol in found.items()}
    assert kinds == {"low_light": "rgb2d", "gaussian_denoise": "rgb2d", "derain": "y", "motion_blur": "rgb3d"}


def test_protocol_names_are_unique_and_say_what_they_are() -> None:
    content = {
        name: (protocol.colour, protocol.rounding, protocol.ssim, protocol.draw, protocol.mean)
        for name, protocol in protocols.PROTOCOLS.items()
    }
    assert content == {
        "rgb_uint8": ("rgb", "uint8", "rgb2d", "named", "image"),
        "rgb_uint8_ssim3d": ("rgb", "uint8", "rgb3d", "named", "image"),
        "rgb_float": ("rgb", "none", "rgb2d", "named", "image"),
        "y_uint8": ("y", "uint8", "y", "named", "image"),
        "sidd": ("rgb", "none", "rgb3d", "named", "image"),
        "dpdd": ("rgb", "none", "uniform7", "named", "image"),
        "gaussian_field": ("rgb", "uint8", "rgb2d", "seed0", "image"),
        "rgb_uint8_scenes": ("rgb", "uint8", "rgb2d", "named", "scene"),
    }
    assert all(protocol.version == 1 and protocol.border == 0 for protocol in protocols.PROTOCOLS.values())
