"""Collects what the benchmark needs on a machine with a GPU, PyTorch and no network: `device.sh` installs it there.

`python -m tests.benchmarks.gpu.wheels FOLDER [--there FILE] [--python 3.12]` puts wheels for Linux on x86-64 into the
folders `FOLDER/1`, `FOLDER/2`, … of at most 60 MiB each, and the harness's own into the first. `FILE` lists what that
machine has already, a name a line, as `pip list --format=freeze` prints it: none of these is collected. PyTorch,
torchvision and what belongs to them are never: they have to fit the GPU's driver.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.gpu.processes import ROOT

PART = 60 * 2**20
"""Bytes of a folder's wheels, at most."""
PLATFORMS = (1, *(f"2_{number}" for number in (5, 12, 17, 24, 26, 27, 28, 31)), 2014)
# fmt: off
PACKAGES = (
    "accelerate", "annotated-types", "anyio", "attrs", "certifi", "charset-normalizer", "einops", "filelock",
    "fsspec", "ftfy", "h11", "hf-xet", "httpcore2", "httpx2", "huggingface-hub", "idna", "imagecodecs", "imagehash",
    "jinja2", "joblib", "jsonschema", "jsonschema-specifications", "lazy-loader", "markupsafe", "mpmath",
    "networkx", "numpy", "open-clip-torch", "opencv-python-headless", "packaging", "pillow", "psutil", "pyarrow",
    "pydantic", "pydantic-core", "pyiqa", "pywavelets", "pyyaml", "referencing", "regex", "requests", "rpds-py",
    "ruamel-yaml", "safetensors", "scikit-image", "scikit-learn", "scipy", "setuptools", "spandrel", "sympy",
    "threadpoolctl", "tifffile", "timm", "tokenizers", "tqdm", "transformers", "truststore", "typing-extensions",
    "typing-inspection", "urllib3", "wcwidth", "zstandard",
)
# fmt: on
"""What the benchmark imports, and what that imports; their versions are those of constraints.txt."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu.wheels")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--there", type=Path, help="a file with the names of what the machine has")
    parser.add_argument("--python", default="3.12", help="the machine's version of Python")
    given = parser.parse_args(arguments)
    there = names_in(given.there.read_text(encoding="utf-8")) if given.there else set()
    with tempfile.TemporaryDirectory() as folder:
        collected = Path(folder)
        wanted = [pinned(name) for name in PACKAGES if name not in there]
        subprocess.run(download(wanted, collected, given.python), check=True)
        parts = divided(sorted(collected.glob("*.whl")), PART - _own(given.folder))
        for number, part in enumerate(parts, start=1):
            place = given.folder / str(number)
            place.mkdir(parents=True, exist_ok=True)
            for file in part:
                shutil.copy(file, place)
    for place in sorted(given.folder.iterdir()):
        sizes = [file.stat().st_size for file in place.iterdir()]
        print(f"{place}: {len(sizes)} wheels, {sum(sizes) / 2**20:.1f} MiB")
    return 0


def names_in(text: str) -> set[str]:
    """The names of packages, one a line, as registries write them; versions and comments after them do not count."""
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in text.splitlines())
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def pinned(name: str) -> str:
    """A package at the version that was tested with the others."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.partition("==")[0].lower() == name)


def download(wanted: Sequence[str], folder: Path, python: str) -> list[str]:
    """The command that fetches wheels as they are, without what they need."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    for number in PLATFORMS:
        command += ["--platform", f"manylinux{'' if number in (1, 2014) else '_'}{number}_x86_64"]
    return [*command, *wanted]


def divided(files: Sequence[Path], most: int) -> list[list[Path]]:
    """The files in as few groups as come of putting the largest first, each of at most so many bytes; one that is
    larger has a group of its own."""
    parts: list[list[Path]] = []
    for file in sorted(files, key=lambda file: file.stat().st_size, reverse=True):
        size = file.stat().st_size
        free = (part for part in parts if sum(each.stat().st_size for each in part) + size <= most)
        part = next(free, None)
        if part is None:
            parts.append(part := [])
        part.append(file)
    return parts


def _own(folder: Path) -> int:
    """Puts the harness's own wheel into the first folder, and gives its size."""
    place = folder / "1"
    place.mkdir(parents=True, exist_ok=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(place), str(ROOT)], check=True)
    return sum(file.stat().st_size for file in place.glob("priorbench-*.whl"))


if __name__ == "__main__":
    sys.exit(main())
