"""Whether two installations of this package are the same code."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


def source_digest(package: Path) -> str:
    """First 16 hex digits of the SHA-256 over the names and contents of a package's Python files.

    Line endings count for nothing: git may change them. So a checkout and its wheel have the same one.
    """
    hashed = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        hashed.update(path.relative_to(package).as_posix().encode() + b"\0" + content + b"\0")
    return hashed.hexdigest()[:16]


@cache
def own_source() -> str:
    """That of the package that this process runs, as it was when it was first asked for."""
    return source_digest(Path(__file__).parents[1])
