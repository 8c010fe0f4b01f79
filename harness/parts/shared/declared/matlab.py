"""Images in a MATLAB file: one array of a split, N×M×H×W×3 uint8, M images of each of N scenes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from harness.core.identity import stamp_of
from harness.parts.shared.pictures.reading import page_in

if TYPE_CHECKING:
    import numpy as np

_HELD: dict[str, tuple[list[int], np.ndarray]] = {}
_LOCK = threading.Lock()
_HDF5 = b"\x89HDF\r\n\x1a\n"


def block_keys(path: str) -> tuple[list[str], str]:
    """`0000-00`, … of every image, and `40×32 images of 256×256`, from the head of the file.

    Raises ValueError, whose text says what is wrong.
    """
    _, shape = _array_in(path)
    keys = [f"{scene:04d}-{block:02d}" for scene in range(shape[0]) for block in range(shape[1])]
    return keys, f"{shape[0]}×{shape[1]} images of {shape[2]}×{shape[3]}"


def block(path: str, key: str) -> np.ndarray:
    """The image of a key, H×W×3 uint8. Raises ValueError, whose text says what is wrong.

    The file is read whole, as it is compressed, and kept while images of no more than one other file are asked for.
    """
    import numpy as np

    scene, place = map(int, key.split("-"))
    return np.ascontiguousarray(_loaded(path)[scene, place])


def check_blocks(path: str) -> None:
    """Reads the file to its end. Raises ValueError, whose text says what is wrong."""
    _loaded(path)


def _array_in(path: str) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the array of images."""
    from scipy.io import whosmat

    arrays = _asked(whosmat, path)
    found = [(name, tuple(shape), kind) for name, shape, kind in arrays if len(shape) == 5]
    if len(found) != 1 or found[0][1][4] != 3 or found[0][2] != "uint8":
        held = ", ".join(f"{name} {'×'.join(map(str, shape))} {kind}" for name, shape, kind in arrays) or "nothing"
        raise ValueError(f"it has {held[:200]}, not one array N×M×H×W×3 uint8")
    return found[0][0], found[0][1]


def _loaded(path: str) -> np.ndarray:
    import os

    from scipy.io import loadmat

    stamp = stamp_of(os.stat(path))
    with _LOCK:
        if _HELD.get(path, (None,))[0] != stamp:
            name, _ = _array_in(path)
            while len(_HELD) > 1:
                del _HELD[next(iter(_HELD))]
            _HELD[path] = stamp, _asked(loadmat, path, variable_names=[name])[name]
        return _HELD[path][1]


def _asked(ask: Any, path: str, **more: Any) -> Any:
    with open(path, "rb") as file:
        head = file.read(520)
    if not head:
        raise ValueError("the file is empty")
    if page := page_in(head):
        raise ValueError(page)
    if _HDF5 in (head[:8], head[512:520]):
        raise ValueError("it is a MATLAB 7.3 file, and version 7 or older is read: save it with '-v7'")
    try:
        return ask(path, appendmat=False, **more)
    except MemoryError as error:
        raise ValueError("it does not fit into memory") from error
    except Exception as error:  # scipy raises nearly anything for a damaged file
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"it is no MATLAB file, or damaged: {said}") from error
