"""Where the images of a data set enter: every one is checked here, before anything reads its pixels.

Whoever prepares, compares or counts the images of a data set takes them from `images_of`. Those of a data set of the
field that lies in the library are its stored ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from harness.api.asking import fingerprint_of, opened
from harness.api.dataset import Dataset, RandomAccess, SourceImage
from harness.api.library import InLibrary
from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.core.guests import contained
from harness.core.pixels import off_scale
from harness.core.registry import Registry
from harness.data.library import prepared_images

_FITTING = "H×W×3 or H×W×1 in uint8, uint16 or float32"
_FITTING_DEGRADED = "H×W×3, H×W×1 or H×W×6 in uint8, uint16 or float32"
_DTYPES = ("uint8", "uint16", "float32")


def images_of(dataset: Dataset, split: str, name: str, keys: Sequence[str] | None = None) -> Iterator[SourceImage]:
    """The images of a split, checked and contiguous, each key once. `name`: the data set's, for messages.

    `keys`: only these, some of those that `keys()` lists and in its order. A data set without random access reads the
    others, too, as far as the last of them.

    Raises DataError for the first image that is unfit (see `checked_image`), and when the images are not those that
    `keys()` lists; HarnessError (kind `plugin`) for whatever else a plug-in raises.
    """
    where = f"data set {name}, split {split}"
    with contained(owner=dataset):
        order = [key for key, _ in dataset.keys(split)]
    listed = set(order)
    wanted = listed if keys is None else set(keys)
    seen: set[str] = set()
    skipped: set[str] = set()
    for image in _given(dataset, split, keys):
        key = image.key if isinstance(image, SourceImage) else None
        if keys is not None and isinstance(key, str) and key in listed - wanted and key not in skipped:
            skipped.add(key)
            continue
        checked = checked_image(image, where, pairs=dataset.traits.pairs is not False)
        if checked.key in seen:
            what = f"two images have the key {checked.key!r}"
            raise DataError(what, where=where, hint="give each image a key of its own")
        if checked.key not in listed:
            raise _unlike_keys(f"images() gives {checked.key!r}, which keys() does not list", name, split)
        seen.add(checked.key)
        yield checked
        if len(seen) == len(wanted) and order[-1] not in wanted:  # with the last one, what follows is looked at, too
            return
    if (seen or keys is not None) and (missing := wanted - seen):
        raise _unlike_keys(f"images() does not give {min(missing)!r}, which keys() lists", name, split)


def _given(dataset: Dataset, split: str, keys: Sequence[str] | None) -> Iterator[object]:
    with contained(owner=dataset):
        if isinstance(dataset, InLibrary):
            images: Iterator[object] = prepared_images(dataset, split, keys)
        elif keys is not None and dataset.traits.random_access:
            images = iter(cast(RandomAccess, dataset).images_at(split, keys))
        else:
            images = iter(dataset.images(split))
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


def checked_image(image: object, where: str, *, pairs: bool = False) -> SourceImage:
    """The image itself, its pixels contiguous. `pairs`: whether its data set may bring degraded images.

    Raises DataError (with key, shape, dtype and what to do) when it is unfit: other than H×W×3 or H×W×1 (degraded ones
    also H×W×6), uint8, uint16 or finite float32 with white at 1; neither clean nor degraded; or of two sizes.
    """
    if not isinstance(image, SourceImage):
        raise DataError(f"images() gives {_article(image)}, not a SourceImage", where=where)
    for part, text in (("key", image.key), ("scene", image.scene)):
        check_text(part, text, where)
    place = f"{where}, image {image.key!r}"
    _check_truth(image, place)
    if image.degraded is not None and not pairs:
        hint = "traits = DatasetTraits(pairs=True), where it brings degraded images of its own"
        raise DataError("a degraded image of a data set that declares no pairs", where=place, hint=hint)
    if image.pixels is not None or image.degraded is None:  # an image with neither is told as one without pixels
        _check_pixels(image.pixels, (1, 3), _FITTING, place, clean=True)
    if image.degraded is None:
        return replace(image, pixels=np.ascontiguousarray(cast(np.ndarray, image.pixels)))
    _check_pixels(image.degraded, (1, 3, 6), _FITTING_DEGRADED, f"{place}, degraded", clean=False)
    degraded = np.ascontiguousarray(image.degraded)
    if image.pixels is None:
        return replace(image, degraded=degraded)
    if image.pixels.shape[:2] != degraded.shape[:2]:
        sizes = " and ".join("×".join(map(str, picture.shape[:2])) for picture in (degraded, image.pixels))
        what = f"the degraded and the clean image differ in size: {sizes} (height × width)"
        raise DataError(what, where=place, hint="pair images of one size, or leave this one out")
    return replace(image, pixels=np.ascontiguousarray(image.pixels), degraded=degraded)


def _check_truth(image: SourceImage, place: str) -> None:
    if image.truth is None:
        return
    if not isinstance(image.truth, str) or not image.truth:
        what = f"the truth of an image is {image.truth!r}: a name that is not empty, or None, is needed"
        raise DataError(what, where=place, hint="the name of the clean image's file, for example")
    _encodable("truth", image.truth, place)
    if image.pixels is None:
        hint = "give its pixels, too, every time that it is named"
        raise DataError(f"the clean image {image.truth!r} is named and not given", where=place, hint=hint)


def _check_pixels(pixels: object, channels: tuple[int, ...], fitting: str, place: str, *, clean: bool) -> None:
    what, hint = _unfit(pixels, channels, clean=clean)
    if what:
        raise DataError(f"{what}; {fitting} is needed", where=place, hint=hint)


def check_text(part: str, text: object, where: str) -> None:
    """Raises DataError when the key or scene of an image is no text, empty, or not valid Unicode."""
    if not isinstance(text, str) or not text:
        what = f"the {part} of an image is {text!r}: a text that is not empty is needed"
        raise DataError(what, where=where, hint="the file's name without its ending, for example")
    _encodable(part, text, where)


def _encodable(part: str, text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the {part} {text!r} is not valid Unicode", where=where, hint="rename the image") from error


def _unfit(pixels: object, channels: tuple[int, ...], *, clean: bool) -> tuple[str, str]:
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
    return _unfit_shape(pixels, channels, found) or _unfit_values(pixels, found, clean=clean)


def _unfit_shape(pixels: np.ndarray, channels: tuple[int, ...], found: str) -> tuple[str, str] | None:
    if pixels.size == 0:
        return f"the image is empty ({found})", "leave it out, or repair the file"
    if pixels.ndim == 2:
        return f"the image has no axis of channels ({found})", "pixels[:, :, numpy.newaxis] for a gray one"
    if pixels.ndim == 3 and pixels.shape[2] in channels:
        return None
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return f"the image has a fourth channel ({found})", "drop the alpha channel: pixels[:, :, :3]"
    if pixels.ndim == 3 and pixels.shape[0] in channels:
        return f"the channels come first ({found})", "pixels.transpose(1, 2, 0)"
    return f"the image has another shape ({found})", "one colour or gray picture an image"


def _unfit_values(pixels: np.ndarray, found: str, *, clean: bool) -> tuple[str, str]:
    if pixels.dtype.name not in _DTYPES or not pixels.dtype.isnative:
        return f"the pixels have another number format ({found})", _to_fitting(pixels.dtype)
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            return f"there are pixels that are not finite ({found})", "repair the file, or leave the image out"
        if hint := off_scale(low, high, clean=clean):
            return f"the pixels reach from {low:.4g} to {high:.4g} ({found}), and white is 1", hint
    return "", ""


def _to_fitting(dtype: np.dtype) -> str:
    if not dtype.isnative:
        return f"pixels.astype(numpy.{dtype.newbyteorder('=').name}), in this machine's byte order"
    if dtype.kind == "f":
        return "pixels.astype(numpy.float32), with white at 1"
    return "convert the image to 8 or 16 bits"


def _unlike_keys(what: str, name: str, split: str) -> DataError:
    hint = "images() and keys() of a split have to agree"
    return DataError(what, where=f"data set {name}, split {split}", hint=hint)


def _article(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
