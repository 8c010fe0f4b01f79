"""What files become: channels in their order, bits, gray, and the blocks of MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from harness.api.source import Files
from harness.core.errors import DataError
from tests.unit.parts.shared.declared.conftest import Write, layout, opened

DRAWN = np.random.default_rng(3)


def drawn(*shape: int, kind: Any = np.uint8) -> np.ndarray:
    return DRAWN.integers(0, np.iinfo(kind).max + 1, shape, dtype=kind)


def problems(root: Path, files: Files) -> str:
    with pytest.raises(DataError) as caught:
        opened(root, layout(test=files)).check_all()
    return str(caught.value)


def test_arrays_are_blue_green_red(write: Write) -> None:
    array = drawn(6, 8, 3)
    root = write({"a.npy": array})
    files = Files(gt=("*.npy",), reader="npy_bgr")
    (image,) = opened(root, layout(test=files)).images("test")
    assert image.pixels is not None
    assert np.array_equal(image.pixels[..., 0], array[..., 2])
    assert np.array_equal(image.pixels[..., 2], array[..., 0])
    write({"b.npy": drawn(6, 8, 3, kind=np.uint16), "c.npy": drawn(6, 8)})
    text = problems(root, files)
    assert "b.npy: 3 × uint16, and these arrays are 3 × uint8" in text
    assert "c.npy: 1 × uint8, and these arrays are 3 × uint8" in text


def test_the_only_sound_array_is_not_told_to_be_unlike_the_rest(write: Write) -> None:
    root = write({"a.npy": drawn(6, 8, 3), "b.npy": drawn(6, 8), "c.npy": drawn(6, 8)})
    with pytest.raises(DataError) as caught:
        opened(root, layout(test=Files(gt=("*",), reader="npy_bgr"))).check_all()
    told = str(caught.value)
    assert "b.npy: 1 × uint8" in told
    assert "c.npy: 1 × uint8" in told
    assert "a.npy" not in told


def test_sixteen_bits_stay_or_become_the_upper_eight(write: Write) -> None:
    deep = drawn(6, 8, 3, kind=np.uint16)
    root = write({"a.png": deep})
    (whole,) = opened(root, layout(test=Files(gt=("*",)))).images("test")
    (upper,) = opened(root, layout(test=Files(gt=("*",), bits=8))).images("test")
    assert np.array_equal(whole.pixels, deep[..., ::-1])
    assert upper.pixels is not None
    assert upper.pixels.dtype == np.uint8
    assert np.array_equal(upper.pixels, cv2.imread(str(root / "a.png"))[..., ::-1])


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp"])
def test_gray_is_what_opencv_reads(write: Write, ending: str) -> None:
    root = write({f"a{ending}": drawn(6, 8, 3), "g.png": drawn(6, 8)})
    dataset = opened(root, layout(test=Files(gt=("*",), gray=True)))
    assert dataset.check_all() == []  # colours and gray are no mixture where both are read as gray
    for image in dataset.images("test"):
        name = f"a{ending}" if image.key == "a" else "g.png"
        assert image.pixels is not None
        assert image.pixels.shape == (6, 8, 1)
        assert np.array_equal(image.pixels[..., 0], cv2.imread(str(root / name), cv2.IMREAD_GRAYSCALE))


BLOCKS = Files(lq=("Noisy.mat",), gt=("Gt.mat",), reader="mat_blocks")


def mats(root: Path, noisy: np.ndarray, gt: np.ndarray, *, compressed: bool = True) -> Path:
    root.mkdir(exist_ok=True)
    savemat(root / "Noisy.mat", {"NoisyBlocks": noisy}, do_compression=compressed)
    savemat(root / "Gt.mat", {"GtBlocks": gt}, do_compression=compressed)
    return root


@pytest.mark.parametrize("compressed", [True, False])
def test_blocks_are_the_images_of_an_array(tmp_path: Path, compressed: bool) -> None:
    noisy, gt = drawn(2, 3, 4, 5, 3), drawn(2, 3, 4, 5, 3)
    dataset = opened(mats(tmp_path / "mat", noisy, gt, compressed=compressed), layout(test=BLOCKS))
    keys = [f"{scene:04d}-{block:02d}" for scene in range(2) for block in range(3)]
    assert dataset.keys("test") == [(key, key[:4]) for key in keys]
    assert dataset.check_all() == []
    for key, image in zip(keys, dataset.images("test"), strict=True):
        place = int(key[:4]), int(key[5:])
        assert image.key == key
        assert np.array_equal(image.pixels, gt[place])
        assert np.array_equal(image.degraded, noisy[place])
    (chosen,) = dataset.images_at("test", ["0001-02"])
    assert np.array_equal(chosen.pixels, gt[1, 2])


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    root = mats(tmp_path / "mat", drawn(1, 1, 4, 5, 3), np.zeros((1, 1, 4, 5, 3), np.uint8))
    list(opened(root, layout(test=BLOCKS)).images("test"))
    mats(root, drawn(1, 1, 4, 5, 3), np.full((1, 1, 4, 5, 3), 9, np.uint8), compressed=False)
    (image,) = opened(root, layout(test=BLOCKS)).images("test")
    assert image.pixels is not None
    assert (image.pixels == 9).all()


@pytest.mark.parametrize(
    ("noisy", "gt", "said"),
    [
        (
            drawn(2, 3, 4, 5, 3),
            drawn(2, 2, 4, 5, 3),
            "Noisy.mat: it has 2×3 images of 4×5, and Gt.mat 2×2",
        ),
        (drawn(3, 4, 5, 3), drawn(2, 2, 4, 5, 3), "Noisy.mat: it has NoisyBlocks 3×4×5×3 uint8, not one array N×M×H"),
        (drawn(2, 2, 4, 5, 4), drawn(2, 2, 4, 5, 3), "NoisyBlocks 2×2×4×5×4 uint8, not one array"),
        (np.zeros((2, 2, 4, 5, 3)), drawn(2, 2, 4, 5, 3), "NoisyBlocks 2×2×4×5×3 double, not one array"),
        (
            drawn(2, 2, 4, 5, 3),
            drawn(2, 2, 5, 5, 3),
            "2×2 images of 4×5, and Gt.mat 2×2 images of 5×5",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_told(tmp_path: Path, noisy: np.ndarray, gt: np.ndarray, said: str) -> None:
    assert said in problems(mats(tmp_path / "mat", noisy, gt), BLOCKS)


def test_files_that_are_no_matlab_files_are_told(tmp_path: Path) -> None:
    root = mats(tmp_path / "mat", drawn(2, 2, 64, 64, 3), drawn(2, 2, 64, 64, 3))
    whole = (root / "Noisy.mat").read_bytes()
    (root / "Noisy.mat").write_bytes(whole[: len(whole) // 2])
    assert "Noisy.mat: it is no MATLAB file, or damaged" in problems(root, BLOCKS)
    for content, said in (
        (b"", "the file is empty"),
        (b"junk" * 200, "it is no MATLAB file, or damaged"),
        (b"\0" * 512 + b"\x89HDF\r\n\x1a\n", "it is a MATLAB 7.3 file"),
    ):
        (root / "Noisy.mat").write_bytes(content)
        assert f"Noisy.mat: {said}" in problems(root, BLOCKS)
