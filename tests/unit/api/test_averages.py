"""Means over several test sets, and the data sets that say they belong to one."""

from __future__ import annotations

import pytest

from harness.api.averages import AVERAGES, averages_of, members_of
from harness.api.dataset import DatasetTraits
from harness.api.declaration import declaration
from harness.parts.catalogue import REGISTRY

FIVE = {"rain100h": [31.0], "rain100l": [39.0], "test100": [32.0], "test1200": [33.0], "test2800": [35.0]}


def test_every_set_counts_once() -> None:
    assert list(averages_of(FIVE | {"photos": [99.0]})) == [("derain5", pytest.approx((31 + 39 + 32 + 33 + 35) / 5))]


def test_there_is_no_mean_without_all_sets_nor_of_two_sets_of_one_name() -> None:
    assert list(averages_of({name: FIVE[name] for name in list(FIVE)[1:]})) == []
    assert list(averages_of(FIVE | {"rain100h": [31.0, 12.0]})) == []
    assert list(averages_of(FIVE | {"rain100h (example)": [12.0]})) == []


def test_a_mean_with_a_set_of_examples_says_so() -> None:
    sets = {name: values for name, values in FIVE.items() if name != "test100"} | {"test100 (example)": [7.0]}
    assert list(members_of(sets)) == [("derain5 (example)", [31.0, 39.0, 7.0, 33.0, 35.0])]


def test_the_data_sets_say_themselves_to_which_mean_they_belong() -> None:
    """Both ways: whoever names a mean is of it, and whoever is of it names it."""
    found: dict[str, set[str]] = {}
    for name in REGISTRY.names("dataset"):
        traits = declaration(REGISTRY, "dataset", name).traits
        if isinstance(traits, DatasetTraits) and traits.source is not None and traits.source.average:
            found.setdefault(traits.source.average, set()).add(name)
    assert found == {average: set(members) for average, members in AVERAGES.items()}
