"""Reasons: kinds for decisions, words for people."""

from __future__ import annotations

import pytest

from harness.planning.verdict import DONE, TODO, Reason, Verdict, Why, stale


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason(Why.FORCED), "forced"),
        (Reason(Why.FAILED, "nan", "the loss is {nan} at step 7"), "failed (nan): the loss is {nan} at step 7"),
        (Reason(Why.MANIFEST_DAMAGED, "train"), "train/manifest.json is damaged"),
        (Reason(Why.WAITS, "shards a/train", "no disk"), "waits for shards a/train: no disk"),
        (Reason(Why.LACKING, "prior {clip} needs a file"), "prior {clip} needs a file"),
        (Reason(Why.NEWER_RELEASE, "has schema version 2"), "has schema version 2"),
    ],
)
def test_words(reason, words):
    assert str(reason) == words


def test_kinds_with_the_same_words_are_not_the_same():
    assert Reason(Why.DAMAGED, "x") != Reason(Why.NEWER_RELEASE, "x")
    assert str(Reason(Why.DAMAGED, "x")) == str(Reason(Why.NEWER_RELEASE, "x"))


def test_every_kind_can_be_said():
    assert all(str(Reason(kind, "what", "detail")) for kind in Why)


def test_what_runs():
    assert [verdict.runs for verdict in (TODO, DONE, stale(Why.FORCED), Verdict("blocked"))] == [
        True,
        False,
        True,
        False,
    ]
    assert (TODO.words, stale(Why.TRAINED_AGAIN).words) == ("", "its cell is trained again")
