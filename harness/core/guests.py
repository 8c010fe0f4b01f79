"""The boundary to guests: the code of plug-ins, which may raise, end or change anything.

Whatever leaves a guest comes out here as a HarnessError of the kind `plugin` that names the part, file and line. What a
guest gives back is checked where it is used (harness.parts.guard).

An error is a guest's when its traceback passes through a plug-in's file or one of its helpers. Errors that say more
than that keep their class: those meant for users (HarnessError), memory that ran out, a full disk.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from inspect import getsourcefile, getsourcelines
from types import FrameType
from typing import Any, TextIO

from harness.core.errors import FailureClass, HarnessError, text_of
from harness.core.machine import is_of_machine
from harness.core.text import shortened

MODULES = "priorbench_plugin_"
"""How the names of all modules begin that hold a guest's code."""

FAILURES = (Exception, SystemExit, GeneratorExit)
"""What ends one metric, image or job, and nothing beside it: whatever a part may raise. Ctrl-C alone is the user's."""

LONGEST = 400
"""Characters of an error's message that are shown."""

PARTS: dict[tuple[str, str], str] = {}
"""(file, class) → kind and name of the parts whose files have been loaded."""


class UserInterrupt(KeyboardInterrupt):
    """Ctrl-C, told from a KeyboardInterrupt that code raises by itself."""


def tell_interrupts() -> None:
    """Makes Ctrl-C raise UserInterrupt, so that a guest that raises KeyboardInterrupt is not taken for the user."""
    if in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise UserInterrupt


def in_main_thread() -> bool:
    """Whether this is the thread that what the process has one of belongs to."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def contained(hint: str = "", *, quiet: bool = False, owner: object = None) -> Iterator[None]:
    """Turns what guests raise in the block into HarnessErrors, exits and interrupts of their own making included.

    Working directory, streams and what Ctrl-C does are afterwards what they were. `quiet`: what is printed goes to
    stderr, so that tables and files on stdout stay what they are. Both in the main thread alone: the process has one of
    each, and what changes in another thread's time may be the main thread's own doing.
    `owner`: the part, or its class, that is all that the block calls, so that a call with a wrong signature or of a
    method that is not there is its fault as well.
    """
    before = _Surroundings.now() if in_main_thread() else None
    try:
        if quiet and before is not None:
            with redirect_stdout(sys.stderr):
                yield
        else:
            yield
    except BaseException as error:
        blamed = blame(error, hint) or _blame_owner(error, owner, hint)
        if blamed is None:
            raise
        raise blamed from error
    finally:
        if before is not None:
            before.put_back()


@dataclass(frozen=True)
class _Surroundings:
    """What the process has one of, and a guest may change."""

    folder: str | None
    streams: tuple[TextIO, TextIO]
    on_interrupt: Any

    @classmethod
    def now(cls) -> _Surroundings:
        return cls(_folder(), (sys.stdout, sys.stderr), signal.getsignal(signal.SIGINT))

    def put_back(self) -> None:
        """Undoes what has changed since. In the main thread alone."""
        if self.folder is not None and _folder() != self.folder:
            with suppress(OSError):  # it may be gone
                os.chdir(self.folder)
        if sys.stdout is not self.streams[0]:
            sys.stdout = self.streams[0]
        if sys.stderr is not self.streams[1]:
            sys.stderr = self.streams[1]
        if signal.getsignal(signal.SIGINT) is not self.on_interrupt:
            signal.signal(signal.SIGINT, self.on_interrupt)


def blame(error: BaseException, hint: str = "") -> HarnessError | None:
    """The error as a plug-in's fault; None when it is not one."""
    frames = _guest_frames(error)
    if not frames or isinstance(error, HarnessError) or is_of_machine(error) or _of_user(error, frames):
        return None
    frame, line = frames[-1]
    what = f"{_part(frames)}{_said(error)}"
    return HarnessError(what, where=f"{frame.f_code.co_filename}:{line}", hint=hint, kind="plugin")


def _blame_owner(error: BaseException, owner: object, hint: str) -> HarnessError | None:
    """The error as the fault of the guest that was called, where its own code has not even begun."""
    cls = owner if isinstance(owner, type) else type(owner)
    if not is_guest(cls) or not isinstance(error, Exception):
        return None
    if isinstance(error, HarnessError) or is_of_machine(error):
        return None
    return HarnessError(f"{cls.__name__}: {_said(error)}", where=guest_place(cls), hint=hint, kind="plugin")


def is_users(error: BaseException) -> bool:
    """Whether an exception is the user's Ctrl-C, or might be."""
    return isinstance(error, KeyboardInterrupt) and _of_user(error, _guest_frames(error))


def is_guest(cls: type) -> bool:
    """Whether a class is defined in a plug-in or one of its helpers."""
    return cls.__module__.startswith(MODULES)


def guest_place(cls: type) -> str:
    """file:line of a class that a plug-in defines; empty for one of this package, of a library or of Python."""
    if not is_guest(cls):
        return ""
    try:
        return f"{getsourcefile(cls)}:{getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def fault(part: object, what: str, hint: str = "") -> HarnessError:
    """The error for a part, or its class, that breaks what its kind promises; `where` is the place of the class.

    A plug-in's fault is of the kind `plugin`, and that of any other class a `bug`.
    """
    cls = part if isinstance(part, type) else type(part)
    kind: FailureClass = "plugin" if is_guest(cls) else "bug"
    return HarnessError(f"{cls.__name__} {what}", where=guest_place(cls), hint=hint, kind=kind)


def _of_user(error: BaseException, frames: list[tuple[FrameType, int]]) -> bool:
    """A handler of our own raises real interrupts, so that their innermost frame is never a guest's."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    handler = signal.getsignal(signal.SIGINT)
    told_apart = handler is _interrupt or handler is signal.SIG_IGN
    return isinstance(error, UserInterrupt) or not told_apart or not frames or frames[-1] != _frames(error)[-1]


def _frames(error: BaseException) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_tb(error.__traceback__))


def _guest_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    return [found for found in _frames(error) if str(found[0].f_globals.get("__name__", "")).startswith(MODULES)]


def _part(frames: list[tuple[FrameType, int]]) -> str:
    """`prior mine: ` for the part whose code the error passed through first, if one can be told."""
    for frame, _ in frames:
        code = frame.f_code
        named = PARTS.get((code.co_filename, code.co_qualname.partition(".")[0]))
        if named is not None:
            return f"{named}: "
    files = {frame.f_code.co_filename for frame, _ in frames}
    named_in_file = sorted({name for (file, _), name in PARTS.items() if file in files})
    return f"{named_in_file[0]}: " if len(named_in_file) == 1 else ""


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        how = str(error.code) if str(error.code).startswith("os._exit") else f"sys.exit, code {error.code!r}"
        return f"it ends the process ({how})"
    if isinstance(error, KeyboardInterrupt):
        return "it raises KeyboardInterrupt, as if the user had pressed Ctrl-C"
    text = shortened(text_of(error).strip(), LONGEST)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
