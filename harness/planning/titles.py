"""What tells jobs apart that one phrase would describe: two priors, data sets or cells with different options."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from harness.core.identity import digest
from harness.planning.job import FeaturesWork, ScoresWork, ShardsWork, TogetherWork, Work

SHOWN = 3
"""Differences that a title names at most."""

DIGITS = 8
"""Digits of a digest in a title."""


def distinctions(works: Mapping[str, Work], titles: Mapping[str, str]) -> dict[str, str]:
    """What to add to the titles that several jobs have, by job id: the options that differ, else the id's digits."""
    alike: dict[str, list[str]] = defaultdict(list)
    for job, title in titles.items():
        alike[title].append(job)
    found: dict[str, str] = {}
    for jobs in alike.values():
        if len(jobs) > 1:
            found |= _told_apart({job: dict(_leaves("", _content(works[job]))) for job in jobs})
    return found


def _content(work: Work) -> dict[str, Any]:
    if isinstance(work, ShardsWork):
        return work.stored.identity()
    if isinstance(work, ScoresWork):  # conditions of one data set; cells of one title are told apart by their own jobs
        (samples,) = work.of.tests
        return {"cell": work.cell.id, "on": samples.identity()}
    if isinstance(work, TogetherWork):
        return {"cells": [cell.id for cell in work.cells]}
    return (
        work.features.identity()
        if isinstance(work, FeaturesWork)
        else work.cell.identity(exclude={"base", "prior_source"})
    )


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    """The values of a tree that are neither mappings nor empty, each with the path of keys that leads there."""
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(f"{path}.{key}" if path else key, inner)]


def _told_apart(contents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """For each job the values that are not the same in all, shortest first; its digits where those do not tell."""
    paths = dict.fromkeys(path for content in contents.values() for path in content)
    differing = [path for path in paths if len({_said(content.get(path)) for content in contents.values()}) > 1]
    # options say more to people than the digests of what they choose; what a set is derived from repeats its options
    differing.sort(key=lambda path: (".options." not in f".{path}", path.count(".")))
    chosen: dict[str, str] = {}
    for path in differing:
        if path.rpartition(".")[2] not in chosen:
            chosen[path.rpartition(".")[2]] = path
    shown = list(chosen.items())[:SHOWN]
    said = {job: ", ".join(f"{key} {_said(c.get(path))}" for key, path in shown) for job, c in contents.items()}
    texts = list(said.values())
    return {job: text if texts.count(text) == 1 else _with_digits(text, job) for job, text in said.items()}


def _with_digits(text: str, job: str) -> str:
    digits = job.rpartition("-")[2][:DIGITS]
    return f"{text}, {digits}" if text else digits


def _said(value: Any) -> str:
    """A value in a few characters; long ones by their digest."""
    text = str(value)
    if len(text) <= 24:
        return text if not _is_digest(text) else text[:DIGITS]
    return text[:DIGITS] if _is_digest(text) else digest(value, DIGITS)


def _is_digest(text: str) -> bool:
    return len(text) >= 12 and all(each in "0123456789abcdef" for each in text)
