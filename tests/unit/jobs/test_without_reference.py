"""From a suite file with a test set that has no clean images to its table, through real jobs in this process."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.core.paths import Layout, write_text
from harness.jobs.run import run_job_file
from harness.parts.plugins import open_suite
from harness.planning.plan import make_plan
from harness.reports.leaderboard import leaderboard
from harness.reports.text import entry

PARTS = '''
import numpy as np

from harness.api.dataset import DatasetTraits, SourceImage
from harness.api.metric import MetricTraits


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (40, 48, 3), dtype=np.uint8)


class Hazy:
    """Pairs to train on, and degraded images alone to test on."""

    traits = DatasetTraits(licence="none", pairs=True)

    def splits(self):
        return ("train", "test")

    def fingerprint(self):
        return "hazy"

    def keys(self, split):
        return [(f"{split}{number}", f"{split}{number}") for number in range(2)]

    def images(self, split):
        for number, (key, scene) in enumerate(self.keys(split)):
            clean = picture(number) if split == "train" else None
            yield SourceImage(key, scene, clean, picture(9 + number + 5 * (split == "train")))


class Darkness:
    """How dark an image is."""

    traits = MetricTraits(higher_is_better=False, reference="none", decimals=3)

    def __init__(self, protocol):
        self.protocol = protocol

    def __call__(self, restored):
        return 255.0 - float(restored.mean())


CATALOGUE = (("dataset", "hazy", "Hazy"), ("metric", "darkness", "Darkness"))
'''

SUITE = """
suite: hazy
plugins: [parts.py]
metrics: [psnr, darkness]
protocols: [rgb_uint8, lol_gtmean]
run: {samples: 1}
defaults:
  dataset: hazy
  recipe: {steps: 1, batch: 1, patch: 32}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
"""


def test_it_has_the_columns_of_metrics_without_reference_and_is_done(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    file = tmp_path / "hazy.yaml"
    file.write_text(SUITE)
    suite, registry = open_suite(str(file), ())
    layout = Layout(tmp_path / "out", tmp_path / "out" / "data")
    write_text(layout.suite(suite.name), suite.model_dump_json())
    torch.set_num_threads(1)
    for planned in make_plan(suite, layout, registry).to_run:
        path = layout.job_file(planned.id)
        write_text(path, planned.job.model_dump_json())
        assert run_job_file(str(path)).failure is None, planned.id
    again = make_plan(suite, layout, registry)
    assert again.to_run == (), "what has no values is done as well"
    assert {cell.state for cell in again.cells} == {"done"}

    (section,) = leaderboard(layout).sections
    columns = [(column.metric, column.protocol) for column in section.columns]
    assert columns == [("psnr", "rgb_uint8/v1"), ("darkness", "rgb_uint8/v1"), ("psnr", "lol_gtmean/v1")]
    for row in section.rows:
        found = {(column.metric, column.protocol): own for column, own in row.entries.items()}
        assert found["darkness", "rgb_uint8/v1"].images == 2
        for protocol in ("rgb_uint8/v1", "lol_gtmean/v1"):
            assert entry(found["psnr", protocol], 2).startswith("—")
            assert found["psnr", protocol].reason == "the test set has no clean images"
    strips = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert len(strips) == 1
