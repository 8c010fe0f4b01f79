"""The edge to the terminal: what every stream of `bench` goes through."""

from __future__ import annotations

import logging
import sys
from io import TextIOWrapper
from typing import Any, TextIO

from harness.core.encoding import ERRORS
from harness.core.text import printable


class PrintableStream:
    """A text stream that lets no control character through. Rich writes its own to the stream behind it."""

    buffer = None
    """There is no way around `write`: typer.echo would encode by itself where it finds a buffer."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        start = "\r" if text.startswith("\r") else ""  # progress of downloads, which writes over its own line
        self.rich_proxied_file.write(start + printable(text.removeprefix("\r")))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def guard_streams() -> None:
    """Makes standard output and error safe: they never raise for a character, and pass no control characters on.

    Python's logging no longer writes tracebacks of its own when its file cannot be written.
    """
    logging.raiseExceptions = False
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
            setattr(sys, name, PrintableStream(stream))
