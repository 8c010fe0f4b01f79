"""Which files of weights a part needs with its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.prior import PriorTraits
from harness.api.traits import Conflict, OwnFile, Published, When
from harness.core.errors import HarnessError, UnknownName
from harness.weights.files import needed_files


def test_a_file_of_the_users_own_is_needed_only_when_it_is_given(tmp_path: Path) -> None:
    traits = PriorTraits(weights=(OwnFile("file"),))
    assert needed_files(traits, {"file": None}, "prior p") == ()
    [found] = needed_files(traits, {"file": str(tmp_path / "a.pt")}, "prior p")
    assert found.path == str(tmp_path / "a.pt")


def test_published_weights_of_which_none_applies_are_said() -> None:
    traits = PriorTraits(weights=(OwnFile("file"), Published("vgg19/imagenet", when=(When("model", "vgg19"),))))
    with pytest.raises(HarnessError, match="no file is known for model: other") as caught:
        needed_files(traits, {"model": "other", "file": None}, "prior p")
    assert caught.value.where == "prior p"
    assert len(needed_files(traits, {"model": "other", "file": "a.pt"}, "prior p")) == 1
    assert len(needed_files(traits, {"model": "vgg19", "file": None}, "prior p")) == 1


def test_unknown_weights_name_the_part_that_needs_them() -> None:
    with pytest.raises(UnknownName, match="no checkpoint is called 'nope/nope'") as caught:
        needed_files(PriorTraits(weights=(Published("nope/nope"),)), {}, "prior p")
    assert caught.value.where == "prior p"


def test_conflicts_are_said_with_the_values_of_the_options() -> None:
    traits = PriorTraits(conflicts=(Conflict((When("x", 1),), "{x} and {y!r} are at odds", "drop {y}"),))
    with pytest.raises(HarnessError, match="1 and None are at odds") as caught:
        needed_files(traits, {"x": 1}, "prior p")
    assert caught.value.hint == "drop None"
    assert needed_files(traits, {"x": 2}, "prior p") == ()
