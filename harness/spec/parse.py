"""Suite file → SuiteFile. Every mistake is kept with its place, and what is sound goes on to be checked further."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.core.errors import Problem, SpecErrors
from harness.core.wording import said, said_together
from harness.core.yaml import Path, YamlNode, rooted
from harness.spec.examples import example
from harness.spec.schema import SuiteFile
from harness.spec.sources import find_suite, override, read_tree

_OTHER_WORDS = {
    "momentum": ("betas", "betas: [0.9, 0.99], of which the first one is the momentum"),
    "epochs": ("steps", "steps: a recipe counts optimizer steps"),
    "epoch": ("steps", "steps: a recipe counts optimizer steps"),
    "iterations": ("steps", "steps"),
    "iters": ("steps", "steps"),
    "total_iter": ("steps", "steps"),
    "learning_rate": ("lr", "lr"),
    "crop_size": ("patch", "patch"),
    "patch_size": ("patch", "patch"),
    "tile": ("patch", "patch"),
    "test_option": ("test_options", "test_options: [{sigma: 15}, {sigma: 25}]"),
    "amp": ("precision", "precision: bf16 or fp16"),
}
"""What other programs call a key → the key here, and what to try, in a mapping that has it."""

_ELSEWHERE = {
    (str((axes,)), key): f"{key} stands in the block itself, beside {axes}"
    for axes in ("matrix", "zip")
    for key in ("seeds", "test", "test_options", "exclude")
}
"""Keys that belong to the mapping around the one where they stand."""


def load_suite(path_or_name: str, overrides: Sequence[str] = ()) -> SuiteFile:
    """Reads a suite file, or a shipped suite by name, with `a.b.0=value` overrides laid on top.

    Mistakes that leave the rest readable are kept in `SuiteFile.problems`, so that `expand`, which must follow, reports
    them together with the unknown names and options that it finds. Raises UnknownName when there is no such suite, and
    SpecErrors when nothing is left to expand.
    """
    tree, problems = read_tree(find_suite(path_or_name))
    if tree is None:
        raise SpecErrors(problems)
    try:
        tree = rooted(tree)
        problems += override(tree, overrides)
        tree = rooted(tree)
    except ValueError as error:
        raise SpecErrors([*problems, tree.problem(str(error), "aliases repeat each other")]) from None
    suite, cut = _validate(tree, problems)
    if suite is None:
        raise SpecErrors(problems)
    suite._tree, suite._problems, suite._cut = tree, tuple(problems), cut
    return suite


def _validate(tree: YamlNode, problems: list[Problem]) -> tuple[SuiteFile | None, tuple[Path, ...]]:
    """Validates, and while there are mistakes cuts them out of the tree and tries again. Gives what was cut out, too.

    A mistake found in a later round counts only where nothing was cut out below it.
    """
    cut: list[Path] = []
    _cut_out(tree, list(_not_finite(tree)), cut)
    read = {_place(problem) for problem in problems}  # a value that cannot be read is not judged as well
    while True:
        try:
            return SuiteFile.model_validate(tree.plain, strict=True), tuple(cut)
        except ValidationError as failure:
            found = sorted(_grouped(tree, failure.errors(include_url=False)), key=_order, reverse=True)
        above = _beginnings(cut)
        problems += [
            problem for path, problem in found if tree.nearest(path).path not in above and _place(problem) not in read
        ]
        if not _cut_out(tree, [path for path, _ in found], cut):
            return None, tuple(cut)


def _place(problem: Problem) -> tuple[str, int, int, str]:
    return problem.file, problem.line, problem.column, problem.path


def _not_finite(node: YamlNode) -> Iterator[Path]:
    """Paths of numbers that are not finite, which reading has reported; the last item of a list first."""
    if isinstance(node.content, float) and math.isnan(node.content):
        yield node.path
    elif isinstance(node.content, dict | list):
        items = node.content.values() if isinstance(node.content, dict) else reversed(node.content)
        for item in items:
            yield from _not_finite(item)


def _beginnings(paths: Iterable[Path]) -> set[Path]:
    """The paths and all that lie above them."""
    return {path[:length] for path in paths for length in range(len(path) + 1)}


def _cut_out(tree: YamlNode, paths: Sequence[Path], cut: list[Path]) -> bool:
    """Removes what stands at the paths and notes in `cut` where that was. False when nothing is left to go on with."""
    for path in dict.fromkeys(paths):  # there may be two mistakes in one place: `betas: []` lacks both of its numbers
        if path:
            parent = tree.nearest(path[:-1])
            cut.append((*parent.path, path[-1]) if isinstance(path[-1], str) else tree.nearest(path).path)
            _remove(parent, path[-1])
        elif "blocks" in tree.mapping:  # the suite's name is missing
            tree.mapping.setdefault("suite", YamlNode("unnamed", tree.place, path=("suite",)))
        else:
            return False
    return True


def _order(found: tuple[Path, Problem]) -> list[tuple[int, str]]:
    """Sorts list items by number, so that cutting out from the last to the first keeps the numbers of the rest."""
    return [(step, "") if isinstance(step, int) else (0, step) for step in found[0]]


def _remove(parent: YamlNode, step: str | int) -> None:
    if isinstance(parent.content, dict):
        del parent.content[str(step)]
    else:
        assert isinstance(parent.content, list)
        del parent.content[int(step)]


def _grouped(tree: YamlNode, errors: list[ErrorDetails]) -> Iterator[tuple[Path, Problem]]:
    """One problem per place, with the path to cut out. What only follows from a problem below it is left out."""
    by_path: dict[Path, list[ErrorDetails]] = {}
    paths = set()
    for error in errors:
        path = _tree_path(tree, error)
        paths.add(path)
        if error["type"] == "missing":
            yield path, tree.nearest(path).problem(*said(error))
        else:
            by_path.setdefault(path, []).append(error)
    above = _beginnings(path[:-1] for path in paths if path)
    for path, group in by_path.items():
        if path in above:
            continue
        if group[0]["type"] == "extra_forbidden":
            known = _known_keys(path[:-1])
            what, hint = said_together(group, known)
            meant = _OTHER_WORDS.get(str(path[-1]).lower().replace("-", "_"), ("", ""))
            hint = meant[1] if meant[0] in known else _ELSEWHERE.get((str(path[-2:-1]), str(path[-1])), hint)
            yield path, tree.nearest(path[:-1]).problem(what, hint, key=str(path[-1]))
        else:
            what, hint = said_together(group)
            yield path, tree.nearest(path).problem(what, example(path, what, group[0].get("input")) or hint)


def _tree_path(tree: YamlNode, error: ErrorDetails) -> Path:
    """The way to the mistake in the tree: pydantic's, without the names of union members; a missing key's parent."""
    path: Path = ()
    node = tree
    for step in error["loc"]:
        child = node.child(step)
        if child is None:
            break
        node, path = child, (*path, step)
    return path


def _known_keys(path: Path) -> list[str]:
    """The keys that the schema has at a path of a suite file."""
    model: type[BaseModel] | None = SuiteFile
    for step in path:
        if isinstance(step, str) and model is not None:
            known = model.model_fields.get(step)
            model = _model_in(known.annotation) if known else None
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for item in get_args(annotation) if (model := _model_in(item))), None)
