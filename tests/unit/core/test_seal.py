"""Seals: a damaged JSON file is told from a changed one."""

import hashlib
import json
from contextlib import suppress

import pytest

from harness.core.identity import SEAL, json_text, sealed, unsealed

CONTENT = {"b": 0.1, "a": [1, 2.0, None, "ü"], "deep": {"z": 1e-300, "y": True}}
CANONICAL = '{"a":[1,2.0,null,"ü"],"b":0.1,"deep":{"y":true,"z":1e-300}}'


def test_the_seal_is_over_the_canonical_form_and_stands_last():
    value = sealed(CONTENT)
    assert value[SEAL] == "sha256:" + hashlib.sha256(CANONICAL.encode()).hexdigest()
    assert list(value) == ["b", "a", "deep", "sealed"]
    assert sealed(value) == value


def test_the_digest_of_a_sealed_file_is_that_of_the_file_without_its_seal():
    """So a set that an earlier release prepared has the same digest when it is prepared again."""
    without = json_text(CONTENT).encode()
    for text in (without, json_text(sealed(CONTENT))):
        assert unsealed(text).content == CONTENT
        assert unsealed(text).sha256 == hashlib.sha256(without).hexdigest()
    assert unsealed(json.dumps(sealed(CONTENT))).sha256 == hashlib.sha256(without).hexdigest()


def test_no_flipped_bit_is_taken_for_another_content():
    whole = json_text(sealed(CONTENT)).encode()
    believed = set()
    for place in range(8 * len(whole)):
        text = bytearray(whole)
        text[place // 8] ^= 1 << place % 8
        with suppress(ValueError):
            found = unsealed(bytes(text))
            believed.add((json_text(found.content), found.sha256))
    # a flip between tokens changes nothing
    assert believed == {(json_text(CONTENT), hashlib.sha256(json_text(CONTENT).encode()).hexdigest())}


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a": NaN, "sealed": "sha256:0"}', b'{"a": 1, "sealed": 3}'],
)
def test_what_is_no_sealed_object_is_damaged(text):
    with pytest.raises(ValueError, match=r".+"):
        unsealed(text)


def test_a_seal_that_lost_its_name_is_damage():
    value = sealed(CONTENT)
    value["sealee"] = value.pop(SEAL)
    with pytest.raises(ValueError, match="lost its name"):
        unsealed(json.dumps(value))
