"""Data set `photos`: the natural colour photographs of at least 256 pixels that ship with two wheels.

They need no download, so a fresh clone can train on real pictures. From scikit-image: astronaut, chelsea, coffee,
rocket and the two views of the Middlebury motorcycle (one scene, so both are in one split); from scikit-learn: china
and flower. Left out on purpose: `retina` and `ihc` (medical), `hubble_deep_field` (sky survey), which are no natural
scenes, and the gray pictures. Eight images teach whether a pipeline works, not which method is best.

Neither package is imported: their folders are looked up, and every file must have the digest pinned below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.dataset import DatasetTraits, SourceImage
from harness.core.errors import DataError
from harness.core.identity import digest

if TYPE_CHECKING:
    import numpy as np

_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
_INSTALL = "pip install scikit-image scikit-learn"
_REINSTALL = "pip install --force-reinstall --no-deps scikit-image scikit-learn"


@dataclass(frozen=True)
class Photo:
    """One file of a wheel and what is known of it. `package` is the import name of the wheel that has it."""

    split: str
    key: str
    scene: str
    package: str
    file: str
    sha256: str


PHOTOS = (
    Photo("train", "astronaut", "astronaut", "skimage", "astronaut.png",
          "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    Photo("train", "china", "china", "sklearn", "china.jpg",
          "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    Photo("train", "motorcycle_left", "motorcycle", "skimage", "motorcycle_left.png",
          "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"),
    Photo("train", "motorcycle_right", "motorcycle", "skimage", "motorcycle_right.png",
          "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797"),
    Photo("train", "rocket", "rocket", "skimage", "rocket.jpg",
          "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    Photo("test", "chelsea", "chelsea", "skimage", "chelsea.png",
          "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    Photo("test", "coffee", "coffee", "skimage", "coffee.png",
          "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    Photo("test", "flower", "flower", "sklearn", "flower.jpg",
          "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
)  # fmt: skip
"""The whole data set. Test images differ in subject, light and sharpness; the rest is for training."""

LICENCE = """\
astronaut: NASA Great Images database, no known copyright restrictions, public domain.
chelsea: CC0 by the photographer, Stefan van der Walt.
coffee: CC0 by the photographer, Rachel Michetti; courtesy of Pikolo Espresso Bar.
rocket: SpaceX Photos, released into the public domain.
motorcycle_left, motorcycle_right: Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014), down-sampled by \
scikit-image, which redistributes them; no licence is stated, cite the paper.
china: CC BY 2.0, danielbuechele on Flickr, photo 6061409035.
flower: CC BY 2.0, vultilion on Flickr, photo 6056698931."""


class Photos:
    """Natural photographs that ship with scikit-image and scikit-learn: 5 for training, 3 for testing."""

    traits = DatasetTraits(licence=LICENCE, shortest_side=427, random_access=True)

    def splits(self) -> Sequence[str]:
        return ("train", "test")

    def fingerprint(self) -> str:
        """Digest of the pinned table. Only looks whether the files are there; `images` checks what is in them.

        Raises DataError when a package or a file is missing.
        """
        for photo in PHOTOS:
            _locate(photo)
        return digest([list(astuple(photo)) for photo in PHOTOS])

    def keys(self, split: str) -> Sequence[tuple[str, str]]:
        """(key, scene) of the photographs of a split, in the table's order. Raises DataError for an unknown split."""
        return [(photo.key, photo.scene) for photo in _of(split)]

    def images(self, split: str) -> Iterator[SourceImage]:
        """The photographs of a split. Raises DataError naming a file that is missing or differs from the table."""
        for photo in _of(split):
            yield SourceImage(photo.key, photo.scene, _read(photo))

    def images_at(self, split: str, keys: Sequence[str]) -> Iterator[SourceImage]:
        """The photographs of these keys, in their order. Raises DataError as `images`, and for an unknown key."""
        photos = {photo.key: photo for photo in _of(split)}
        for key in keys:
            if key not in photos:
                raise DataError(f"photos has no image {key!r} in {split}", hint=f"known: {', '.join(photos)}")
            yield SourceImage(key, photos[key].scene, _read(photos[key]))


def _of(split: str) -> list[Photo]:
    photos = [photo for photo in PHOTOS if photo.split == split]
    if not photos:
        raise DataError(f"photos has no split {split!r}", hint="known: train, test")
    return photos


def _locate(photo: Photo) -> Path:
    spec = find_spec(photo.package)
    if spec is None or spec.origin is None:
        raise DataError(f"the package {photo.package!r} is not installed", where="data set photos", hint=_INSTALL)
    path = Path(spec.origin).parent / _FOLDERS[photo.package] / photo.file
    if not path.is_file():
        raise DataError("this photograph is missing from its package", where=str(path), hint=_REINSTALL)
    return path


def _read(photo: Photo) -> np.ndarray:
    import cv2  # here, as planning asks for fingerprints and an import of cv2 takes 0.4 s
    import numpy as np

    path = _locate(photo)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint=_REINSTALL) from error
    found = hashlib.sha256(content).hexdigest()
    if found != photo.sha256:
        raise DataError(
            f"this photograph has changed: sha256 is {found[:12]}…, not {photo.sha256[:12]}…",
            where=str(path),
            hint=_REINSTALL,
        )
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert pixels is not None, path
    return np.asarray(pixels)
