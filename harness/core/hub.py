"""Where weight files lie: in a folder of our own, or in the cache that torch.hub, torchvision and pyiqa share.

Torch-free: the cache is found without importing them.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from harness.core.errors import DataError, MissingWeights
from harness.core.identity import file_sha256


def weights_folder() -> Path:
    """$PRIORBENCH_WEIGHTS, else `~/.cache/priorbench/weights`."""
    return Path(os.environ.get("PRIORBENCH_WEIGHTS") or "~/.cache/priorbench/weights").expanduser()


def hub_file(folder: str, name: str) -> Path:
    """Where torch.hub keeps a file: `<TORCH_HOME>/hub/<folder>/<name>`, by the same rules as torch.hub.get_dir."""
    cache_home = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    home = os.environ.get("TORCH_HOME", os.path.join(cache_home, "torch"))
    return Path(home).expanduser() / "hub" / folder / name


def verify_weights(path: Path, sha256: str, *, fetch: str) -> None:
    """Checks a file against the first digits of its published SHA-256; torchvision prints eight in its file names.

    Raises MissingWeights when there is no such file, DataError (kind `weights`) when its content differs.
    """
    if not path.is_file():
        raise MissingWeights("these weights are not on this machine", where=str(path), hint=fetch)
    found = _sha256_once(str(path), path.stat().st_size, path.stat().st_mtime_ns)
    if not found.startswith(sha256):
        raise DataError(
            f"the file's SHA-256 begins with {found[: len(sha256)]}, the published one with {sha256}",
            where=str(path),
            hint=f"delete it, then: {fetch}",
            kind="weights",
        )


@cache
def _sha256_once(path: str, size: int, changed: int) -> str:
    """Half a gigabyte takes a second to hash: a warm worker does it once, again only when size or time differ."""
    return file_sha256(path)
