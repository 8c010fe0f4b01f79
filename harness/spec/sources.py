"""From a file name to one tree: includes are merged in, `--set` arguments laid on top, every value keeps its place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from harness.core import yaml
from harness.core.errors import Problem, UnknownName, did_you_mean
from harness.core.paths import unread
from harness.core.text import shortened, shown_name
from harness.core.yaml import Place, YamlNode, dotted
from harness.spec.reading import MAX_FILES, Budget, Unreadable, no_file

ARGUMENT = "--set"
"""Stands for the file in the places of overrides; the line is the argument's number."""

_JOINED: tuple[yaml.Path, ...] = (("blocks",), ("plugins",))
_LAYERED: tuple[yaml.Path, ...] = ((), ("run",), ("defaults",), ("defaults", "recipe"))


def find_suite(name: str) -> Path:
    """The file of a suite: a path, or the name of one that ships with the package.

    Raises UnknownName with the nearest names when there is none.
    """
    path = Path(name)
    if os.path.isfile(path):
        return path
    shipped = {file.stem: file for file in shipped_suites()}
    if name in shipped:
        return shipped[name]
    if not name.strip():
        raise UnknownName("the name of the suite is empty", hint="bench list suites")
    if os.path.isdir(path):
        raise UnknownName(_of_folder(path), where=shown_name(name), hint=_folder_hint(path))
    if os.path.lexists(path):
        raise UnknownName(no_file(path), where=shown_name(name), hint="a suite is a text file")
    what = "no such suite file, and no suite of that name"
    raise UnknownName(what, where=shown_name(name), hint=did_you_mean(path.stem, shipped) or "bench list suites")


def _of_folder(folder: Path) -> str:
    """What is wrong with a folder that is taken for a suite, or for the results of one."""
    try:
        inside = os.listdir(folder)
    except OSError as error:
        return f"this folder cannot be read: {unread(error)}"
    if "suites" in inside:
        return "this is a folder of results, not a suite file"
    if "cells" in inside:
        return "this is a folder of results without suites/, which says what was run into it"
    what = "this is a folder, not a suite file" if inside else "this is an empty folder, not a suite file"
    return f"{what}, and no suite has been run into it"


def _folder_hint(folder: Path) -> str:
    """The suite files of a folder, and how to fill it."""
    files = sorted(file for end in ("yaml", "yml") for file in folder.glob(f"*.{end}") if _begins_as_suite(file))
    if files:
        return "name a file in it: " + ", ".join(shown_name(str(file)) for file in files[:3])
    return f"bench run SUITE --out {shown_name(str(folder))}"


def _begins_as_suite(file: Path) -> bool:
    """Whether a YAML file names a suite, as far as its beginning tells."""
    try:
        if not file.is_file():
            return False
        with open(file, "rb") as handle:
            return any(
                line.startswith((b"suite:", b'"suite"', b'{"suite"')) for line in handle.read(1 << 16).splitlines()
            )
    except OSError:
        return False


def shipped_suites() -> list[Path]:
    """The suite files of the installed package `suites`, sorted."""
    package = find_spec("suites")
    folders = package.submodule_search_locations if package else None
    return sorted(file for folder in folders or () for file in Path(folder).rglob("*.yaml"))


def read_tree(path: Path) -> tuple[YamlNode | None, list[Problem]]:
    """The file with its includes merged in. `plugins` become absolute paths, `include` is gone."""
    return _read(path, path.absolute(), (), Budget())


def _read(shown: Path, path: Path, above: tuple[Path, ...], budget: Budget) -> tuple[YamlNode | None, list[Problem]]:
    """`shown`: how messages call the file; `above`: the files that include it."""
    tree, problems = _read_alone(shown, path, budget)
    if tree is None:
        return None, problems
    included = tree.mapping.pop("include", None)
    tree.keys.pop("include", None)
    below: YamlNode | None = None
    for item in _texts(included, "include", problems):
        other, more = _read_included(item, shown, path, above, budget)
        problems += more
        if other is not None:
            below = merged(below, other, ()) if below else other
    return (merged(below, tree, ()) if below else tree), problems


def _read_alone(shown: Path, path: Path, budget: Budget) -> tuple[YamlNode | None, list[Problem]]:
    """One file without what it includes; None when it holds no mapping."""
    origin = Place(str(shown))
    try:
        text = budget.text(path)
    except Unreadable as error:
        return None, [origin.problem((), *error.args)]
    tree, problems = yaml.load(text, origin)
    if _not_a_suite(tree, origin, problems):
        return None, problems
    assert tree is not None
    _absolute_plugins(tree, path.parent, problems)
    return tree, problems


def _read_included(
    item: YamlNode, shown: Path, path: Path, above: tuple[Path, ...], budget: Budget
) -> tuple[YamlNode | None, list[Problem]]:
    """A file that another one, at `path`, includes by its name relative to itself."""
    name = str(item.content)
    target = path.parent / os.path.expanduser(name)
    if not os.path.isfile(target):
        return None, [item.place.problem(("include",), f"{no_file(target)}: {shown_name(name)}", _near_file(target))]
    chain = [*above, path]
    if target.resolve() in (known.resolve() for known in chain):
        at = [known.resolve() for known in chain].index(target.resolve())
        way = " → ".join(shown_name(file.name) for file in [*chain[at:], target])
        return None, [item.place.problem(("include",), f"{name} includes itself: {way}", "remove this include")]
    if budget.files <= 0:
        return None, [item.place.problem(("include",), f"a suite includes more than {MAX_FILES} files")]
    return _read(shown.parent / name, target, (*above, path), budget)


