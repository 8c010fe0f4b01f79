"""Images come back pixel for pixel, whole or in windows, and other programs open the files."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.data import tiff
from tests.stored_set import picture

SIZES = [(1, 1), (1, 300), (127, 128), (128, 129), (129, 127), (256, 128), (257, 130)]
KINDS = [("uint8", 1), ("uint8", 3), ("uint8", 6), ("uint16", 1), ("uint16", 3), ("float32", 3), ("float32", 6)]


def windowed(content: bytes, image: np.ndarray, window: tiff.Window | None) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """A window of a stored image, and what was read for it."""
    geometry = tiff.geometry_of(image)
    tiles = tiff.table(geometry, content[: tiff.header_bytes(geometry)], len(content))
    reads: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return content[offset : offset + length]

    return tiff.cut(read, tiles, window), reads


@pytest.mark.parametrize(("dtype", "channels"), KINDS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_come_back_here_and_in_tifffile(height: int, width: int, channels: int, dtype: str) -> None:
    image = picture(height * width, height, width, channels, dtype)
    content = tiff.encode(image)
    back = tiff.decode(content)
    assert (back.dtype, back.shape) == (image.dtype, image.shape)
    np.testing.assert_array_equal(back, image)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        (page,) = file.pages
        assert (page.compression, page.predictor, page.tile) == (50000, 3 if dtype == "float32" else 2, (128, 128))
        assert not {"DateTime", "Software"} & {tag.name for tag in page.tags}
        np.testing.assert_array_equal(page.asarray().reshape(image.shape), image)


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 3), ("uint16", 1), ("float32", 1)])
def test_pillow_opens_it(dtype: str, channels: int) -> None:
    image = picture(0, 130, 140, channels, dtype)
    opened = Image.open(io.BytesIO(tiff.encode(image)))
    np.testing.assert_array_equal(np.asarray(opened).reshape(image.shape), image)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(KINDS), st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_window_is_what_slicing_gives(
    height: int, width: int, kind: tuple[str, int], data: st.DataObject, seed: int
) -> None:
    image = picture(seed, height, width, kind[1], kind[0])
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    tall, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    found, _ = windowed(tiff.encode(image), image, (top, left, tall, wide))
    np.testing.assert_array_equal(found, image[top : top + tall, left : left + wide])
    assert found.flags.c_contiguous
    assert found.dtype == image.dtype


@pytest.mark.parametrize("top", [0, 1, 127, 128, 129, 200])
@pytest.mark.parametrize("left", [0, 127, 128, 172])
def test_windows_at_the_edges_of_tiles(top: int, left: int) -> None:
    image = picture(5, 328, 300)
    found, _ = windowed(tiff.encode(image), image, (top, left, 128, 128))
    np.testing.assert_array_equal(found, image[top : top + 128, left : left + 128])


def test_only_the_tiles_of_a_window_are_read() -> None:
    image = picture(1, 400, 600)
    content = tiff.encode(image)
    whole = tiff.table(tiff.geometry_of(image), content[: tiff.header_bytes(tiff.geometry_of(image))], len(content))
    _, reads = windowed(content, image, (128, 256, 128, 128))
    assert reads == [(whole.ends[7], whole.ends[8] - whole.ends[7])]  # of 5 tiles a row, the third of the second
    _, reads = windowed(content, image, (130, 250, 128, 128))
    assert [offset for offset, _ in reads] == [whole.ends[6], whole.ends[11]]
    assert [length for _, length in reads] == [whole.ends[8] - whole.ends[6], whole.ends[13] - whole.ends[11]]
    _, reads = windowed(content, image, None)
    assert sum(length for _, length in reads) == len(content) - whole.ends[0]


def test_the_same_pixels_always_give_the_same_bytes() -> None:
    image = picture(2, 140, 150)
    turned = np.asfortranarray(image[:, ::-1])[:, ::-1]
    assert tiff.encode(turned) == tiff.encode(image)
    assert tiff.encode(image.astype(">u2")) == tiff.encode(image.astype("<u2"))


def test_values_at_the_ends_of_their_range_come_back() -> None:
    floats = np.array([[-1e38, -0.5], [0.0, 1e-40]], np.float32)[:, :, None]
    np.testing.assert_array_equal(tiff.decode(tiff.encode(floats)), floats)
    steps = np.array([[0, 65535, 0, 65535]], np.uint16)[:, :, None]
    np.testing.assert_array_equal(tiff.decode(tiff.encode(steps)), steps)


@pytest.mark.parametrize(("height", "width", "channels"), [(200, 140, 3), (40, 50, 1)])
def test_no_flipped_bit_gives_other_pixels(height: int, width: int, channels: int) -> None:
    """Of a soft picture, so that the file is small. A few bits of zstd's format mean nothing: they may change."""
    ramp = np.linspace(0, 255, height * width).reshape(height, width, 1)
    image = np.repeat(ramp, channels, axis=2).astype(np.uint8)
    content = tiff.encode(image)
    found = 0
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 1 << (place % 8)
        try:
            back, _ = windowed(bytes(broken), image, None)
        except ValueError:
            found += 1
            continue
        np.testing.assert_array_equal(back, image)
        assert place >= tiff.header_bytes(tiff.geometry_of(image)), "every bit of the header counts"
    assert found > 0.95 * len(content)


def test_a_changed_tile_does_not_hide_from_the_checksum_of_its_content() -> None:
    image = picture(3, 128, 128)
    content = bytearray(tiff.encode(image))
    head = tiff.header_bytes(tiff.geometry_of(image))
    frame = bytes(content[head:])
    assert frame[4] & 4, "the frame's header says that a checksum of the content follows (RFC 8878, 3.1.1.1.1)"
    broken = frame[:-4] + bytes([frame[-4] ^ 1]) + frame[-3:]
    with pytest.raises(imagecodecs.ZstdError, match="checksum"):
        imagecodecs.zstd_decode(broken)  # any LibTIFF finds it, too
    with pytest.raises(ValueError, match="a tile is damaged"):
        tiff.decode(bytes(content[:head]) + broken)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 300, 2000])
def test_a_file_that_is_cut_off_is_refused(keep: int) -> None:
    content = tiff.encode(picture(4, 150, 150))
    with pytest.raises(ValueError, match=r"TIFF|header|table"):
        tiff.decode(content[:keep])
    with pytest.raises(ValueError, match="table"):
        tiff.decode(content + b"\0")


def test_other_files_are_refused() -> None:
    other = io.BytesIO()
    tifffile.imwrite(other, picture(0, 64, 64))
    for content in (other.getvalue(), b"", b"\x89PNG\r\n\x1a\n" + bytes(400)):
        with pytest.raises(ValueError, match=r"not such a TIFF file|header"):
            tiff.decode(content)
    wide = bytearray(tiff.encode(picture(0, 64, 64)))
    struct.pack_into("<I", wide, 8 + 2 + 8, 2**31)  # the width
    with pytest.raises(ValueError, match="TIFF"):
        tiff.decode(bytes(wide))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 0, 3), np.uint8), np.zeros((4, 4, 3), np.float64)]
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not an image"):
        tiff.encode(image)


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, 0, 0, 4), (60, 0, 5, 4), (0, 61, 4, 4), (0, 0, 64, 65)])
def test_a_window_beyond_the_image_is_refused(window: tiff.Window) -> None:
    image = picture(0, 64, 64)
    with pytest.raises(ValueError, match="does not lie in an image of 64×64"):
        windowed(tiff.encode(image), image, window)
