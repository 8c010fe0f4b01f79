"""What is of a split, and what belongs together, by every rule that a declaration may give."""

from __future__ import annotations

from typing import Any
from unicodedata import normalize

import numpy as np
import pytest

from harness.api.source import Files, Group
from harness.core.errors import DataError
from harness.parts.shared.declared.base import Declared
from tests.unit.parts.shared.declared.conftest import Write, layout, opened


def levels(dataset: Declared, split: str = "train") -> dict[str, tuple[Any, Any]]:
    """Key → the first number of the degraded and of the clean image."""
    found = {image.key: (image.degraded, image.pixels) for image in dataset.images(split)}
    return {key: tuple(None if side is None else int(side[0, 0, 0]) for side in sides) for key, sides in found.items()}  # type: ignore[misc]


def problems(dataset: Declared) -> str:
    with pytest.raises(DataError) as caught:
        dataset.check_all()
    return str(caught.value)


def test_pairs_are_made_by_name_over_mixed_endings(write: Write) -> None:
    root = write({"in/1.png": 1, "in/10.bmp": 10, "in/2.png": 2, "gt/1.bmp": 101, "gt/10.png": 110, "gt/2.png": 102})
    dataset = opened(root, layout(train=Files(lq=("in/*",), gt=("gt/*",))))
    assert levels(dataset) == {"1": (1, 101), "10": (10, 110), "2": (2, 102)}
    assert dataset.check_all() == []


def test_numbers_at_the_end_pair_names_of_two_kinds(write: Write) -> None:
    names = {"low00690.png": 1, "00691.png": 2}
    root = write({f"Low/{name}": level for name, level in names.items()})
    write({"Normal/normal00690.png": 11, "Normal/00691.png": 12})
    files = Files(lq=("Low/*",), gt=("Normal/*",), pair=(r"(\d+)\.", r"(\d+)\."))
    assert levels(opened(root, layout(train=files))) == {"00691": (2, 12), "low00690": (1, 11)}


def test_the_first_clean_file_is_the_truth_of_all_of_a_scene(write: Write) -> None:
    names = {
        "short/00001/00001_00_0.1s.npy": 1,
        "short/00001/00001_01_0.1s.npy": 2,
        "short/10001/10001_00_0.1s.npy": 3,
        "long/00001/a.npy": 11,
        "long/00001/b.npy": 12,
        "long/00001/A_half.npy": 10,
        "long/10001/a.npy": 13,
    }
    root = write({name: np.full((6, 8, 3), level, np.uint8) for name, level in names.items()})
    sides: dict[str, Any] = {
        "lq": ("short/*/*.npy",),
        "gt": ("long/*/*.npy",),
        "pair": (r"^(\d+)/", r"^(\d+)/"),
        "scene": r"^(\d+)/",
        "first_gt": True,
        "without": "half",
    }
    dataset = opened(root, layout(train=Files(only="^[02]", **sides), test=Files(only="^1", **sides)))
    assert dataset.check_all() == []
    assert levels(dataset) == {"00001/00001_00_0.1s": (1, 11), "00001/00001_01_0.1s": (2, 11)}
    assert [(image.scene, image.truth) for image in dataset.images("train")] == [("00001", "00001/a")] * 2
    assert levels(dataset, "test") == {"10001/10001_00_0.1s": (3, 13)}


def test_scenes_say_the_split_and_the_first_frames_count(write: Write) -> None:
    root = write({f"{side}/{folder}/{number:04d}.png": level + number
                  for side, level in (("input", 0), ("GT", 100)) for folder in ("pair1", "pair1_2", "pair12")
                  for number in range(4)})  # fmt: skip
    sides: dict[str, Any] = {"lq": ("input/*/*",), "gt": ("GT/*/*",), "scene": r"^(pair\d+)"}
    train, test = Files(not_scenes=("pair1",), **sides), Files(scenes=("pair1",), frames=3, **sides)
    dataset = opened(root, layout(train=train, test=test))
    assert dataset.check_all() == []
    assert dataset.keys("train") == [(f"pair12/{number:04d}", "pair12") for number in range(4)]
    wanted = [(f"{folder}/{number:04d}", "pair1") for folder in ("pair1", "pair1_2") for number in range(3)]
    assert dataset.keys("test") == wanted
    assert levels(dataset, "test")["pair1_2/0002"] == (2, 102)


def test_several_patterns_name_files_by_their_path(write: Write) -> None:
    root = write({"train/1.jpg": 1, "test/1.jpg": 2, "val/1.jpg": 3})
    dataset = opened(root, layout(train=Files(gt=("train/*.jpg", "test/*.jpg")), val=Files(gt=("val/*.jpg",))))
    assert dataset.keys("train") == [("test/1", "test/1"), ("train/1", "train/1")]
    assert dataset.keys("val") == [("1", "val/1")]  # the same name in another split is another scene


def test_degraded_images_without_clean_ones(write: Write) -> None:
    dataset = opened(write({"a.png": 1, "b.jpg": 2}), layout(test=Files(lq=("*",))))
    assert levels(dataset, "test") == {"a": (1, None), "b": (2, None)}


def test_two_views_become_six_channels(write: Write) -> None:
    sides = {"L": 1, "R": 2, "target": 3}
    root = write(
        {f"{side}/{name}.png": 10 * level + at for side, level in sides.items() for at, name in enumerate("ab")}
    )
    files = Files(lq=("L/*", "R/*"), gt=("target/*",), views=True)
    dataset = opened(root, layout(train=files))
    assert dataset.check_all() == []
    image = list(dataset.images("train"))[1]
    assert image.degraded is not None
    assert image.degraded[0, 0].tolist() == [11, 11, 11, 21, 21, 21]
    write({"R/c.png": 1, "L/d.png": 2, "target/d.png": 2, "R/a.png": np.zeros((5, 8, 3), np.uint8)})
    text = problems(opened(root, layout(train=files)))
    assert "R/c.png: it has no left view" in text
    assert "L/d.png: it has no right view" in text
    assert "R/a.png: 5×8, and target/a.png is 6×8" in text


