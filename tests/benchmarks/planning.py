"""How long `bench` takes to answer where no tensor is needed: `python -m tests.benchmarks.planning`.

Whole processes, as a user starts them, the median of five after one warm-up. Beside them the bare interpreter with the
libraries that any such command must import, as the floor.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CELLS = 1000

SUITE = """
suite: thousand
defaults: {{dataset: photos, recipe: {{steps: 100}}}}
blocks:
  - matrix:
      task: [low_light, {{name: gaussian_denoise, sigma: 15}}, gaussian_denoise, derain, motion_blur]
      backbone: [{{name: nafnet, width: 8}}, {{name: nafnet, width: 16}}, {{name: restormer, dim: 8}}, restormer]
      variant:
        - base
        - {{refiner: ptg_rm, prior: nss}}
        - {{refiner: ptg_rm, prior: random}}
        - {{refiner: ptg_rm, prior: {{name: shuffled, of: nss}}}}
        - {{refiner: ptg_rm, prior: {{name: mean, of: nss}}, regime: frozen}}
    seeds: [{seeds}]
"""

FLOOR = [sys.executable, "-c", "import pydantic, typer, ruamel.yaml"]


def seconds(command: list[str], folder: str) -> float:
    """Median wall time of a command that ends well."""
    taken = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def main() -> None:
    bench = [sys.executable, "-m", "harness.cli.main"]
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "thousand.yaml"
        suite.write_text(SUITE.format(seeds=", ".join(map(str, range(CELLS // 100)))))
        floor = seconds(FLOOR, folder)
        print(f"{'interpreter and libraries':30} {floor:6.2f} s")
        checks = (["check", "smoke", "--quick"], ["check", "smoke"])
        commands = (["--help"], *checks, ["plan", "smoke"], ["list", "priors"], ["plan", suite.name])
        for arguments in commands:
            taken = seconds([*bench, *arguments], folder)
            print(f"{'bench ' + ' '.join(arguments):30} {taken:6.2f} s   {taken / floor:5.1f} × the floor")


if __name__ == "__main__":
    main()
