"""Picture files as arrays, by rules that never guess.

What a file is, its first bytes say, whatever its name. Pixel values are taken as they are stored: colour profiles and
gamma notes are not applied.

| file | becomes |
|---|---|
| PNG, JPEG, WebP, BMP; 8 bits | H×W×3 uint8 RGB; H×W×1 where the file is gray |
| PNG with 16 bits | the same in uint16 |
| PNG with a palette, or of one bit | the colours that it stands for; black and white as gray 0 and 255 |
| TIFF of one page: uint8, uint16, float32 | H×W×C as it is, C is 1, 3 or 6 |
| npy: uint8, uint16, float32 | H×W×C as it is (H×W as H×W×1); three channels are RGB |
| alpha | dropped where the whole picture is opaque, else refused: what lies behind it is not known |
| EXIF orientation | applied: the picture stands as viewers show it |
| CMYK, animations, several pages, 32-bit integers, 64-bit floats, NaN | refused by name |

A file is decoded to its end, so that a truncated one is found; in PNG every checksum is compared.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import DataError
from harness.core.paths import unread
from harness.core.text import on_one_line

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".npy"])
"""Of the names of picture files, in lower case."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY = b"\x93NUMPY"
_PAGES = (b"<!doctype html", b"<html")
_RGB_TIFF, _GRAY_TIFF = 2, 1
_ORIENTATION = 274
"""The EXIF and TIFF tag."""


class _Refused(ValueError):
    """What is wrong, what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def read_picture(path: str | Path) -> np.ndarray:
    """The picture in a file: H×W×C, contiguous, uint8 or uint16 with the highest number as white, or float32.

    Raises DataError, with what is wrong and what to do, for a file that cannot be read or is refused.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"it cannot be read: {unread(error)}", where=str(path)) from error
    try:
        return decoded(content)
    except _Refused as error:
        raise DataError(str(error), where=str(path), hint=error.hint) from error


def decoded(content: bytes) -> np.ndarray:
    """The picture in a file's bytes, as `read_picture`. Raises ValueError, whose text says what is wrong."""
    import numpy as np

    if not content:
        raise _Refused("the file is empty", "get it again")
    with _damage("pixels"):
        if content.startswith(_NPY):
            pixels = _npy(content)
        elif content.startswith(_TIFF):
            pixels = _tiff(content)
        else:
            pixels = _pillow(content)
    if pixels.size == 0:
        raise _Refused(f"the picture has no pixels ({_shape(pixels)})", "get it again")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise _Refused("it holds numbers that are not finite", "replace them")
    return np.ascontiguousarray(pixels)


def numbers_in(content: bytes) -> np.ndarray:
    """The array in the bytes of an npy file. Raises ValueError, whose text says what is wrong."""
    import numpy as np

    if not content:
        raise _Refused("the file is empty", "get it again")
    if page := page_in(content):
        raise _Refused(page, "get it again")
    if not content.startswith(_NPY):
        raise _Refused("it is no npy file", "get it again")
    with _damage("numbers"):
        array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def page_in(content: bytes) -> str:
    """What is wrong with a file that is a web page; empty where it is none."""
    head = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.lower().startswith(_PAGES):
        return ""
    shown = on_one_line(head.partition(b">")[0][:40].decode("latin-1"))
    return f"it begins with {shown}>: a web page, as of an error, was saved in place of the file"


@contextmanager
def _damage(held: str) -> Iterator[None]:
    """Has whatever libraries raise for damaged files say so."""
    try:
        yield
    except _Refused:
        raise
    except MemoryError as error:
        what = f"it claims more {held} than memory holds: it is damaged, or too large"
        raise _Refused(what, "get it again") from error
    except Exception as error:  # the libraries raise nearly anything for a damaged file
        said = " ".join(str(error).split()) or type(error).__name__
        raise _Refused(f"it cannot be decoded, it is damaged or cut off: {said}", "get it again") from error


def _npy(content: bytes) -> np.ndarray:
    import numpy as np

    pixels: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 6) and pixels.shape[0] in (1, 3, 6):
        raise _Refused(f"its channels come first ({_shape(pixels)})", "pixels.transpose(1, 2, 0)")
    return _plain(pixels)


