"""Members of a shard: their names and the codecs of their content.

A sample is three members, `<key>.lq.<codec>`, `<key>.gt.<codec>` and `<key>.json`. WebDataset cuts a member's name at
the first dot, reads folders into the key and skips names in double underscores, so keys are escaped, reversibly. A
name that no file could have, because it is too long, is cut, and its JSON says the key.
"""

from __future__ import annotations

import io
import json
import re
from typing import Literal

import cv2
import numpy as np

from harness.core.errors import DataError
from harness.core.identity import digest

Codec = Literal["npy", "png"]
"""`npy`: raw, for tiles (a decode costs nothing) and for floats. `png`: for whole 8-bit images."""

LONGEST = 230
"""Bytes of a member's name before the first dot: an unpacked file has at most 255 with its ending."""
_CUT = "~"
"""Stands in no escaped key."""

_PLAIN = re.compile(rb"[A-Za-z0-9_-]")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")


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


def unescape_key(name: str) -> str:
    """Inverse of `escape_key`. Raises DataError for a name that `escape_key` never gives."""
    if re.search(r"[^A-Za-z0-9_=-]", name):
        raise DataError(f"{name!r} is not an escaped key")
    try:
        key = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name).encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{name!r} is not an escaped key") from error
    if not key or escape_key(key) != name:
        raise DataError(f"{name!r} is not an escaped key")
    return key


def member_name(key: str) -> str:
    """What the members of a sample are called, before the first dot: at most LONGEST bytes, no two keys alike.

    Raises DataError as `escape_key` does.
    """
    name = escape_key(key)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 20]}{_CUT}{digest(key)}"


def member_key(name: str, described: bytes) -> str:
    """Inverse of `member_name`. `described`: the sample's JSON. Raises DataError for a name that it never gives."""
    if _CUT not in name:
        return unescape_key(name)
    try:
        key = json.loads(described)["key"]
        sound = member_name(key) == name
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the JSON of {name!r} names no key") from error
    if not sound:
        raise DataError(f"the JSON of {name!r} names another key")
    return str(key)


def encode(image_HWC: np.ndarray, codec: Codec) -> bytes:
    """An image's bytes: uint8 RGB, or float32 (npy only). The same array always gives the same bytes."""
    if codec == "npy":
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(image_HWC), version=(1, 0), allow_pickle=False)
        return buffer.getvalue()
    assert image_HWC.dtype == np.uint8, image_HWC.dtype
    done, content = cv2.imencode(".png", cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR))
    assert done
    return content.tobytes()


def decode(content: bytes, codec: Codec) -> np.ndarray:
    """Inverse of `encode`. Raises ValueError when the bytes are damaged."""
    if codec == "npy":
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("not a PNG image")
    return np.asarray(image)