def test_order_pairs_names_that_have_nothing_in_common(write: Write) -> None:
    root = write({"source/1P0A02.png": 2, "source/1P0A10.png": 10, "target/1P0A03.png": 103, "target/1P0A11.png": 111})
    files = Files(lq=("source/*",), gt=("target/*",), pair="order")
    assert levels(opened(root, layout(train=files))) == {"1P0A03": (2, 103), "1P0A11": (10, 111)}
    write({"target/1P0A12.jpg": 1})
    assert "source: pairs are made by order, and there are 2 (.png) for 3 (.jpg, .png)" in problems(
        opened(root, layout(train=files))
    )
    write({"source/1P0A13.png": 1})  # as many, and of two kinds: what is sorted among what is not known
    assert "there are 3 (.png) for 3 (.jpg, .png)" in problems(opened(root, layout(train=files)))


def test_other_files_are_left_out_and_listed(write: Write) -> None:
    root = write({"a.png": 1, "Readme.md": b"x", ".hidden.png": b"x", "Thumbs.db": b"x"})
    dataset = opened(root, layout(test=Files(gt=("*",))))
    assert dataset.skipped("test") == [("Readme.md", "its ending is no picture's")]
    assert dataset.keys("test") == [("a", "a")]


def test_names_have_one_unicode_form(write: Write) -> None:
    root = write({f"in/{normalize('NFD', 'é')}.png": 1, f"gt/{normalize('NFC', 'é')}.png": 2})
    dataset = opened(root, layout(train=Files(lq=("in/*",), gt=("gt/*",))))
    assert dataset.keys("train") == [(normalize("NFC", "é"), normalize("NFC", "é"))]


def test_names_that_do_not_fit_are_one_report(write: Write) -> None:
    root = write({"in/a.png": 1, "in/a.bmp": 2, "in/B.png": 3, "in/b.png": 4, "in/c\n.png": 5, "in/d.png": 6})
    write({"gt/a.png": 1, "gt/b.png": 3, "gt/d.png": 4, "gt/e.png": 9})
    files = Files(lq=("in/*",), gt=("gt/*",), scene=r"^([abe])")
    text = problems(opened(root, layout(train=files)))
    for said in (
        "in/a.png: as in/a.bmp",
        "in/b.png: as in/B.png",
        "in/c\\n.png: its name is no text",
        "gt/e.png: no lq file",
        "gt/d.png",
    ):
        assert said in text


GROUPED = Files(gt=("*.png",), groups=(Group(name="indoor", file="in.npy"), Group(name="outdoor", file="out.txt")))


def test_lists_of_numbers_say_the_groups(write: Write) -> None:
    root = write({"c.png": 3, "a.png": 1, "b.png": 2, "in.npy": np.array([1.0, 3.0]), "out.txt": b"2\n\n"})
    dataset = opened(root, layout(test=GROUPED))
    assert dataset.check_all() == []
    groups = {image.key: image.group for image in dataset.images("test")}
    assert groups == {"a": "indoor", "b": "outdoor", "c": "indoor"}
    before = dataset.fingerprint()
    write({"in.npy": np.array([1]), "out.txt": b"3 \n2"})
    assert opened(root, layout(test=GROUPED)).fingerprint() != before


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("indoor", "outdoor", "said"),
    [
        (np.array([0]), b"2", "in.npy: it names image 0, and the images are 1 to 2"),
        (np.array([3]), b"2", "in.npy: it names image 3"),
        (np.array([1.5]), b"2", "in.npy: its numbers are float64, not whole ones"),
        (b"junk", b"2", "in.npy: it is no npy file"),
        (b"\x93NUMPY\x01\x00\x06\x00{'a': ", b"2", "in.npy: it cannot be decoded, it is damaged or cut off"),
        (_header("(10000000000000,)"), b"2", "in.npy: it "),
        (np.array([np.inf, 1]), b"2", "in.npy: its numbers are float64, not whole ones"),
        (np.array([1, 1]), b"2", "in.npy: it names image 1 more than once"),
        (np.array([1]), b"", "b.png: it is in none of in.npy, out.txt"),
        (np.array([1]), b"one", "out.txt: it is no list of numbers, one a line"),
        (np.array([1]), b"\xff", "out.txt: it is no list of numbers"),
        (np.array([1, 2]), b"2", "b.png: it is in indoor and in outdoor"),
        (np.array([1]), None, "out.txt: there is no such file, which says the group outdoor"),
    ],
)
def test_lists_that_do_not_fit_are_told(write: Write, indoor: Any, outdoor: bytes | None, said: str) -> None:
    root = write({"a.png": 1, "b.png": 2, "in.npy": indoor} | ({} if outdoor is None else {"out.txt": outdoor}))
    assert said in problems(opened(root, layout(test=GROUPED)))


def test_names_say_the_groups(write: Write) -> None:
    groups = (Group(name="in", names="^in"), Group(name="out", names="^out"))
    dataset = opened(write({"in1.png": 1, "out1.png": 1, "x.png": 2}), layout(test=Files(gt=("*",), groups=groups)))
    assert [image.group for image in dataset.images("test")] == ["in", "out", ""]
