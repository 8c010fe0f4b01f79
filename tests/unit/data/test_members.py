"""Keys survive WebDataset, pictures survive their codecs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from harness.core.errors import DataError
from harness.data.members import Codec, decode, encode, escape_key, member_key, member_name, unescape_key

CODECS: tuple[Codec, ...] = ("npy", "png")


@given(st.text(min_size=1))
@example("scene.01/frame.0001.png")
@example("__meta__")
@example("=2E")
@example("a b\n\x00")
def test_keys_come_back_whole_from_webdataset(key: str) -> None:
    name = escape_key(key)
    assert base_plus_ext(f"{name}.lq.npy") == (name, "lq.npy")
    assert unescape_key(name) == key
    assert not name.startswith("_")


@given(st.lists(st.text(min_size=1), unique=True))
def test_different_keys_have_different_names(keys: list[str]) -> None:
    assert len({escape_key(key) for key in keys}) == len(keys)


@given(st.text(min_size=1))
@example("k" * 230)
@example("k" * 231)
@example("低光照" * 60)
def test_a_member_is_never_too_long_for_a_file_and_its_key_comes_back(key: str) -> None:
    name = member_name(key)
    assert len(f"{name}.gt.png".encode()) <= 240
    assert base_plus_ext(f"{name}.lq.npy") == (name, "lq.npy")
    assert member_key(name, json.dumps({"key": key}).encode()) == key
    if len(escape_key(key)) <= 230:
        assert name == escape_key(key)


def test_cut_names_differ_and_another_key_is_refused() -> None:
    one, two = "k" * 400 + "1", "k" * 400 + "2"
    assert member_name(one) != member_name(two)
    for described in (json.dumps({"key": two}).encode(), b"", b"[]", b'{"key": 3}', b"{}"):
        with pytest.raises(DataError):
            member_key(member_name(one), described)


def test_plain_keys_stay_readable() -> None:
    assert escape_key("low_00690-a") == "low_00690-a"
    assert escape_key("v1/0.png") == "v1=2F0=2Epng"


@pytest.mark.parametrize("name", ["", "a.b", "=2", "=zz", "=41", "=FF", "_a"])
def test_names_that_no_key_makes_are_refused(name: str) -> None:
    with pytest.raises(DataError):
        unescape_key(name)


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_impossible_keys_are_refused(key: str) -> None:
    with pytest.raises(DataError):
        escape_key(key)


def test_codecs_give_back_the_very_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    for codec in CODECS:
        np.testing.assert_array_equal(decode(encode(image, codec), codec), image)
        assert encode(image, codec) == encode(image[:, ::-1][:, ::-1], codec)
    floats = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    back = decode(encode(floats, "npy"), "npy")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, floats)
    for codec in CODECS:
        with pytest.raises(ValueError, match=r"PNG|EOF|buffer|magic|bytes"):
            decode(encode(image, codec)[:40], codec)
