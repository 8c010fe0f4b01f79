"""What guests do to the process that no call of theirs shows: modules that they import unseen, and ends of the process.

The files that a plug-in consists of are found by reading it (harness.core.helpers), and its id is made of them. A file
of its folder that runs beside them would change numbers, and no id.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from harness.core.errors import HarnessError
from harness.core.guests import MODULES
from harness.core.helpers import helpers_of
from harness.core.identity import digest

_BEFORE: dict[str, frozenset[str]] = {}
"""Plug-in file → the names of the modules that were there before its import."""

_INSTALLED = tuple(
    os.path.realpath(folder) + os.sep
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),
    }
)
"""Folders of Python, of what is installed, and of this package, which may lie below a plug-in's own."""

_COMPILED = "torch._inductor."
"""How the names of modules begin that torch.compile writes, beside the results: a plug-in may lie above them."""

_THREADS = frozenset({"threading", "concurrent.futures.thread", "multiprocessing.pool"})

_exit = os._exit
_creator = os.getpid()
_ended: list[tuple[str, str]] = []
"""(what, file:line) of the ends of the process that threads have asked for."""
_watched: tuple[str, ...] = ()
"""The plug-ins of the job that runs."""
_modules = 0
"""How many modules there were at the last look."""


@contextmanager
def watched(plugins: Sequence[str]) -> Iterator[None]:
    """A job that may use these plug-in files. Raises HarnessError before and after it as `check_conduct` does."""
    global _watched, _modules
    _watched, _modules = tuple(plugins), 0
    _ended.clear()
    try:
        check_conduct()
        yield
        _modules = 0
        check_conduct()
    finally:
        _watched = ()


def begin(plugin: str) -> None:
    """To be called before a plug-in file is imported. From then on guests no longer end the process by `os._exit`."""
    global _creator
    _BEFORE.setdefault(plugin, frozenset(sys.modules))
    if os._exit is not _refuse_exit:
        _creator = os.getpid()
        os._exit = _refuse_exit  # type: ignore[assignment]


def check_conduct() -> None:
    """Raises HarnessError (kind `plugin`) when a plug-in of the running job has imported files of its folder unseen, or
    a thread has tried to end the process. Cheap while nothing is imported.
    """
    global _modules
    if _ended:
        what, where = _ended[0]
        _ended.clear()
        raise HarnessError(what, where=where, hint="raise an exception instead", kind="plugin")
    if _watched and len(sys.modules) != _modules:
        for plugin in _watched:
            check_imports(plugin)
        _modules = len(sys.modules)


def check_imports(plugin: str) -> None:
    """Raises HarnessError (kind `plugin`) for a module below a plug-in's folder that reading the plug-in did not show.

    The module and the plug-in are then forgotten, so that another try is refused as well.
    """
    before = _BEFORE.get(plugin)
    if before is None:
        return
    folder = os.path.join(os.path.realpath(os.path.dirname(plugin)), "")
    known = {os.path.realpath(file) for each in _BEFORE for file in (each, *helpers_of(each).files)}
    for name, module in list(sys.modules.items()):
        file = _file(module) if name not in before and not name.startswith(_COMPILED) else None
        if file is None or not file.startswith(folder) or file in known or _is_installed(file):
            continue
        for gone in (name, module_name(plugin)):
            sys.modules.pop(gone, None)
        what = f"imports {file} in a way that cannot be seen without running it, so that its results would not name it"
        hint = f"a plain import of it: {_plain_import(file, folder)}"
        raise HarnessError(what, where=plugin, hint=hint, kind="plugin")


def module_name(plugin: str) -> str:
    """The name of a plug-in's module."""
    return f"{MODULES}{digest(plugin)}"


def _file(module: object) -> str | None:
    """The file of a module, without waking one that is loaded when it is first used."""
    if not isinstance(module, ModuleType):
        return None
    file = object.__getattribute__(module, "__dict__").get("__file__")
    return os.path.realpath(file) if isinstance(file, str) else None


def _is_installed(file: str) -> bool:
    return file.startswith(_INSTALLED) or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _plain_import(file: str, folder: str) -> str:
    parts = Path(file).relative_to(folder).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return f"from {'.'.join(parts[:-1])} import {parts[-1]}" if len(parts) > 1 else f"import {parts[0]}"


def _refuse_exit(status: int) -> None:
    """Stands for `os._exit`: where a guest calls it, SystemExit is raised, which is told as its fault.

    In a thread, where Python swallows it, the next look at the conduct tells.
    """
    place = _caller() if os.getpid() == _creator else None
    if place is None:
        _exit(status)
    assert place is not None
    if threading.current_thread() is not threading.main_thread():
        _ended.append((f"a thread ends the process: os._exit({status!r})", place))
    raise SystemExit(f"os._exit({status!r})")


def _caller() -> str | None:
    """file:line of the guest that calls; empty for one that has made it the whole work of a thread; else None."""
    frame = sys._getframe(1).f_back  # of who called `os._exit`; nobody, at the end of the process
    others = False
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(MODULES):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        others = others or name not in _THREADS
        frame = frame.f_back
    return None if others else ""
