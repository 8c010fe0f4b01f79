"""What is said when memory gives out: at what, how large it was, and what helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.errors import HarnessError
from harness.core.machine import shortage

MORE_MEMORY = "a machine with more memory, fewer jobs side by side, or the data set without its largest images"


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
        if shortage(error) != "memory":
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise HarnessError(f"out of memory while {doing} ({said})", where=where, hint=hint, kind="memory") from error
