"""Where weight files lie: in a folder of our own, or in the cache that torch.hub, torchvision and pyiqa share.

Torch-free: the cache is found without importing them.
"""

from __future__ import annotations

import os
from pathlib import Path


def weights_folder() -> Path:
    """$PRIORBENCH_WEIGHTS, else `~/.cache/priorbench/weights`."""
    return Path(os.environ.get("PRIORBENCH_WEIGHTS") or "~/.cache/priorbench/weights").expanduser()


def hub_file(folder: str, name: str) -> Path:
    """Where torch.hub keeps a file: `<TORCH_HOME>/hub/<folder>/<name>`, by the same rules as torch.hub.get_dir."""
    cache_home = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    home = os.environ.get("TORCH_HOME", os.path.join(cache_home, "torch"))
    return Path(home).expanduser() / "hub" / folder / name
