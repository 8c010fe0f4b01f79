"""Identity of content: canonical JSON, digests, seals, and seeds made from named ingredients.

A seal tells a damaged file from a changed one. It is the SHA-256 of a JSON object's canonical form, floats included,
and stands in the object under `SEAL`, as `sha256:…`. Objects without one are of earlier releases and are believed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.core.beat import beat
from harness.core.outlast import outlast

DIGEST_LENGTH = 16
SEAL = "sealed"
"""The name under which an object holds its seal."""
_SEAL_FORM = re.compile(r"sha256:[0-9a-f]{64}")


def canonical_json(value: Any) -> str:
    """JSON text that depends only on content: keys sorted, no spaces, -0.0 as 0.0, integral floats kept as floats.

    Raises ValueError for NaN and infinities, TypeError for what JSON does not have.
    """
    try:
        text = _sorted_json(value)
    except (ValueError, TypeError, RecursionError):
        text = _UNSURE
    # what may hold a negative zero, or a key that was no text, is walked through; nearly nothing is
    return _sorted_json(_normal(value)) if _UNSURE in text or _NO_TEXT.search(text) else text


_UNSURE = "-0.0"
_NO_TEXT = re.compile('[{,]"(?:[-0-9][^"]*|true|false|null)":')
"""Keys as Python writes those that are no text."""
_sorted_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


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
    return text_digest(canonical_json(value), length)


def text_digest(canonical: str, length: int = DIGEST_LENGTH) -> str:
    """`digest` of the value whose canonical JSON this is."""
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


def joined_json(texts: Mapping[str, str]) -> str:
    """The canonical JSON of an object, from that of its values."""
    return "{" + ",".join(f"{_quoted(name)}:{texts[name]}" for name in sorted(texts)) + "}"


_quoted = cache(canonical_json)


def json_text(value: Any) -> str:
    """The text of a JSON file: indented, keys as they come. Raises ValueError for NaN and infinities."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its seal, which comes last; an old seal is replaced."""
    content = {name: item for name, item in value.items() if name != SEAL}
    return {**content, SEAL: f"sha256:{digest(content, 64)}"}


@dataclass(frozen=True)
class Unsealed:
    """A JSON object as a file holds it."""

    content: dict[str, Any]
    """Without its seal."""
    bare: bytes | None = None
    """The file's bytes where it has no seal."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file as it is without the seal (`json_text`); of its very bytes where it has none."""
        return hashlib.sha256(json_text(self.content).encode() if self.bare is None else self.bare).hexdigest()


def unsealed(text: bytes | str) -> Unsealed:
    """The object in a JSON file's text.

    Raises ValueError when the text is not a JSON object, or not the one that was sealed.
    """
    if (content := _sound(text)) is not None:
        return Unsealed(content)
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        seal = value.pop(SEAL, None)
        if seal is None:
            if any(isinstance(item, str) and _SEAL_FORM.fullmatch(item) for item in value.values()):
                raise ValueError("its seal has lost its name")
            return Unsealed(value, text.encode() if isinstance(text, str) else text)
        if not _is_sealed_by(value, seal):
            raise ValueError("its content is not what was sealed")
        return Unsealed(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _sound(text: bytes | str) -> dict[str, Any] | None:
    """The content of a sealed text as a faster reader gives it, where its seal is the content's; None where the text
    is to be read with care. What the reader might take for something else the seal would not fit."""
    try:
        value = from_json(text)
        seal = value.pop(SEAL, None) if isinstance(value, dict) else None
        return value if seal is not None and seal == f"sha256:{text_digest(_sorted_json(value), 64)}" else None
    except (ValueError, TypeError, RecursionError):
        return None


def _is_sealed_by(content: dict[str, Any], seal: object) -> bool:
    """Whether the seal is the content's."""
    return bool(seal == f"sha256:{digest(content, 64)}")


def file_sha256(path: str | Path) -> str:
    """Full SHA-256 of a file, read in pieces."""
    beat()
    return outlast(lambda: _file_sha256(path), path)


def _file_sha256(path: str | Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def stamp_of(status: os.stat_result) -> list[int]:
    """What shows without reading it that a file has changed: its size, the time of change of its content, that of its
    entry, which no program can set back, and its place on the disk."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def known_sha256(path: str | Path) -> str:
    """SHA-256 of a file that rarely changes: hashed once per process as long as its stamp stays the same."""
    return _known_sha256(str(path), *stamp_of(outlast(lambda: os.stat(path), path)))


@cache
def _known_sha256(path: str, *stamp: int) -> str:
    return file_sha256(path)


def seed(*ingredients: str | int) -> int:
    """A 63-bit seed from named ingredients, e.g. seed("degrade", key) or seed("init", cell_id).

    The same ingredients give the same seed. The first ingredient names the purpose, so that two purposes never get the
    same seed by accident.
    """
    hashed = hashlib.blake2b(canonical_json(list(ingredients)).encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") >> 1
