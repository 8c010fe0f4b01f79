"""The built-in tasks agree with the degradations they name and with the field's protocols."""

from __future__ import annotations

import pytest

from harness.core.signature import Option
from harness.parts.catalogue import REGISTRY
from harness.tasks import protocols
from harness.tasks.build import derain, gaussian_denoise


@pytest.mark.parametrize("name", REGISTRY.names("task"))
def test_options_and_defaults_are_those_of_the_degradation(name: str) -> None:
    task = REGISTRY.load("task", name)()
    theirs = REGISTRY.signature("degradation", task.degradation.name).options
    ours = REGISTRY.signature("task", name).options
    assert task.name == name
    assert task.degradation.options.keys() == ours.keys()
    for option in ours.values():
        assert option == Option(option.name, theirs[option.name].annotation, theirs[option.name].default)
        assert task.degradation.options[option.name] == option.default
    REGISTRY.load("degradation", task.degradation.name)(**task.degradation.options)


def test_every_task_was_seen() -> None:
    assert REGISTRY.names("task") == ["low_light", "gaussian_denoise", "derain", "motion_blur"]


def test_options_reach_the_degradation() -> None:
    task = gaussian_denoise(sigma=50.0)
    assert task.degradation is not None
    assert task.degradation.options == {"sigma": 50.0}


def test_deraining_is_judged_on_luma_and_the_rest_on_rgb() -> None:
    judged = {name: REGISTRY.load("task", name)().protocol.colour for name in REGISTRY.names("task")}
    assert judged == {"low_light": "rgb", "gaussian_denoise": "rgb", "derain": "y", "motion_blur": "rgb"}
    assert derain().protocol.ssim == "y"


def test_protocol_names_are_unique_and_say_what_they_are() -> None:
    assert list(protocols.PROTOCOLS) == ["rgb_uint8", "rgb_uint8_ssim3d", "rgb_float", "y_uint8"]
    assert protocols.PROTOCOLS["rgb_float"].rounding == "none"
    assert protocols.PROTOCOLS["rgb_uint8_ssim3d"].ssim == "rgb3d"
    assert all(protocol.version == 1 and protocol.border == 0 for protocol in protocols.PROTOCOLS.values())
