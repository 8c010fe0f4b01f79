"""Identity of content: canonical JSON, digests, and seeds made from named ingredients."""

from __future__ import annotations

import hashlib
import json
import math
import os
from functools import cache
from pathlib import Path
from typing import Any

DIGEST_LENGTH = 16


def canonical_json(value: Any) -> str:
    """JSON text that depends only on content: keys sorted, no spaces, -0.0 as 0.0, integral floats kept as floats.

    Raises ValueError for NaN and infinities, TypeError for what JSON does not have.
    """
    return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        if any(not isinstance(key, str) for key in value):
            raise TypeError("canonical JSON takes string keys only")
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical JSON")
        return value + 0.0
    return value


def digest(value: Any, length: int = DIGEST_LENGTH) -> str:
    """First `length` hex digits of the SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_sha256(path: str | Path) -> str:
    """Full SHA-256 of a file, read in pieces."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def known_sha256(path: str | Path) -> str:
    """SHA-256 of a file that rarely changes: hashed once per process as long as its size and time stay the same."""
    status = os.stat(path)
    return _known_sha256(str(path), status.st_size, status.st_mtime_ns)


@cache
def _known_sha256(path: str, size: int, changed: int) -> str:
    return file_sha256(path)


def seed(*ingredients: str | int) -> int:
    """A 63-bit seed from named ingredients, e.g. seed("degrade", key) or seed("init", cell_id).

    The same ingredients give the same seed. The first ingredient names the purpose, so that two purposes never get the
    same seed by accident.
    """
    hashed = hashlib.blake2b(canonical_json(list(ingredients)).encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") >> 1
