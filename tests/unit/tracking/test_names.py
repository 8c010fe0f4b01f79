"""Names in the letters that MLflow takes, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric, _validate_param

from harness.tracking.names import LONGEST_TAG, cut_names, mlflow_name, stored_text, true_name

NAMES = st.one_of(
    st.text(max_size=12),
    st.text("a0:./ (=),4%-_[]", max_size=12),
    st.text(min_size=245, max_size=260),
    st.from_regex(r"[a-z]+\([a-z]+=[0-9.]+(, [a-z]+=[a-z]+)?\)(\.[a-z]+)?", fullmatch=True),
)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("psnr.photos", "psnr.photos"),
        ("psnr.photos.mine/v1 aaaa", "psnr.photos.mine/v1 aaaa"),
        ("psnr(border=4).photos", "psnr border:4.photos"),
        ("m(a=1, b=true).photos", "m a:1 b:true.photos"),
        ("psnr.plain@50 %", "psnr.plain:40:50 :25:"),
        ("psnr border:4.photos", "psnr border:3a:4.photos"),
        ("m(k=4).5", "m:28:k:3d:4:29:.5"),
        ("..", ":2e::2e:"),
        ("a//b", "a:2f::2f:b"),
        ("/a", ":2f:a"),
        ("ü", ":fc:"),
        ("\ud800", ":d800:"),
        ("", "::"),
    ],
)
def test_a_name_that_is_refused_is_written_in_letters_that_are_taken(name, form):
    assert mlflow_name(name) == form
    assert true_name(form) == name


@given(NAMES)
def test_mlflow_takes_every_name_and_it_can_be_read_back(name):
    form = mlflow_name(name)
    _validate_metric(form, 1.0, 0, 0)
    _validate_param(form, "x")
    assert true_name(form) in (name, None)
    assert (true_name(form) is None) == bool(cut_names({form: name}))


@given(NAMES, NAMES)
def test_no_two_names_become_one(one, other):
    assert (mlflow_name(one) == mlflow_name(other)) == (one == other)


def test_a_name_that_is_too_long_is_cut_and_a_tag_has_it_whole():
    one, other = "a" * 300 + "1", "a" * 300 + "2"
    form = mlflow_name(one)
    assert (len(form), form[:216], form[216:218]) == (250, "a" * 216, "::")
    assert form != mlflow_name(other)
    assert cut_names({form: one, "psnr": "psnr"}) == {f"priorbench.name.{form[-32:]}": one}


def test_values_are_cut_to_what_databases_keep():
    assert stored_text("short", 10) == "short"
    assert stored_text("a\0\ud800", 30) == "a\\x00\\ud800"
    cut, other = (stored_text("b" * LONGEST_TAG + end, LONGEST_TAG) for end in "12")
    assert len(cut) == len(other) == LONGEST_TAG
    assert f"({LONGEST_TAG + 1} characters, digest " in cut
    assert cut != other
