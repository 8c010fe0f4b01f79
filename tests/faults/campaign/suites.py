"""The suites of the campaign: how large they are, and where their disturbed runs leave their results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SUITES = ("alone", "gangs", "stored")
OUT, DATA = "s3://sets/run", "s3://sets/data"

SUITE = """
suite: {name}
run: {{checkpoint_every: {every}, log_every: {log}, samples: 1, retries: 50{gang}}}
defaults:
  task: low_light
  dataset: photos
  seeds: [{seeds}]
  recipe: {{steps: {steps}, batch: 4, patch: 48, augment: flip, lr: 2e-3}}
  backbone: {{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
blocks:
  - matrix:
      variant: [base, {{refiner: ptg_rm, prior: nss}}]
"""


@dataclass(frozen=True)
class Size:
    """How large a campaign is."""

    alone: int = 8
    """Seeds of the suite whose cells are one process, two cells a seed."""
    gangs: int = 4
    """Seeds of the suite whose cells are two."""
    stored: int = 3
    """Seeds of the suite of single processes whose results and data lie on the S3 server."""
    steps: int = 240
    checkpoint_every: int = 12


@dataclass(frozen=True)
class Suite:
    """A suite, and where the disturbed run of it leaves its results."""

    name: str
    file: Path
    cells: int
    places: tuple[str, ...]
    """The options that say it."""
    seen: Path
    """A folder in which its cells' journals can be read."""


def suites_of(size: Size, folder: Path, out: Path) -> list[Suite]:
    """Writes the files of the suites that have cells. `out`: where results lie that are on no store."""
    found = []
    for name in SUITES:
        stored, seeds = name == "stored", int(vars(size)[name])
        text = SUITE.format(
            name=name,
            seeds=", ".join(map(str, range(seeds))),
            gang=", processes: 2" if name == "gangs" else "",
            steps=size.steps,
            every=size.checkpoint_every,
            log=size.checkpoint_every // 2,
        )
        file = folder / f"{name}.yaml"
        file.write_text(text)
        places = ("--out", OUT, "--data", DATA) if stored else ("--out", str(out))
        found.append(Suite(name, file, 2 * seeds, places, folder / "seen" if stored else out))
    return [suite for suite in found if suite.cells]
