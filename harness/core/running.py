"""Runs plug-in files and their helpers, each under a name of its own, so that files of one name never mix.

A plug-in at /a/b.py is the module `priorbench_plugin_<digest of its path>`. Its helpers are modules of a package that
stands for its folder: two plug-ins of one folder share them, those of two folders share nothing. The code is always
compiled from the source: Python's cache goes by a file's time and size, and may hold what an edit has changed.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

from harness.core.guests import MODULES
from harness.core.helpers import helpers_of, is_local, module_file
from harness.core.identity import digest

_FOLDERS: dict[str, str] = {}
"""Package name → the folder that it stands for."""


def import_file(path: str) -> ModuleType:
    """Runs a plug-in file once per process. Raises what the file raises."""
    name = f"{MODULES}{digest(path)}"
    if name not in sys.modules:
        own = _builtins_of(_package(os.path.dirname(path))) if helpers_of(path).files else None
        spec = spec_from_file_location(name, path, loader=_Loader(name, path, own))
        assert spec is not None, path
        assert spec.loader is not None, path
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
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
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        if self._own is not None:
            module.__dict__["__builtins__"] = self._own
        super().exec_module(module)


class _Finder:
    """Finds the helpers of plug-ins."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = name.partition(".")[0]
        if package not in _FOLDERS or path is None:
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
