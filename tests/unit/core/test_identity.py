import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.identity import canonical_json, digest, file_sha256, joined_json, seed

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values))
def test_key_order_does_not_matter(value):
    reordered = dict(reversed(list(value.items())))
    assert canonical_json(value) == canonical_json(reordered)


@given(json_values)
def test_canonical_json_reads_back_as_the_same_value(value):
    assert json.loads(canonical_json(value)) == value


def test_an_integer_and_a_float_differ():
    """A learning rate of 1 and one of 1.0 come from different types; pydantic settles them before hashing."""
    assert canonical_json(1) != canonical_json(1.0)
    assert canonical_json(-0.0) == canonical_json(0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_nan_and_infinities_have_no_identity(bad):
    with pytest.raises(ValueError, match="canonical JSON"):
        canonical_json(bad)


def test_keys_must_be_strings():
    with pytest.raises(TypeError, match="string keys"):
        canonical_json({1: "a"})


def test_digests_are_those_of_other_processes():
    program = "from harness.core.identity import *; print(digest({'b': 1, 'a': [0.1]}), seed('init', 'x', 3))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert out == [digest({"a": [0.1], "b": 1}), str(seed("init", "x", 3))]


def test_seeds_depend_on_every_ingredient_and_its_place():
    ingredients: list[tuple[str | int, ...]] = [
        ("order", "a", 1),
        ("order", 1, "a"),
        ("init", "a", 1),
        ("order", "a", 2),
        ("order", "a1"),
    ]
    seeds = {seed(*each) for each in ingredients}
    assert len(seeds) == 5
    assert all(0 <= s < 2**63 for s in seeds)


def test_file_sha256(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def walked(value):
    """Canonical JSON by its definition alone."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{walked(key)}:{walked(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(walked, value)) + "]"
    return json.dumps(value + 0.0 if isinstance(value, float) else value, ensure_ascii=False)


hostile = st.sampled_from(
    ["-0.0", '"1":', "1", "true", "null", '{"1":2}', "\\", '",', "é", "\x00", -0.0, 0.0, 2**70, -1e-7]
)


@given(st.recursive(hostile | json_values, lambda inner: st.lists(inner) | st.dictionaries(hostile.map(str), inner)))
def test_canonical_json_is_what_its_definition_says(value):
    assert canonical_json(value) == walked(value)


@given(st.dictionaries(st.text(), json_values))
def test_an_object_is_put_together_of_the_texts_of_its_values(value):
    assert joined_json({name: canonical_json(item) for name, item in value.items()}) == canonical_json(value)


@given(st.sampled_from([1, -1, 0, 1.5, -0.0, True, False, None]), json_values)
def test_keys_that_json_would_write_as_text_are_refused_at_any_depth(key, value):
    with pytest.raises(TypeError, match="string keys"):
        canonical_json([value, {"a": [{key: value}]}])
