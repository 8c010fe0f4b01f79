"""Images as members of shards: TIFF files in tiles of 128×128 pixels, each a zstd frame of its own, without loss.

A crop reads and decodes the tiles that it touches alone. Integers are stored as differences along the row (TIFF
predictor 2), floats with the floating-point predictor (3). Every frame ends in a checksum of its content, so that a
changed bit is found in the tile that is read; the header is built from the image's size alone and compared whole. Any
program that reads TIFF with zstd opens the files (LibTIFF since 4.0.10, tifffile). Sources: TIFF 6.0, sections 14 and
15; Adobe Photoshop TIFF Technical Note 3 for floats; RFC 8878 for the frames.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import zstandard

TILE = 128
"""Side of a tile, pixels."""
LEVEL = 9
"""Of zstd: of photographs 2% smaller than level 1; levels above 12 take off 2% more, at a third of the speed."""
AT_ONCE = 16
"""Tiles that are unpacked together, unless one row of them has more."""
DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("<u1"), "uint16": np.dtype("<u2"), "float32": np.dtype("<f4")}

Window = tuple[int, int, int, int]
"""(top, left, height, width), pixels."""
Read = Callable[[int, int], bytes]
"""Gives `length` bytes from `offset` of a TIFF file on."""

_SHORT, _LONG = 3, 4


class Geometry(NamedTuple):
    """What the header of an image depends on."""

    height: int
    width: int
    channels: int
    dtype: str

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // TILE), -(-self.width // TILE)


class Tiles(NamedTuple):
    """Where the tiles of one file lie."""

    geometry: Geometry
    ends: np.ndarray
    """Offset behind every tile, row by row; the first is the header's end, where the first tile begins."""


def geometry_of(image_HWC: np.ndarray) -> Geometry:
    """Of an image that can be stored. Raises ValueError for another shape or type of pixels."""
    if image_HWC.ndim != 3 or 0 in image_HWC.shape or image_HWC.dtype.name not in DTYPES:
        raise ValueError(f"not an image H×W×C of {', '.join(DTYPES)}: {image_HWC.shape}, {image_HWC.dtype}")
    height, width, channels = image_HWC.shape
    return Geometry(height, width, channels, image_HWC.dtype.name)


def encode(image_HWC: np.ndarray) -> bytes:
    """A TIFF file of uint8, uint16 or float32 pixels, H×W×C with any number of channels.

    The same pixels always give the same bytes. Raises ValueError for another shape or type.
    """
    geometry = geometry_of(image_HWC)
    compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True).compress
    tall, wide = geometry.tiles
    frames = [
        compress(_predicted(image_HWC[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]))
        for row in range(tall)
        for column in range(wide)
    ]
    head, at_offsets, at_lengths = _header(geometry)
    lengths = np.array([len(frame) for frame in frames], "<u4")
    ends = np.cumsum(np.append(len(head), lengths), dtype=np.int64)
    if ends[-1] >= 2**32:
        raise ValueError(f"an image of {geometry.height}×{geometry.width} pixels is too large for one TIFF file")
    whole = bytearray(head)
    whole[at_offsets : at_offsets + 4 * len(frames)] = ends[:-1].astype("<u4").tobytes()
    whole[at_lengths : at_lengths + 4 * len(frames)] = lengths.tobytes()
    return b"".join([whole, *frames])


def decode(content: bytes) -> np.ndarray:
    """The image H×W×C in a file that `encode` wrote. Raises ValueError when it is damaged, or another file."""
    geometry = _stated(content)
    tiles = table(geometry, content[: header_bytes(geometry)], len(content))
    return cut(lambda offset, length: content[offset : offset + length], tiles)


def header_bytes(geometry: Geometry) -> int:
    """Length of the header, behind which the first tile begins."""
    return len(_header(geometry)[0])


def table(geometry: Geometry, head: bytes, length: int) -> Tiles:
    """Where the tiles lie, from a file's first `header_bytes`; `length` is the whole file's.

    Raises ValueError when they are not the header of such an image, with tiles that fill the file without a gap.
    """
    expected, at_offsets, at_lengths = _header(geometry)
    count = geometry.tiles[0] * geometry.tiles[1]
    if len(head) != len(expected):
        raise ValueError("its header is cut off")
    offsets = np.frombuffer(head, "<u4", count, at_offsets)
    lengths = np.frombuffer(head, "<u4", count, at_lengths)
    ends = np.empty(count + 1, np.int64)
    ends[0] = len(head)
    np.cumsum(lengths, out=ends[1:])
    ends[1:] += len(head)
    blank = bytearray(head)
    blank[at_offsets : at_offsets + 4 * count] = blank[at_lengths : at_lengths + 4 * count] = bytes(4 * count)
    if blank != expected:
        raise ValueError("its header is that of another image")
    if ends[-1] != length or not np.array_equal(offsets, ends[:-1]):
        raise ValueError("its table of tiles is damaged")
    return Tiles(geometry, ends)


def lies_in(window: Window, height: int, width: int) -> bool:
    """Whether a window has pixels, all of them in an image of this size."""
    top, left, tall, wide = window
    return 0 <= top < top + tall <= height and 0 <= left < left + wide <= width


