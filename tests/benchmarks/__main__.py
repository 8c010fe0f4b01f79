"""All benchmarks, one after the other: `make benchmarks`, or `python -m tests.benchmarks NAME...` for some."""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from pathlib import Path

import torch

from harness.core.errors import did_you_mean

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__"))


def main() -> None:
    wanted = sys.argv[1:] or NAMES
    for name in wanted:
        if name not in NAMES:
            sys.exit(f"no benchmark is called {name!r}: {did_you_mean(name, NAMES)}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {device}"
    print(f"{machine}, torch {torch.__version__}")
    for name in wanted:
        print(f"\n{name}", flush=True)
        sys.argv[1:] = []
        import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
