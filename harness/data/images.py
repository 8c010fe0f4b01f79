"""Where the images of a data set enter: every one is checked here, before anything reads its pixels.

Whoever prepares, compares or counts the images of a data set takes them from `images_of`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from harness.api.asking import fingerprint_of, opened
from harness.api.dataset import Dataset, SourceImage
from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.core.guests import contained
from harness.core.registry import Registry

_FITTING = "H×W×3 uint8 RGB"


def images_of(dataset: Dataset, split: str, name: str) -> Iterator[SourceImage]:
    """The images of a split, each H×W×3 uint8 RGB and contiguous, each key once. `name`: the data set's, for messages.

    Raises DataError for the first image that is anything else, and when the images are not those that `keys` lists;
    HarnessError (kind `plugin`) for whatever else a plug-in raises.
    """
    with contained(owner=dataset):
        listed = {key for key, _ in dataset.keys(split)}
    seen: set[str] = set()
    for image in _given(dataset, split):
        checked = checked_image(image, f"data set {name}, split {split}")
        if checked.key in seen:
            what = f"two images have the key {checked.key!r}"
            raise DataError(what, where=f"data set {name}, split {split}", hint="give each image a key of its own")
        if checked.key not in listed:
            raise _unlike_keys(f"images() gives {checked.key!r}, which keys() does not list", name, split)
        seen.add(checked.key)
        yield checked
    if seen and (missing := listed - seen):
        raise _unlike_keys(f"images() does not give {min(missing)!r}, which keys() lists", name, split)


def _given(dataset: Dataset, split: str) -> Iterator[object]:
    with contained(owner=dataset):
        images: Iterator[object] = iter(dataset.images(split))
    end = object()
    while True:
        with contained(owner=dataset):
            image = next(images, end)
        if image is end:
            return
        yield image


def open_dataset(ref: PartRef, registry: Registry) -> Dataset:
    """The data set itself. Raises DataError when its images are not those that the reference names."""
    dataset = opened(registry, ref.name, ref.arguments)
    found = fingerprint_of(dataset)
    if ref.digest is not None and found != ref.digest:
        raise DataError(
            f"the images have changed since the suite was planned: fingerprint {found}, not {ref.digest}",
            where=f"data set {ref.name}",
            hint="run the suite again",
        )
    return dataset


def checked_image(image: object, where: str) -> SourceImage:
    """The image itself, its pixels contiguous. Raises DataError (with key, shape, dtype and what to do) if unfit."""
    if not isinstance(image, SourceImage):
        raise DataError(f"images() gives {_article(image)}, not a SourceImage", where=where)
    for part, text in (("key", image.key), ("scene", image.scene)):
        if not isinstance(text, str) or not text:
            what = f"the {part} of an image is {text!r}: a text that is not empty is needed"
            raise DataError(what, where=where, hint="the file's name without its ending, for example")
        _encodable(part, text, where)
    what, hint = _unfit(image.pixels)
    if what:
        raise DataError(f"{what}; {_FITTING} is needed", where=f"{where}, image {image.key!r}", hint=hint)
    return replace(image, pixels=np.ascontiguousarray(image.pixels))


def _encodable(part: str, text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the {part} {text!r} is not valid Unicode", where=where, hint="rename the image") from error


def _unfit(pixels: object) -> tuple[str, str]:
    """(what is wrong with an image's pixels, what to do); two empty texts when nothing is."""
    if pixels is None:
        return "there are no pixels (None)", "the file cannot be read, or is no picture: cv2.imread then gives None"
    if type(pixels) not in (np.ndarray, np.memmap):
        hint = "numpy.asarray(image.convert('RGB')) for PIL"
        if isinstance(pixels, np.ndarray):  # a mask, for example, would be lost on the way
            hint = "a plain array that holds all the pixels, such as pixels.filled(0) of one with a mask"
        return f"the pixels are {_article(pixels)}, not a NumPy array", hint
    assert isinstance(pixels, np.ndarray)
    found = f"{'×'.join(map(str, pixels.shape)) or 'a single number'} {pixels.dtype}"
    if pixels.size == 0:
        return f"the image is empty ({found})", "leave it out, or repair the file"
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1):
        return f"the image is gray ({found})", "repeat it three times: numpy.repeat(gray.reshape(H, W, 1), 3, axis=2)"
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return f"the image has a fourth channel ({found})", "drop the alpha channel: pixels[:, :, :3]"
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        return f"the channels come first ({found})", "pixels.transpose(1, 2, 0)"
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        return f"the image has another shape ({found})", "one colour picture an image"
    if pixels.dtype != np.uint8:
        return f"the pixels are not 8-bit ({found})", _to_8_bit(pixels.dtype)
    return "", ""


def _to_8_bit(dtype: np.dtype) -> str:
    if dtype.kind == "f":
        return "for floats in [0, 1]: numpy.rint(255 * pixels.clip(0, 1)).astype(numpy.uint8)"
    return "numpy.rint(pixels / 257).astype(numpy.uint8)" if dtype == np.uint16 else "convert the image to 8 bits"


def _unlike_keys(what: str, name: str, split: str) -> DataError:
    hint = "images() and keys() of a split have to agree"
    return DataError(what, where=f"data set {name}, split {split}", hint=hint)


def _article(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
