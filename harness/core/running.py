"""Runs plug-in files and their helpers, each under a name of its own, so that files of one name never mix.

A plug-in at /a/b.py is the module `priorbench_plugin_<digest of its path>`. Its helpers are modules of a package that
stands for its folder: two plug-ins of one folder share them, those of two folders share nothing. What runs is always
the text that was read for the plug-in's id (harness.core.source.parse_module), whatever has been written since.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

from harness.core.conduct import begin, check_imports, module_name
from harness.core.guests import MODULES
from harness.core.helpers import helpers_of, is_local, module_file
from harness.core.identity import digest
from harness.core.source import code_of

_FOLDERS: dict[str, str] = {}
"""Package name → the folder that it stands for."""

_KNOWN: dict[str, str] = {}
"""The helpers of all plug-ins that have been imported, by their real paths."""


def import_file(path: str) -> ModuleType:
    """Runs a plug-in file once per process.

    Raises what the file raises, and HarnessError when it imports a file of its folder that reading it did not show.
    """
    name = module_name(path)
    if name not in sys.modules:
        begin(path)
        _KNOWN.update({os.path.realpath(file): file for file in helpers_of(path).files})
        own = _builtins_of(_package(os.path.dirname(path))) if helpers_of(path).files else None
        spec = spec_from_file_location(name, path, loader=_Loader(name, path, own))
        assert spec is not None, path
        assert spec.loader is not None, path
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
            check_imports(path)
        except BaseException:
            sys.modules.pop(name, None)
            raise
    return sys.modules[name]


class _Loader(SourceFileLoader):
    """Runs a file with the `__import__` that knows the files of its folder."""

    def __init__(self, name: str, path: str, own: Mapping[str, Any] | None) -> None:
        super().__init__(name, path)
        self._own = own

    def get_code(self, fullname: str) -> CodeType:
        return code_of(self.get_filename(fullname))

    def exec_module(self, module: ModuleType) -> None:
        if self._own is not None:
            module.__dict__["__builtins__"] = self._own
        super().exec_module(module)


class _Finder:
    """Finds the helpers of plug-ins."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = name.partition(".")[0]
        if package not in _FOLDERS:
            return _as_read(name, path)
        if path is None:
            return None
        for folder in path:
            file, packed = module_file(folder, name.rpartition(".")[2])
            places = [packed] if packed is not None else None
            if file is not None:
                loader = _Loader(name, file, _builtins_of(package))
                return spec_from_file_location(name, file, loader=loader, submodule_search_locations=places)
            if places is not None:
                spec = ModuleSpec(name, None, is_package=True)
                spec.submodule_search_locations = places
                return spec
        return None


def _as_read(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """For a helper that a plug-in imports through `sys.path`: its text as it was read."""
    spec = PathFinder.find_spec(name, path)
    known = _KNOWN.get(os.path.realpath(spec.origin)) if spec is not None and spec.origin is not None else None
    if known is None or spec is None:
        return None
    return spec_from_file_location(
        name, known, loader=_Loader(name, known, None), submodule_search_locations=spec.submodule_search_locations
    )


def _package(folder: str) -> str:
    """The name of the package that stands for a folder."""
    name = f"{MODULES}folder_{digest(folder)}"
    if name not in _FOLDERS:
        _FOLDERS[name] = folder
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        sys.modules[name] = module_from_spec(spec)
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
    return name


def _builtins_of(package: str) -> Mapping[str, Any]:
    """Python's builtins, with an `__import__` for which the files of the folder come before what is installed."""
    return {**vars(builtins), "__import__": _importer(package)}


def _importer(package: str) -> Callable[..., Any]:
    folder = _FOLDERS[package]

    def own_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level and not (globals or {}).get("__package__"):  # the plug-in's file itself, which lies in the folder
            if level > 1:
                raise ImportError("this import leaves the folder of the plug-in")
            full = f"{package}.{name}" if name else package
            return builtins.__import__(full, globals, locals, fromlist, 0)
        if level or not is_local(folder, name):
            return builtins.__import__(name, globals, locals, fromlist, level)
        if fromlist:
            return builtins.__import__(f"{package}.{name}", globals, locals, fromlist, 0)
        import_module(f"{package}.{name}")
        return sys.modules[f"{package}.{name.partition('.')[0]}"]

    return own_import
