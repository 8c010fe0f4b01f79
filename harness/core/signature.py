"""What a part takes, read from its source text.

A suite must be checked, and its cells named, on a laptop without PyTorch. So a part's options and version are read
with `ast` instead of importing its module. The convention for every part (class or factory function):

- positional parameters are given by the harness (a prior's width, the image channels);
- **keyword-only parameters are the suite's options**, each with an annotation and a literal default, or no default
  when the suite must choose;
- a module or class constant `VERSION` (int) is raised whenever the part's results change;
- class attributes named in `DECLARED`, with literal values, say what the suite must know of a part.

The module half of a target is a dotted name, or the path of a `.py` file (a guest's plug-in). A guest's version also
holds a digest of its syntax tree, so that editing the file, comments aside, makes new cells.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.core.identity import digest

REQUIRED: Any = object()
"""Stands for the default of an option that the suite must give."""


DECLARED = frozenset({"losses", "stages", "placements", "needs_prior", "reimplemented"})
"""Class attributes that are read from the source; harness.api.parts says what they mean."""


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter: its annotation as text, its default (or REQUIRED)."""

    name: str
    annotation: str
    default: Any = REQUIRED


@dataclass(frozen=True)
class Signature:
    """A part's options, version and first docstring line."""

    target: str
    options: dict[str, Option] = field(default_factory=dict)
    version: str = "1"
    needs_weights: bool = False
    """Whether the class has a static method `weights` (see harness.api.parts.WeightFile)."""
    summary: str = ""
    declared: dict[str, Any] = field(default_factory=dict)
    """The class attributes of `DECLARED` that the part has, by name."""


def is_file(module: str) -> bool:
    """Whether a target's module half is a plug-in file and not a dotted name."""
    return module.endswith(".py")


@cache
def parse_module(name: str) -> ast.Module:
    """Syntax tree of a module or plug-in file, without running it."""
    if is_file(name):
        return ast.parse(Path(name).read_text(encoding="utf-8"), filename=name)
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {name!r}", name=name)
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"), filename=spec.origin)


def _version(body: list[ast.stmt]) -> int | None:
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return int(ast.literal_eval(node.value))
    return None


def _options(arguments: ast.arguments) -> dict[str, Option]:
    options = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        annotation = ast.unparse(argument.annotation) if argument.annotation else "object"
        value = REQUIRED if default is None else ast.literal_eval(default)
        options[argument.arg] = Option(argument.arg, annotation, value)
    return options


def _declared(body: list[ast.stmt]) -> dict[str, Any]:
    found = {}
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            name = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            if name in DECLARED:
                found[name] = ast.literal_eval(node.value)
    return found


def read_signature(target: str) -> Signature:
    """Signature of "module:attribute" without running the module.

    Raises ModuleNotFoundError or AttributeError when there is no such thing.
    """
    module_name, _, attribute = target.partition(":")
    module = parse_module(module_name)
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            break
    else:
        raise AttributeError(f"{module_name} defines no class or function {attribute!r}")
    doc = (ast.get_docstring(node) or "").partition("\n")[0]
    number = _version(module.body)
    needs_weights = False
    declared: dict[str, Any] = {}
    if isinstance(node, ast.ClassDef):
        declared = _declared(node.body)
        makers = ("__init__", "__new__")
        inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name in makers]
        options = _options(inits[0].args) if inits else {}
        number = _version(node.body) or number
        needs_weights = any(isinstance(item, ast.FunctionDef) and item.name == "weights" for item in node.body)
    else:
        options = _options(node.args)
    version = str(number or 1)
    if is_file(module_name):
        version += "+" + digest(ast.dump(module))
    return Signature(target, options, version, needs_weights, doc, declared)
