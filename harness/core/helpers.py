"""Which files a plug-in consists of: its own, and the Python files of its folder that it imports, found by `ast`.

A plug-in may import modules and packages that lie beside it. Those names mean these files before anything that is
installed, on every machine and whatever the working directory; only Python's own modules, this package and what it
requires go first.
`import_module("name")` and `__import__("name")` are seen too, but not names that are made at run time
(harness.core.conduct refuses those).
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from harness.core.errors import Problem
from harness.core.identity import digest
from harness.core.source import parse_module

_REQUIRED = {
    "PIL", "accelerate", "alembic", "annotated_types", "cv2", "deepspeed", "diffusers", "fsspec", "grpc",
    "imagecodecs", "imagehash", "jsonschema", "mlflow", "numpy", "open_clip", "polars", "psutil", "pyarrow",
    "pydantic", "pydantic_core", "pyiqa", "ray", "rich", "ruamel", "safetensors", "scipy", "skimage", "sklearn",
    "spandrel", "sqlalchemy", "tifffile", "torch", "torchvision", "tqdm", "transformers", "typer", "webdataset",
    "yaml", "zstandard",
}  # fmt: skip
"""What this package requires, by the names of imports: a machine that only plans may lack it.

Not read from what is installed: which files a plug-in consists of must not depend on the machine.
"""

_EXCUSING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


_IMPORTERS = frozenset({"import_module", "__import__"})


@dataclass(frozen=True)
class Helpers:
    """What a plug-in imports from its folder, and the imports that lead nowhere."""

    files: tuple[str, ...]
    """Absolute paths, sorted, without the plug-in's own."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Import:
    node: ast.Import | ast.ImportFrom | ast.Call
    module: str
    names: tuple[str, ...]
    """What is imported from the module, for `from`."""
    level: int
    """The number of dots."""
    excused: bool
    """Whether the code goes on, or may never come here, when there is no such module."""


def is_local(folder: str, name: str) -> bool:
    """Whether a module's name, dotted or not, means a file or package of a plug-in's folder."""
    top = name.partition(".")[0]
    if not top or top in sys.stdlib_module_names or top in _REQUIRED or top == "harness":
        return False
    path, packed = module_file(folder, top)
    if path is None and packed:  # a folder without __init__.py comes after what is installed, as everywhere in Python
        return any(Path(packed).rglob("*.py")) and not _installed(top)
    return path is not None


def module_file(folder: str, name: str) -> tuple[str | None, str | None]:
    """(file, package folder) of a module in a folder, by its last name; None for what it does not have.

    A package has both, a module a file, a folder without `__init__.py` only the folder.
    """
    below = os.path.join(folder, name)
    if os.path.isfile(os.path.join(below, "__init__.py")):
        return os.path.join(below, "__init__.py"), below
    if os.path.isfile(below + ".py"):
        return below + ".py", None
    return None, below if os.path.isdir(below) else None


@cache
def helpers_of(file: str) -> Helpers:
    """The helper files of a plug-in. Raises nothing: a file that cannot be read is a problem of its import."""
    reader = _Reader(file)
    reader.read()
    return Helpers(tuple(sorted(reader.files)), tuple(dict.fromkeys(reader.problems)))


def content_digest(file: str) -> str:
    """Digest of a plug-in's code without comments: of its file, and of its helpers where it has some."""
    own = ast.dump(parse_module(file))
    folder = os.path.dirname(file)
    helpers = {os.path.relpath(path, folder): ast.dump(parse_module(path)) for path in helpers_of(file).files}
    return digest([own, helpers]) if helpers else digest(own)


