"""Names of the members of a shard.

A sample is up to three members: `<key>.gt.tif` and `<key>.lq.tif`, as far as it has these images, and `<key>.json`.
WebDataset cuts a member's name at the first dot, reads folders into the key and skips names in double underscores, so
keys are escaped. A name that no file could have, because it is too long, is cut. The JSON says the key.
"""

from __future__ import annotations

import re

from harness.core.errors import DataError
from harness.core.identity import digest

LONGEST = 230
"""Bytes of a member's name before the first dot: an unpacked file has at most 255 with its ending."""
_CUT = "~"
"""Stands in no escaped key."""

_PLAIN = re.compile(rb"[A-Za-z0-9_-]")


def escape_key(key: str) -> str:
    """A key in letters, digits, `-`, `_` and `=`: every other byte of its UTF-8, and a leading `_`, as `=XX`.

    Raises DataError for an empty key or one that is not valid Unicode.
    """
    if not key:
        raise DataError("a sample has an empty key")
    try:
        content = key.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the key {key!r} is not valid Unicode", hint="rename the image") from error
    plain = "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"={byte:02X}" for byte in content)
    return f"=5F{plain[1:]}" if plain.startswith("_") else plain


def member_name(key: str) -> str:
    """What the members of a sample are called, before the first dot: at most LONGEST bytes, no two keys alike.

    Raises DataError as `escape_key` does.
    """
    name = escape_key(key)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 20]}{_CUT}{digest(key)}"
