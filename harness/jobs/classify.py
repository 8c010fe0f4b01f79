"""Why a job failed, in the few classes that decide what to do about it."""

from __future__ import annotations

import errno

from harness.core.errors import FailureClass, HarnessError
from harness.core.guests import blame
from harness.core.memory import out_of_memory

_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_FULL_DISK_WORDS = ("no space left on device", "disk quota exceeded")


def classify(error: BaseException) -> FailureClass:
    """The class of an exception that ended a job. Imports no library whose errors it knows."""
    if isinstance(error, HarnessError):
        return error.kind
    if blame(error) is not None:
        return "plugin"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if out_of_memory(error):
        return "memory"
    text = str(error).lower()
    if isinstance(error, OSError):
        return "storage" if error.errno in _STORAGE else "bug"
    if any(words in text for words in _FULL_DISK_WORDS):
        return "storage"  # safetensors and pyarrow wrap the system's error in their own
    return "bug"


def message(error: BaseException) -> str:
    """One line or a few for people: the error's text, with its class for those that are not meant for users.

    Valid Unicode, whatever a part raised: records and logs are UTF-8.
    """
    error = blame(error) or error
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001 - `__str__` may be a part's own code
        text = f"its message cannot be read ({type(failure).__name__})"
    if not isinstance(error, HarnessError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text.encode(errors="backslashreplace").decode()