class _Reader:
    """Follows imports from a plug-in through its folder."""

    def __init__(self, file: str) -> None:
        self.file, self.folder = file, os.path.dirname(file)
        self.files: set[str] = set()
        self.problems: list[Problem] = []

    def read(self) -> None:
        waiting = [self.file]
        while waiting:
            path = waiting.pop()
            for item in _imports(parse_module(path)):
                for found in self._targets(path, item):
                    if found not in self.files and found != self.file and self._readable(found, path, item):
                        self.files.add(found)
                        waiting.append(found)

    def _readable(self, path: str, importer: str, item: _Import) -> bool:
        try:
            parse_module(path)
        except SyntaxError as error:
            line, column = error.lineno or 1, max(1, error.offset or 1)
            self.problems.append(Problem(path, line, column, "", f"not Python: {error.msg}"))
        except (OSError, ValueError) as error:
            self._report(importer, item, f"{path} cannot be read: {error}")
        else:
            return True
        return False

    def _targets(self, path: str, item: _Import) -> list[str]:
        """The files that one import statement runs."""
        if item.level:
            folder = os.path.dirname(path)
            for _ in range(item.level - 1):
                folder = os.path.dirname(folder)
            if os.path.commonpath([folder, self.folder]) != self.folder:
                self._report(path, item, "this import leaves the folder of the plug-in", "put the module beside it")
                return []
        elif is_local(self.folder, item.module):
            folder = self.folder
        else:
            if not item.excused and not _findable(item.module):
                top = item.module.partition(".")[0]
                hint = f"install it, or put {top}.py beside the plug-in"
                self._report(path, item, f"no module named {top!r}, installed or beside this file", hint)
            return []
        return self._inside(folder, path, item)

    def _inside(self, folder: str, importer: str, item: _Import) -> list[str]:
        """The files of a dotted name below a folder, and of the modules that are imported from it."""
        found: list[str] = []
        inside: str | None = folder
        for part in item.module.split(".") if item.module else ():
            path, packed = module_file(inside, part) if inside is not None else (None, None)
            if path is None and packed is None:
                if not item.excused:
                    self._report(importer, item, f"no module named {item.module!r} beside this plug-in")
                return found
            found += [path] if path else []
            inside = packed
        for name in item.names if inside is not None else ():
            assert inside is not None
            path, packed = module_file(inside, name)
            if path is not None:
                found.append(path)
            elif not item.module and not packed and not item.excused:
                self._report(importer, item, f"no module named {name!r} in this folder")
        return found

    def _report(self, path: str, item: _Import, what: str, hint: str = "") -> None:
        self.problems.append(Problem(path, item.node.lineno, item.node.col_offset + 1, "import", what, hint))


def _imports(tree: ast.AST, excused: bool = False) -> Iterator[_Import]:
    """All imports of a file, those inside functions too."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield _Import(child, alias.name, (), 0, excused)
        elif isinstance(child, ast.ImportFrom):
            names = tuple(alias.name for alias in child.names)
            yield _Import(child, child.module or "", names, child.level, excused)
        else:
            if isinstance(child, ast.Call) and (name := _called_import(child)):
                yield _Import(child, name.lstrip("."), (), len(name) - len(name.lstrip(".")), True)
            conditional = isinstance(child, ast.If) or (isinstance(child, ast.Try) and _catches(child))
            yield from _imports(child, excused or conditional)


def _called_import(node: ast.Call) -> str:
    """The module that a call of `import_module` or `__import__` names as a literal; empty for any other call."""
    names = [node.func.id] if isinstance(node.func, ast.Name) else []
    names += [node.func.attr] if isinstance(node.func, ast.Attribute) else []
    given = [*node.args[:1], *(item.value for item in node.keywords if item.arg == "name")]
    if names and names[0] in _IMPORTERS and given and isinstance(given[0], ast.Constant):
        return given[0].value if isinstance(given[0].value, str) else ""
    return ""


def _catches(node: ast.Try) -> bool:
    """Whether a `try` goes on when an import fails."""
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or ast.unparse(kind).rpartition(".")[2] in _EXCUSING for kind in kinds):
            return True
    return False


def _findable(name: str) -> bool:
    """Whether a module is installed, or is one that this package requires and a machine that only plans may lack."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in _REQUIRED or top == "harness" or _installed(top)


@cache
def _installed(top: str) -> bool:
    """Whether a module is found wherever the same Python runs: not through the working directory alone."""
    places = sys.path[1:] if sys.path and sys.path[0] in ("", os.getcwd()) else sys.path
    if PathFinder.find_spec(top, places) is not None:
        return True
    others = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_spec")]
    return any(finder.find_spec(top, None) is not None for finder in others)