def _plain(pixels: np.ndarray) -> np.ndarray:
    """An array of the shapes and kinds that are taken as they are."""
    import numpy as np

    if pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.float32):
        raise _Refused(f"its pixels are {pixels.dtype}", "write uint8, uint16, or float32 with white at 1")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 6):
        raise _Refused(f"it has the shape {_shape(pixels)}", "one picture a file: H×W×3, gray H×W, or 6 for two views")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _tiff(content: bytes) -> np.ndarray:
    import numpy as np
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        if len(file.pages) != 1:
            raise _Refused(f"it has {len(file.pages)} pages", "one picture a file")
        page: Any = file.pages[0]
        photometric = getattr(page.photometric, "name", str(page.photometric))
        if int(page.photometric) not in (_RGB_TIFF, _GRAY_TIFF):
            raise _Refused(f"its colours are {photometric}", "write it in RGB or gray")
        pixels: np.ndarray = page.asarray()
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        elif page.axes not in ("YX", "YXS"):
            raise _Refused(f"it has the axes {page.axes}", "one picture a file: height, width, channels")
        turn = page.tags.get(_ORIENTATION)
        orientation = int(turn.value) if turn is not None else 1
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        white = 1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
        pixels = _opaque(pixels, white)
    return _turned(_plain(pixels), orientation)


def _pillow(content: bytes) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    if content.startswith(_PNG):
        _check_png(content)
    try:
        image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "BMP"))
    except UnidentifiedImageError as error:
        if page := page_in(content):
            raise _Refused(page, "get it again") from error
        raise _Refused("it is no PNG, JPEG, TIFF, WebP, BMP or npy file", "convert it to PNG") from error
    except Image.DecompressionBombError as error:
        raise _Refused("it has too many pixels for one picture", "cut it into several") from error
    with image:
        if getattr(image, "n_frames", 1) > 1:
            raise _Refused(f"it has {getattr(image, 'n_frames', 1)} pictures", "one picture a file, not an animation")
        image.load()
        orientation = int(image.getexif().get(_ORIENTATION, 1))
        deep = content.startswith(_PNG) and content[24] == 16
        return _turned(_deep(content) if deep else _shallow(image), orientation)


def _shallow(image: Image.Image) -> np.ndarray:
    """A decoded picture with 8 bits a channel."""
    import numpy as np

    mode = image.mode
    if mode == "CMYK":
        raise _Refused("its colours are CMYK, which screens do not show alike", "convert it to RGB with its profile")
    if mode == "P" or "transparency" in image.info:
        alpha = "transparency" in image.info or (image.palette is not None and image.palette.mode == "RGBA")
        image = image.convert("RGBA" if alpha else "RGB")
    elif mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise _Refused(f"its pixels are of the kind {mode}", "write it in RGB or gray, 8 or 16 bits")
    pixels = np.asarray(image)
    if mode == "L" and image.mode == "RGBA":
        pixels = pixels[:, :, 2:]  # a gray level that stands for nothing
    pixels = _opaque(pixels, 255) if image.mode in ("LA", "RGBA") else pixels
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _deep(content: bytes) -> np.ndarray:
    """A PNG file with 16 bits a channel, of which Pillow would keep 8."""
    import cv2
    import numpy as np

    # OpenCV makes a transparent colour, which a file may name in place of alpha, an alpha channel.
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise _Refused("it cannot be decoded", "get it again")
    if pixels.ndim == 2:
        return pixels[:, :, None]
    gray = content[25] in (0, 4)
    colours = pixels[:, :, :1] if gray else pixels[:, :, 2::-1]
    if pixels.shape[2] == 4:
        return _opaque(np.concatenate([colours, pixels[:, :, 3:]], axis=2), 65535)
    return colours


def _opaque(pixels: np.ndarray, white: float) -> np.ndarray:
    """The pixels without their alpha, the last channel, which must be opaque everywhere."""
    if (pixels[:, :, -1] != white).any():
        raise _Refused("it is transparent in places", "lay it over the background that belongs behind it")
    return pixels[:, :, :-1]


_TURNS: Mapping[int, tuple[int, bool]] = {
    1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False), 7: (3, True), 8: (1, False)
}  # fmt: skip
"""EXIF orientation: (quarter turns to the left, then whether left and right are swapped before them)."""


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The picture as a viewer shows it. Numbers that EXIF does not have mean upright."""
    import numpy as np

    quarters, mirrored = _TURNS.get(orientation, (0, False))
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters)


def _check_png(content: bytes) -> None:
    """Whether the file is whole: every chunk with the checksum that it brings, up to the last."""
    at = len(_PNG)
    while at + 12 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        end = at + 12 + length
        if end > len(content):
            break
        if zlib.crc32(content[at + 4 : end - 4]) != struct.unpack(">I", content[end - 4 : end])[0]:
            raise _Refused("a checksum in it does not fit: the file is damaged", "get it again")
        if kind == b"IEND":
            return
        at = end
    raise _Refused("the file is cut off", "get it again")


def _shape(pixels: np.ndarray) -> str:
    return f"{'×'.join(map(str, pixels.shape)) or 'a single number'} {pixels.dtype}"
