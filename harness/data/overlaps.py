"""Which pictures two splits share, compared once: the verdicts are kept beside the prints, in `<data>/prints/`.

Every cell and seed that is trained or tested on two sets asks the same question, and the answer depends on the two sets
and the rules of the comparison alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from harness.api.reference import Frozen, PartRef
from harness.core.errors import HarnessError
from harness.core.identity import canonical_json, digest, sealed, unsealed
from harness.core.paths import write_json
from harness.data.audit import CORRELATION, HAMMING, Same, same_pictures, twins
from harness.data.prints import VERSION as PRINTS
from harness.data.prints import Prints

VERSION = 1
"""Raised when the same prints would be judged otherwise."""


class Overlap(Frozen):
    """The first picture that two splits, or two images of one split, share."""

    one: str
    """Key of the image of the first split; of the earlier image where there is one split."""
    other: str
    how: str
    count: int
    """Images of the second split that show a picture of the first; in one split, of an earlier image."""


Split = tuple[PartRef, str]
GetPrints = Callable[[Split], Prints | None]
"""The prints of a split; None when its images cannot be read here."""


class Compared(Frozen):
    """A comparison that was made, and the first thing it found."""

    overlap: Overlap | None


def overlap(train: Split, test: Split, prints: GetPrints, data: Path) -> Compared | None:
    """What two splits share, from the verdict on record or else their prints; None when those are not to be had."""

    def compare() -> Compared | None:
        held_out = prints(test)
        seen = None if held_out is None else prints(train)
        if held_out is None or seen is None:
            return None
        return Compared(overlap=_first(same_pictures(seen, held_out), seen, held_out))

    return _once("overlap", (train, test), compare, data)


def repeated(test: Split, prints: GetPrints, data: Path) -> Compared | None:
    """Which pictures a split has twice, otherwise than as shots of one scene; None as `overlap`."""

    def compare() -> Compared | None:
        held_out = prints(test)
        return None if held_out is None else Compared(overlap=_first(twins(held_out), held_out, held_out))

    return _once("twins", (test,), compare, data)


def _first(found: Iterable[Same], ones: Prints, others: Prints) -> Overlap | None:
    same = list(found)
    if not same:
        return None
    first = same[0]
    return Overlap(one=ones.keys[first.one], other=others.keys[first.other], how=first.how, count=len(same))


def _once(
    question: Literal["overlap", "twins"],
    splits: tuple[Split, ...],
    compare: Callable[[], Compared | None],
    data: Path,
) -> Compared | None:
    """The verdict on record, else that of the comparison, put on record where the folder can be written.

    Nothing is kept of a data set without a fingerprint, as of prints.
    """
    asked: dict[str, Any] = {
        "question": question,
        "rules": [VERSION, PRINTS, HAMMING, CORRELATION],
        "sets": [[ref.identity(), split] for ref, split in splits],
    }
    path = data / "prints" / f"{digest(asked, 24)}.{question}.json"
    lasting = all(ref.digest is not None for ref, _ in splits)
    known = _known(path, asked) if lasting else None
    if known is not None:
        return known
    found = compare()
    if found is not None and lasting:
        with suppress(HarnessError):
            write_json(path, sealed(asked | found.model_dump(mode="json")))
    return found


def _known(path: Path, asked: dict[str, Any]) -> Compared | None:
    """What a file says; None when there is none, or it is damaged or answers another question."""
    try:
        found = unsealed(path.read_bytes())
        overlap = found.content.pop("overlap")
        same = found.bare is None and canonical_json(found.content) == canonical_json(asked)
        return Compared(overlap=overlap) if same else None
    except (OSError, ValueError, KeyError):
        return None
