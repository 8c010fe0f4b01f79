"""Picture files of every format and trap, written by Pillow, OpenCV, tifffile and by hand; the arrays are the truth."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from harness.core.errors import DataError
from harness.parts.shared.pictures.reading import decoded, read_picture

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (21, 34, 3), dtype=np.uint8)
GRAY = RANDOM.integers(0, 256, (21, 34), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (21, 34, 3), dtype=np.uint16)
FLOATS = RANDOM.random((21, 34, 3), dtype=np.float32)


def pillow(pixels: np.ndarray | Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **how)
    return file.getvalue()


def tiff(pixels: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **how)
    return file.getvalue()


def npy(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def deep_png(pixels: np.ndarray) -> bytes:
    """16-bit PNG by the specification, without a library: colour type 0, 2, 4 or 6, no filter."""
    height, width, channels = pixels.shape
    kind = {1: 0, 3: 2, 2: 4, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


OPAQUE8 = np.full((21, 34, 1), 255, np.uint8)
OPAQUE16 = np.full((21, 34, 1), 65535, np.uint16)
SIX = np.concatenate([DEEP, DEEP[::-1]], axis=2)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(pillow(RGB, "PNG"), RGB, id="png"),
        pytest.param(pillow(GRAY, "PNG"), GRAY[:, :, None], id="gray png stays one channel"),
        pytest.param(pillow(RGB, "BMP"), RGB, id="bmp"),
        pytest.param(pillow(RGB, "WEBP", lossless=True), RGB, id="lossless webp"),
        pytest.param(deep_png(DEEP), DEEP, id="16-bit png"),
        pytest.param(deep_png(DEEP[:, :, :1]), DEEP[:, :, :1], id="16-bit gray png"),
        pytest.param(deep_png(np.concatenate([DEEP, OPAQUE16], 2)), DEEP, id="16-bit png, opaque"),
        pytest.param(deep_png(np.concatenate([DEEP[:, :, :1], OPAQUE16], 2)), DEEP[:, :, :1], id="16-bit gray, opaque"),
        pytest.param(pillow(np.concatenate([RGB, OPAQUE8], 2), "PNG"), RGB, id="opaque alpha is dropped"),
        pytest.param(pillow(np.concatenate([RGB, OPAQUE8], 2), "WEBP", lossless=True), RGB, id="opaque webp"),
        pytest.param(pillow(Image.fromarray(GRAY > 127), "PNG"), 255 * (GRAY > 127)[:, :, None], id="one bit"),
        pytest.param(tiff(RGB), RGB, id="tiff"),
        pytest.param(tiff(DEEP, compression="zlib", predictor=True), DEEP, id="16-bit tiff"),
        pytest.param(tiff(DEEP.astype(">u2"), byteorder=">"), DEEP, id="big-endian tiff"),
        pytest.param(tiff(FLOATS, photometric="rgb"), FLOATS, id="float tiff"),
        pytest.param(tiff(GRAY), GRAY[:, :, None], id="gray tiff"),
        pytest.param(tiff(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate"), RGB, id="planar tiff"),
        pytest.param(tiff(SIX, photometric="minisblack", planarconfig="contig"), SIX, id="two views in a tiff"),
        pytest.param(tiff(np.concatenate([RGB, OPAQUE8], 2), photometric="rgb", extrasamples=["unassalpha"]), RGB,
                     id="opaque tiff"),
        pytest.param(npy(RGB), RGB, id="npy"),
        pytest.param(npy(GRAY), GRAY[:, :, None], id="gray npy"),
        pytest.param(npy(SIX), SIX, id="two views in npy"),
        pytest.param(npy(FLOATS.astype(">f4")), FLOATS, id="big-endian npy"),
    ],
)  # fmt: skip
def test_pixels_are_those_that_were_written(content: bytes, wanted: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "picture.of.any_ending").write_bytes(content)
    found = read_picture(tmp_path / "picture.of.any_ending")
    assert found.flags.c_contiguous
    assert found.dtype == (wanted.dtype.newbyteorder("=") if wanted.dtype != int else np.uint8)
    np.testing.assert_array_equal(found, wanted)


def test_a_palette_becomes_the_colours_that_it_stands_for() -> None:
    colours = RANDOM.integers(0, 256, (16, 3), dtype=np.uint8)
    places = RANDOM.integers(0, 16, (21, 34), dtype=np.uint8)
    image = Image.fromarray(places).convert("L")
    image = Image.frombytes("P", (34, 21), image.tobytes())
    image.putpalette(colours.tobytes())
    np.testing.assert_array_equal(decoded(pillow(image, "PNG")), colours[places])
    np.testing.assert_array_equal(decoded(pillow(image, "BMP")), colours[places])


@pytest.mark.parametrize("quality", [75, 95])
def test_jpeg_is_near_what_was_written(quality: int) -> None:
    smooth = cv2.resize(RGB, (80, 64), interpolation=cv2.INTER_CUBIC)
    found = decoded(pillow(smooth, "JPEG", quality=quality))
    assert found.shape == smooth.shape
    wanted = cv2.imdecode(np.frombuffer(pillow(smooth, "JPEG", quality=quality), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(found.astype(int) - wanted).max() <= 3, "two decoders of one file"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    content = pillow(RGB, "PNG", exif=exif)
    np.testing.assert_array_equal(
        decoded(content), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    )
    turned = decoded(pillow(RGB, "JPEG", quality=95, exif=exif))
    assert turned.shape == ((34, 21, 3) if orientation > 4 else (21, 34, 3))
    same = decoded(tiff(RGB, extratags=[(274, "H", 1, orientation, True)]))
    np.testing.assert_array_equal(same, decoded(content))


SEE_THROUGH = np.concatenate([RGB, OPAQUE8 - np.eye(21, 34, dtype=np.uint8)[:, :, None]], 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"not found", "it is no PNG, JPEG, TIFF, WebP, BMP or npy file"),
        (b"\n<!DOCTYPE html>\n<html>not found", "it begins with <!DOCTYPE html>: a web page"),
        (pillow(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "its colours are CMYK"),
        (pillow(SEE_THROUGH, "PNG"), "transparent in places"),
        (pillow(SEE_THROUGH, "WEBP", lossless=True), "transparent in places"),
        (deep_png(np.concatenate([DEEP, OPAQUE16 // 2], 2)), "transparent in places"),
        (tiff(SEE_THROUGH, photometric="rgb", extrasamples=["unassalpha"]), "transparent in places"),
        (pillow(Image.fromarray(RGB), "PNG", save_all=True, append_images=[Image.fromarray(RGB[::-1])]), "2 pictures"),
        (pillow(Image.fromarray(RGB), "WEBP", save_all=True, append_images=[Image.fromarray(RGB[::-1])]), "2 pictures"),
        (pillow(Image.fromarray(RGB), "GIF"), "it is no PNG"),
        (tiff(np.stack([GRAY, GRAY]), photometric="minisblack"), "2 pages"),
        (tiff(GRAY, photometric="miniswhite"), "MINISWHITE"),
        (tiff(np.zeros((8, 8, 4), np.uint8), photometric="separated"), "SEPARATED"),
        (tiff(FLOATS.astype(np.float64), photometric="rgb"), "its pixels are float64"),
        (tiff(GRAY.astype(np.int32)), "its pixels are int32"),
        (npy(FLOATS.astype(np.float64)), "its pixels are float64"),
        (npy(np.moveaxis(RGB, 2, 0)), "its channels come first"),
        (npy(np.zeros((4, 8, 8, 3), np.uint8)), "it has the shape 4×8×8×3"),
        (npy(np.zeros((0, 8, 3), np.uint8)), "no pixels"),
        (npy(np.array([{}], object)), "it cannot be decoded"),
        (npy(RGB).replace(b"(21, 34, 3), }          ", b"(2100000000000, 34, 3), }"), "more pixels than memory holds"),
        (npy(np.where(FLOATS > 0.5, np.nan, FLOATS).astype(np.float32)), "not finite"),
    ],
)
def test_what_is_refused_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png") as caught:
        read_picture(tmp_path / "a.png")
    assert says in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["png", "deep", "jpeg", "webp", "bmp", "tiff", "npy"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_found(kind: str, share: float) -> None:
    contents = {
        "png": pillow(RGB, "PNG"),
        "deep": deep_png(DEEP),
        "jpeg": pillow(RGB, "JPEG"),
        "bmp": pillow(RGB, "BMP"),
        "webp": pillow(RGB, "WEBP"),
        "tiff": tiff(RGB, compression="zlib"),
        "npy": npy(RGB),
    }
    content = contents[kind]
    with pytest.raises(ValueError, match=r"."):
        decoded(content[: min(int(share * len(content)), len(content) - 4)])


def test_a_flipped_bit_in_png_is_found() -> None:
    content = bytearray(pillow(RGB, "PNG"))
    for place in (20, len(content) // 2, len(content) - 6):
        damaged = bytes([*content[:place], content[place] ^ 4, *content[place + 1 :]])
        with pytest.raises(ValueError, match=r"checksum|decoded|cut off"):
            decoded(damaged)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    os.symlink("loop.png", tmp_path / "loop.png")
    for name, says in (("none.png", "there is no such file"), ("loop.png", "circle"), (".", "this is a folder")):
        with pytest.raises(DataError, match="cannot be read") as caught:
            read_picture(tmp_path / name)
        assert says in caught.value.what
