"""Whether an error says that the machine ran out of something, which is nobody's mistake."""

from __future__ import annotations

import errno
from typing import Literal

from harness.core.errors import text_of

Shortage = Literal["memory", "storage"]
"""As the classes of failures call it (harness.core.errors)."""

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}
"""A disk that is full, that takes nothing, that is broken, or whose server knows it no more."""

_MEMORY_WORDS = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "insufficient memory",
    "status_alloc_failed",
)  # fmt: skip
_DISK_WORDS = ("no space left on device", "disk quota exceeded")


def shortage(error: BaseException) -> Shortage | None:
    """What gave out: memory, or a disk; None for every other error. Imports no library whose errors it knows."""
    if _is_memory(error):
        return "memory"
    if isinstance(error, OSError):
        return "storage" if error.errno in _DISK else None
    # safetensors and pyarrow wrap the system's error in their own
    return "storage" if isinstance(error, Exception) and _says(error, _DISK_WORDS) else None


def is_of_machine(error: BaseException) -> bool:
    """Whether a machine is at fault, whoever's line was running: it ran out of something, or another one went."""
    return shortage(error) is not None or is_broken_collective(error)


def _is_memory(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names:
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch's CPU allocator, CUDA's libraries, OpenCV
    nameless = isinstance(error, RuntimeError) or type(error).__module__ == "cv2"
    return nameless and _says(error, _MEMORY_WORDS)


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = text_of(error).lower()
    return any(each in text for each in words)


_COLLECTIVE_ERRORS = {"DistError", "DistBackendError", "DistNetworkError", "DistStoreError", "DistQueueEmptyError"}
"""torch.distributed's own, by name."""

_COLLECTIVE_WORDS = (
    "gloo/transport",
    "[gloo]",
    "nccl error",
    "nccl communicator",
    "ncclremoteerror",
    "ncclsystemerror",
    "application timeout caused pair closure",
)
"""gloo raises plain RuntimeErrors that name the file of its source, all but one."""


def is_broken_collective(error: BaseException) -> bool:
    """Whether processes that compute together lost each other: one has ended, is silent, or cannot be reached.

    Imports no library whose errors it knows. A machine's doing, whoever's code was waiting for the others.
    """
    if _is_memory(error):
        return False
    if any(kind.__name__ in _COLLECTIVE_ERRORS for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and _says(error, _COLLECTIVE_WORDS)
