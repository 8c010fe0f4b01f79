"""The text of a suite's files: never more than fits, and never from what is no plain file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.core.paths import unread
from harness.core.yaml import MAX_BYTES, too_large

MAX_FILES = 100
"""Files that one suite includes, each as often as it is included."""

_OTHER_TEXT = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Unreadable(Exception):
    """A file that is no suite. Arguments: what is wrong, what to try."""


@dataclass
class Budget:
    """What a suite and its includes may still read."""

    bytes: int = MAX_BYTES
    files: int = MAX_FILES

    def text(self, path: Path) -> str:
        """The text of a file, without its byte order mark. Raises Unreadable."""
        self.files -= 1
        if self.files < 0:
            raise Unreadable(f"a suite includes more than {MAX_FILES} files", "join them, or write a `matrix`")
        content = _content(path, self.bytes)
        self.bytes -= len(content)
        return _decoded(content)


def _content(path: Path, most: int) -> bytes:
    """The bytes of a plain file. A pipe is never opened, which would wait for a writer."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"this is {kind_of(found.st_mode)}, not a file", "a suite is a text file")
        with open(path, "rb") as handle:
            content = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {unread(error)}", "") from error
    if len(content) > MAX_BYTES:
        raise Unreadable(*too_large(max(found.st_size, len(content))))
    if len(content) > most:
        what = f"with this file, the suite and its includes have more than {MAX_BYTES:,} bytes"
        raise Unreadable(what, "write what repeats as a `matrix`, or split it into several suites")
    return content


def _decoded(content: bytes) -> str:
    known = _OTHER_TEXT.get(content[:2])
    if known:
        raise Unreadable(f"this is {known}, not UTF-8 text", "save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"not UTF-8 text (byte {error.start}, in line {line})", "save it as UTF-8") from None
    if "\0" in text:
        raise Unreadable("this is no text: it holds zero bytes", "a suite is a text file, YAML in UTF-8")
    return text


def kind_of(mode: int) -> str:
    """What a file of this mode is called."""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device" if not stat.S_ISSOCK(mode) else "a socket"


def no_file(path: Path) -> str:
    """Why a path is not a file. `os.path` answers for what cannot be a path, too; pathlib raises."""
    if not os.path.lexists(path):
        return "no such file"
    try:
        return f"this is {kind_of(os.stat(path).st_mode)}, not a file"
    except OSError as error:
        return "this link leads to no file" if os.path.islink(path) else f"cannot be read: {unread(error)}"
