"""Why a job failed, in the few classes that decide what to do about it."""

from __future__ import annotations

import errno

from harness.core.errors import FailureClass, HarnessError

_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
_FULL_DISK_WORDS = ("no space left on device", "disk quota exceeded")


def classify(error: BaseException) -> FailureClass:
    """The class of an exception that ended a job. Imports no library whose errors it knows."""
    if isinstance(error, HarnessError):
        return error.kind
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names:
        return "memory"
    if isinstance(error, OSError):
        return "memory" if error.errno == errno.ENOMEM else "storage" if error.errno in _STORAGE else "bug"
    if isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS):
        return "memory"  # torch's CPU allocator has no class of its own
    if any(words in text for words in _FULL_DISK_WORDS):
        return "storage"  # safetensors and pyarrow wrap the system's error in their own
    return "bug"


def message(error: BaseException) -> str:
    """One line or a few for people: the error's text, with its class for those that are not meant for users.

    Valid Unicode, whatever a part raised: records and logs are UTF-8.
    """
    text = str(error)
    if not isinstance(error, HarnessError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text.encode(errors="backslashreplace").decode()
