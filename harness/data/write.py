"""Writes one shard of a prepared set: images become members of a tar file, and rows of the index. Same images, same
bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from harness.core.beat import beat
from harness.core.errors import DataError
from harness.data import tiff
from harness.data.index import Member, SampleRow, Side
from harness.data.members import member_name


class ShardWriter:
    """Fills one tar file; `finish` closes it and gives its rows. A context manager, used once.

    Rows name the shard by the number that its file is called by (`000003.tar`: 3), or 0.
    """

    def __init__(self, path: Path) -> None:
        """Makes the file, which must not exist. Raises OSError as `open` does."""
        self.path = path
        self._number = int(path.stem) if path.stem.isdecimal() else 0
        self._file = open(path, "xb")  # noqa: SIM115 - spans many calls
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - as above
        self._rows: dict[str, SampleRow] = {}
        self._truths: dict[str | None, tuple[str, bytes]] = {}

    @property
    def samples(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self._tar.offset)

    def add(
        self,
        key: str,
        scene: str,
        gt: np.ndarray | None = None,
        lq: np.ndarray | None = None,
        truth: str | None = None,
        facts: Mapping[str, object] | None = None,
        group: str = "",
    ) -> None:
        """Appends a sample, images H×W×C of one height and width; `facts` go into its JSON member, `group` into the
        index alone.

        Samples of one `truth` share the clean image: it is stored with the first one, and the JSON of the others names
        that one under `gt`; they may leave it out. Raises DataError for a sample without an image, two sizes in one
        pair, a key that is there already, two clean images of one truth, or names that are not
        valid Unicode; nothing is written then.
        """
        beat()
        where = f"sample {key!r}"
        if key in self._rows:
            raise DataError("two samples have this key", where=where, hint="rename one of the images")
        content = None if gt is None or truth is None else _content(gt)
        first = self._first(key, content, truth)
        shared = self._rows[first].gt if first is not None else None
        height, width = _size(where, gt, lq, shared)
        name = member_name(key)
        told: dict[str, object] = {"key": key, "scene": scene, "height": height, "width": width}
        told |= {"gt": first} if first is not None else {}
        told |= {"truth": truth} if truth is not None else {}
        text = _text({**(facts or {}), **told}, where)
        clean = self._image(name, "gt", gt) if gt is not None and shared is None else shared
        degraded = None if lq is None else self._image(name, "lq", lq)
        self._member(f"{name}.json", text)
        self._rows[key] = SampleRow(key, scene, clean, degraded, group)
        if content is not None and first is None:
            self._truths[truth] = key, content

    def finish(self) -> list[SampleRow]:
        """Closes the file. Raises OSError where the disk is full."""
        self._tar.close()
        self._file.close()
        return list(self._rows.values())

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """Closes a file that an error left open. On a full disk even closing fails; who made the folder removes it."""
        with suppress(OSError):
            self._file.close()

    def _first(self, key: str, content: bytes | None, truth: str | None) -> str | None:
        """The key of an earlier sample that has the same clean image."""
        if truth not in self._truths:
            return None
        first, known = self._truths[truth]
        if content not in (None, known):
            what = f"its clean image {truth!r} is not the one that sample {first!r} brought under this name"
            raise DataError(what, where=f"sample {key!r}")
        return first

    def _image(self, name: str, side: Side, image: np.ndarray) -> Member:
        content = tiff.encode(image)
        offset = self._member(f"{name}.{side}.tif", content)
        return Member(self._number, offset, len(content), *tiff.geometry_of(image))

    def _member(self, name: str, content: bytes) -> int:
        """Appends a member and gives where its content begins. Its header has no time and no owner: it depends on name
        and content alone."""
        header = tarfile.TarInfo(name)
        header.size = len(content)
        header.mode = 0o644
        self._tar.addfile(header, io.BytesIO(content))
        return self._tar.offset - -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _size(where: str, gt: np.ndarray | None, lq: np.ndarray | None, shared: Member | None) -> tuple[int, int]:
    """Height and width of a sample. Raises DataError where its images have two sizes, or are none."""
    sizes = [image.shape[:2] for image in (gt, lq) if image is not None]
    sizes += [] if shared is None else [(shared.height, shared.width)]
    if not sizes:
        raise DataError("this sample has neither a clean image nor a degraded one", where=where)
    if len(set(sizes)) > 1:
        both = " and ".join(f"{height}×{width}" for height, width in dict.fromkeys(sizes))
        raise DataError(f"the clean and the degraded image differ in size: {both}", where=where)
    for image in (gt, lq):
        if image is not None:
            try:
                tiff.geometry_of(image)
            except ValueError as error:
                raise DataError(str(error), where=where) from None
    height, width = sizes[0]
    return height, width


def _text(told: Mapping[str, object], where: str) -> bytes:
    try:
        return json.dumps(told, sort_keys=True, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError("its scene or another name is not valid Unicode", where=where, hint="rename it") from error


def _content(image: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