def _not_a_suite(tree: YamlNode | None, origin: Place, problems: list[Problem]) -> bool:
    """Whether there is nothing to go on with: no YAML, or no mapping, which is then a problem."""
    if tree is not None and isinstance(tree.content, dict):
        return False
    if tree is not None or not problems:
        what = "the file is empty" if tree is None or tree.content is None else "a suite is a mapping"
        problems.append(origin.problem((), what, "begin with `suite: NAME` and `blocks:`"))
    return True


def _texts(node: YamlNode | None, key: str, problems: list[Problem]) -> list[YamlNode]:
    """The items of a list of texts; anything else is a problem."""
    if node is None:
        return []
    if not isinstance(node.content, list):
        problems.append(node.place.problem((key,), "expected a list of files", f"write [{node.content}]"))
        return []
    wrong = [item for item in node.content if not isinstance(item.content, str)]
    problems += [item.place.problem((key,), "expected a file name") for item in wrong]
    return [item for item in node.content if isinstance(item.content, str)]


def _absolute_plugins(tree: YamlNode, folder: Path, problems: list[Problem]) -> None:
    """Plug-ins stand relative to the file that names them. Those that are missing are reported and left out."""
    plugins = tree.mapping.get("plugins")
    if plugins is None:
        return
    found: list[YamlNode] = []
    for item in _texts(plugins, "plugins", problems):
        name = str(item.content)
        path = folder / os.path.expanduser(name)
        if os.path.isfile(path) and path.resolve().suffix == ".py":
            found.append(YamlNode(str(path.resolve()), item.place))
        else:
            is_missing = path.suffix == ".py" and not os.path.isfile(path)
            what = (
                f"{no_file(path)}: {shown_name(name)}" if is_missing else f"a plug-in is a .py file: {shown_name(name)}"
            )
            problems.append(item.place.problem(("plugins",), what, _near_file(path)))
    tree.mapping["plugins"] = YamlNode(list(found), plugins.place)


def _near_file(path: Path) -> str:
    """A hint for a path that is not the file that it should be: the files beside it whose names are near."""
    if os.path.isdir(path):
        return f"name a file in {shown_name(str(path), 200)}"
    if not os.path.isdir(path.parent):
        return f"there is no folder {shortened(path.parent.name, 80)!r}"
    try:
        beside = [item.name for item in path.parent.iterdir() if item.suffix == path.suffix and item.is_file()]
    except OSError:
        beside = []
    near = get_close_matches(path.stem, [Path(name).stem for name in beside], n=2, cutoff=0.75)
    known = [name for name in beside if Path(name).stem in near]
    return did_you_mean(path.name, known) or f"it is looked for in {shown_name(str(path.parent), 200)}"


def merged(below: YamlNode, above: YamlNode, path: yaml.Path) -> YamlNode:
    """Two trees as one: mappings that hold settings are laid over each other, blocks follow each other.

    Everything else is replaced as a whole: a part never gets another part's options.
    """
    if path in _JOINED and isinstance(below.content, list) and isinstance(above.content, list):
        return YamlNode([*below.content, *above.content], above.place)
    if path not in _LAYERED or not isinstance(below.content, dict) or not isinstance(above.content, dict):
        return above
    content = dict(below.content)
    for key, item in above.content.items():
        content[key] = merged(content[key], item, (*path, key)) if key in content else item
    return YamlNode(content, above.place, {**below.keys, **above.keys})


def override(tree: YamlNode, arguments: Sequence[str]) -> list[Problem]:
    """Sets values in a tree from `a.b.0.c=value` arguments; the value is YAML. Gives what could not be set.

    Files to include cannot be set any more at this point; plug-ins are relative to the working directory.
    """
    problems: list[Problem] = []
    for number, argument in enumerate(arguments, start=1):
        target, equals, text = argument.partition("=")
        place = Place(ARGUMENT, number)
        if not equals or not target.strip():
            problems.append(place.problem((), f"{argument!r} sets nothing", "write KEY.KEY=VALUE"))
            continue
        if target.strip() == "include" or target.count(".") > yaml.MAX_DEPTH:
            problems.append(place.problem((), f"{target.strip()[:60]!r} cannot be set here"))
            continue
        value, mistakes = yaml.load(text, Place(ARGUMENT, number, len(target) + 2))
        path = tuple(int(step) if step.isdecimal() else step for step in target.strip().split("."))
        problems += mistakes
        if value is not None or not text.strip():
            problems += _set(tree, path, value or YamlNode(None, place), place)
    _absolute_plugins(tree, Path.cwd(), problems)
    return problems


def _set(tree: YamlNode, path: yaml.Path, value: YamlNode, place: Place) -> list[Problem]:
    node = tree
    for depth, step in enumerate(path):
        if isinstance(node.content, list) and not (isinstance(step, int) and step < len(node.content)):
            return [place.problem(path, f"{dotted(path[:depth])} has items 0 to {len(node.content) - 1}, no {step!r}")]
        if not isinstance(node.content, dict | list):
            hint = f"set {dotted(path[:depth])} as a whole, to a mapping"
            return [place.problem(path, f"{dotted(path[:depth])} is {node.content!r}, which holds nothing", hint)]
        last = depth == len(path) - 1
        if isinstance(node.content, list):
            assert isinstance(step, int)
            node.content[step] = value if last else node.content[step]
            node = node.content[step]
        else:
            key = str(step)
            node.content[key] = value if last else node.content.get(key) or YamlNode({}, place)
            node.keys[key] = place if last else node.keys.get(key, place)
            node = node.content[key]
    return []