def cut(read: Read, tiles: Tiles, window: Window | None = None) -> np.ndarray:
    """The pixels of a window, H×W×C; None: of the whole image. Neighbouring tiles are read in one go.

    Raises ValueError when a tile is damaged, or the window does not lie in the image.
    """
    height, width, channels, name = tiles.geometry
    top, left, tall, wide = window or (0, 0, height, width)
    if not lies_in((top, left, tall, wide), height, width):
        raise ValueError(f"the window {window} does not lie in an image of {height}×{width} pixels")
    found = np.empty((tall, wide, channels), DTYPES[name].newbyteorder("="))
    rows = range(top // TILE, (top + tall - 1) // TILE + 1)
    columns = range(left // TILE, (left + wide - 1) // TILE + 1)
    step = max(1, AT_ONCE // len(columns))
    for start in range(rows.start, rows.stop, step):
        some = range(start, min(start + step, rows.stop))
        for row, line in zip(some, _unpacked(read, tiles, some, columns), strict=True):
            above, below = max(top, row * TILE), min(top + tall, (row + 1) * TILE)
            part = _restored(line[:, above - row * TILE : below - row * TILE])
            for place, column in enumerate(columns):
                before, behind = max(left, column * TILE), min(left + wide, (column + 1) * TILE)
                inner = part[place, :, before - column * TILE : behind - column * TILE]
                found[above - top : below - top, before - left : behind - left] = inner
    return found


def _unpacked(read: Read, tiles: Tiles, rows: range, columns: range) -> np.ndarray:
    """Some tiles before the predictor is undone: rows × columns × TILE × TILE × C.

    They are unpacked by one call, as frames after one another are one stream: a thread that gives the interpreter's
    lock back once does not wait for it as often.
    """
    geometry = tiles.geometry
    across = geometry.tiles[1]
    contents = []
    for row in rows:
        begin, end = (int(tiles.ends[row * across + column]) for column in (columns.start, columns.stop))
        contents.append(read(begin, end - begin))
    dtype, shape = DTYPES[geometry.dtype], (len(rows), len(columns), TILE, TILE, geometry.channels)
    target = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    try:
        found = imagecodecs.zstd_decode(b"".join(contents) if len(contents) > 1 else contents[0], out=target.data)
    except imagecodecs.ZstdError as error:
        raise ValueError(f"a tile is damaged: {error}") from error
    if len(found) != len(target):
        raise ValueError("a tile has another size")
    return target.view(dtype).reshape(shape)


def _restored(part: np.ndarray) -> np.ndarray:
    """Undoes the predictor along the rows of some tiles: tiles × rows × TILE × C. Overwrites integers."""
    if part.dtype.kind == "f":
        return np.asarray(imagecodecs.floatpred_decode(part, axis=-2))
    return np.asarray(imagecodecs.delta_decode(part, axis=-2, out=part))


def _predicted(part_HWC: np.ndarray) -> bytes:
    """The bytes of one tile before compression; what lies beyond the image costs nearly nothing."""
    height, width, channels = part_HWC.shape
    dtype = DTYPES[part_HWC.dtype.name]
    if dtype.kind == "f":
        padding = [(0, TILE - height), (0, TILE - width), (0, 0)]
        padded = np.pad(part_HWC, padding, mode="edge").astype(dtype, copy=False)
        return bytes(imagecodecs.floatpred_encode(padded, axis=-2).tobytes())
    tile = np.zeros((TILE, TILE, channels), dtype)
    tile[:height, :width] = part_HWC
    tile[:height, 1:width] -= part_HWC[:, :-1]
    return tile.tobytes()


@lru_cache(maxsize=256)
def _header(geometry: Geometry) -> tuple[bytes, int, int]:
    """The header with empty tables of tiles, and where the tables of their offsets and lengths begin."""
    height, width, channels, name = geometry
    count = geometry.tiles[0] * geometry.tiles[1]
    floats, colour = name == "float32", channels >= 3
    fields: list[tuple[int, int, list[int]]] = [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [8 * DTYPES[name].itemsize] * channels),
        (259, _SHORT, [50000]),  # zstd
        (262, _SHORT, [2 if colour else 1]),  # RGB, or gray with black at 0
        (277, _SHORT, [channels]),
        (284, _SHORT, [1]),  # channels beside each other
        (317, _SHORT, [3 if floats else 2]),
        (322, _SHORT, [TILE]),
        (323, _SHORT, [TILE]),
        (324, _LONG, [0] * count),
        (325, _LONG, [0] * count),
    ]
    if more := channels - (3 if colour else 1):
        fields.append((338, _SHORT, [0] * more))  # further channels, of no stated meaning
    fields.append((339, _SHORT, [3 if floats else 1] * channels))
    entries, arrays, places = [], b"", {}
    behind = 8 + 2 + 12 * len(fields) + 4
    for number, (tag, kind, values) in enumerate(fields):
        packed = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        places[tag] = 8 + 2 + 12 * number + 8
        if len(packed) > 4:
            places[tag] = behind + len(arrays)
            arrays, packed = arrays + packed, struct.pack("<I", places[tag])
        entries.append(struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + b"".join(entries) + bytes(4) + arrays
    return head, places[324], places[325]


def _stated(content: bytes) -> Geometry:
    """The geometry that a header states at the places where `encode` writes it; `table` compares the rest."""
    try:
        value = [struct.unpack_from("<I", content, 8 + 2 + 12 * number + 8)[0] for number in range(8)]
        channels, bits = value[5], value[2]
        if channels > 2:
            (bits,) = struct.unpack_from("<H", content, bits)
        name = "float32" if value[7] == 3 else f"uint{bits & 0xFFFF}"
    except struct.error as error:
        raise ValueError("not such a TIFF file, or cut off") from error
    geometry = Geometry(value[1], value[0], channels, name)
    if name not in DTYPES or not 0 < channels < 2**10 or not 0 < geometry.height * geometry.width < 2**34:
        raise ValueError("not such a TIFF file")
    return geometry
