"""What is said when memory gives out: at what, how large it was, and what helps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.errors import HarnessError

MORE_MEMORY = "a machine with more memory, fewer jobs side by side, or the data set without its largest images"

_WORDS = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "insufficient memory",
)  # fmt: skip


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory gave out. Imports no library whose errors it knows."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names:
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    nameless = isinstance(error, RuntimeError) or type(error).__module__ == "cv2"  # torch's CPU allocator, OpenCV
    return nameless and any(words in str(error).lower() for words in _WORDS)


@contextmanager
def memory_told(doing: str, *, where: str, hint: str = MORE_MEMORY) -> Iterator[None]:
    """A block whose failure for want of memory becomes a HarnessError (kind `memory`) with `where` and `hint`.

    `doing`: what was done, as in "out of memory while this image was restored".
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        if not out_of_memory(error):
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise HarnessError(f"out of memory while {doing} ({said})", where=where, hint=hint, kind="memory") from error
