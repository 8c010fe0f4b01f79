"""What people call protocols and conditions."""

from __future__ import annotations

import pytest

from harness.records.labels import condition_text


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({}, ""),
        ({"sigma": 15}, "sigma=15"),
        ({"sigma": 15.0}, "sigma=15"),
        ({"sigma": 12.5}, "sigma=12.5"),
        ({"sigma": 0.1 + 0.2}, "sigma=0.30000000000000004"),
        ({"strength": "heavy", "blind": True, "angle": None}, "angle=null blind=true strength=heavy"),
        ({"sigma": [0, 50]}, "sigma=[0,50]"),
        ({"σ": 1e20}, "σ=1e+20"),
    ],
)
def test_a_condition_is_said_as_short_as_it_can_be_read_back(condition, said):
    assert condition_text(condition) == said


def test_another_sign_for_names_that_take_no_equals_sign():
    assert condition_text({"sigma": 15.0}, ":") == "sigma:15"
