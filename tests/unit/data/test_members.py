"""Keys survive WebDataset."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from harness.core.errors import DataError
from harness.data.members import escape_key, member_name


@given(st.text(min_size=1))
@example("scene.01/frame.0001.png")
@example("__meta__")
@example("=2E")
@example("a b\n\x00")
def test_keys_come_back_whole_from_webdataset(key: str) -> None:
    name = escape_key(key)
    assert base_plus_ext(f"{name}.lq.tif") == (name, "lq.tif")
    assert re.sub("(?:=[0-9A-F]{2})+", lambda found: bytes.fromhex(found[0].replace("=", "")).decode(), name) == key
    assert not name.startswith("_")


@given(st.lists(st.text(min_size=1), unique=True))
def test_different_keys_have_different_names(keys: list[str]) -> None:
    assert len({escape_key(key) for key in keys}) == len(keys)


@given(st.text(min_size=1))
@example("k" * 230)
@example("k" * 231)
@example("低光照" * 60)
def test_a_member_is_never_too_long_for_a_file(key: str) -> None:
    name = member_name(key)
    assert len(f"{name}.gt.tif".encode()) <= 240
    assert base_plus_ext(f"{name}.lq.tif") == (name, "lq.tif")
    if len(escape_key(key)) <= 230:
        assert name == escape_key(key)


def test_cut_names_differ() -> None:
    one, two = "k" * 400 + "1", "k" * 400 + "2"
    assert member_name(one) != member_name(two)
    assert member_name(one)[:200] == member_name(two)[:200] == "k" * 200


def test_plain_keys_stay_readable() -> None:
    assert escape_key("low_00690-a") == "low_00690-a"
    assert escape_key("v1/0.png") == "v1=2F0=2Epng"


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_impossible_keys_are_refused(key: str) -> None:
    with pytest.raises(DataError):
        escape_key(key)
