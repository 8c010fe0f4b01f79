"""Why a job failed, in the few classes that decide what to do about it."""

from __future__ import annotations

import errno
import re

from harness.core.errors import FailureClass, HarnessError, text_of
from harness.core.guests import blame
from harness.core.machine import is_broken_collective, shortage
from harness.core.outlast import is_cut_off

_REFUSED = {errno.EACCES, errno.EPERM}
"""Errors of folders that belong to somebody else: of the place, once a plug-in's own code is ruled out."""

_BROKE = re.compile(r"Connection (closed|reset) by peer|Broken pipe")
_WAITED = re.compile(r"gloo/.*Timed out waiting (\d+)ms")
_SOURCE = re.compile(r"\[[^\]\s]*gloo/[^\]\s]*\]\s*")


def classify(error: BaseException) -> FailureClass:
    """The class of an exception that ended a job. Imports no library whose errors it knows."""
    if isinstance(error, HarnessError):
        return error.kind
    if isinstance(error, OSError) and is_cut_off(error, error.filename or ""):
        return "worker_lost"
    if blame(error) is not None:
        return "plugin"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if (short := shortage(error)) is not None:
        return short
    if is_broken_collective(error):
        return "worker_lost"
    return "storage" if isinstance(error, OSError) and error.errno in _REFUSED else "bug"


def message(error: BaseException) -> str:
    """One line or a few for people: the error's text, with its class for those that are not meant for users.

    Valid Unicode, whatever a part raised: records and logs are UTF-8.
    """
    error = blame(error) or error
    text = text_of(error)
    if not isinstance(error, HarnessError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text.encode(errors="backslashreplace").decode()


def plainly(broken: str) -> str:
    """What a collective that broke says, without places in the source of the library that carries it."""
    if _BROKE.search(broken):
        return "the connection to another process broke, which may have ended"
    if (found := _WAITED.search(broken)) is not None:
        return f"another process has not answered for {int(found[1]) / 1000:.0f} s"
    return _SOURCE.sub("", broken)
