"""Every data set of the field in every layout, from an example of it to the table: prepare, verify, train, evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from harness.api.declaration import declaration
from harness.api.source import Layout, Source
from harness.api.task import PROTOCOLS
from harness.cli import exits
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from tests.unit.cli.results import bench

NETWORK = "{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}"
QUICK = (
    "lol_v1 official", "sid official", "gopro official", "rain100h restormer", "dpdd official", "dpdd_dual prepared",
    "sidd official", "realblur_j restormer", "set12 restormer", "jnb folder",
)  # fmt: skip
"""One of each way in which data sets differ: pairs, arrays, videos, test only, groups and 16 bits, two views,
MATLAB blocks, aligned, gray, without reference."""
DUAL = (
    "{name: restormer, inp_channels: 6, dual_pixel_task: true, dim: 8, num_blocks: [1, 1, 1, 1], "
    "num_refinement_blocks: 1, heads: [1, 1, 1, 1]}"
)
"""A network of both views."""
RUN = ("--executor", "local", "--tracker", "none")


def source_of(name: str) -> Source | None:
    return declaration(REGISTRY, "dataset", name).traits.source


def layouts() -> list:
    named = [
        (name, layout.name) for name in REGISTRY.names("dataset") if (it := source_of(name)) for layout in it.layouts
    ]
    slow = [pytest.mark.slow]
    marks = {each: [] if " ".join(each) in QUICK else slow for each in named}
    return [pytest.param(*each, marks=marks[each], id="-".join(each)) for each in named]


class Library:
    """A library of this test's own, and the folder that commands run in."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def ok(self, *words: str) -> str:
        done = bench(*words)
        assert done.exit_code == exits.DONE, f"bench {' '.join(words)}\n{done.output}"
        return done.output

    def prepare(self, name: str, layout: str) -> None:
        """What a user does with a download, with an example in its place."""
        self.ok("data", "example", name, "--to", f"{name}-{layout}", "--layout", layout)
        assert f"{name} (example): {layout} layout" in self.ok("data", "prepare", name, "--from", f"{name}-{layout}")
        assert "sound" in self.ok("data", "verify", name)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Library(tmp_path)


@pytest.mark.parametrize(("name", "layout"), layouts())
def test_an_example_goes_from_its_files_to_the_table(name: str, layout: str, library: Library) -> None:
    source = source_of(name)
    assert source is not None
    found = next(each for each in source.layouts if each.name == layout)
    library.prepare(name, layout)
    if "train" not in found.splits and found.splits["test"].views:
        return  # nothing else has two views to train on
    (library.place / "own.yaml").write_text(suite(name, found, source, library))
    library.ok("check", "own.yaml")
    assert "(example)" in library.ok("plan", "own.yaml")
    table = library.ok("run", "own.yaml", *RUN)
    assert "(example)" in table
    records = [json.loads(path.read_text()) for path in (library.place / "results/own/cells").glob("*/record.json")]
    assert [record["status"] for record in records] == ["done", "done"], "the network and the input"
    assert all("example" in record["labels"]["task"] for record in records)
    if "test" in found.splits:
        scored = [each for record in records for each in record["evaluations"]]
        assert {each["protocol"] for each in scored} == {PROTOCOLS[source.protocol].label}
        assert {each["dataset"] for each in scored} == {f"{name} (example)"}
        check_images(found, library)


def check_images(layout: Layout, library: Library) -> None:
    """Every image of the example has a value of every metric."""
    tables = [pyarrow.parquet.read_table(path) for path in library.place.glob("results/own/cells/*/images.parquet")]
    blocks = layout.splits["test"].reader == "mat_blocks"
    groups = {group.name for group in layout.splits["test"].groups}
    for table in tables:
        images = table.to_pandas()
        assert np.isfinite(images["value"]).all()
        counts = images.groupby("metric")["key"].nunique()
        assert set(counts) == {4 if blocks else len(layout.examples["test"])}
        assert set(images["group"]) == (groups or {""})


def suite(name: str, layout: Layout, source: Source, library: Library) -> str:
    """A suite that trains on a data set and tests on it; where it has no such split, another set stands in."""
    train, test = (name if split in layout.splits else "" for split in ("train", "test"))
    has_clean = not test or bool(layout.splits["test"].gt)
    network, stand_in = NETWORK, "photos"
    if PROTOCOLS[source.protocol].colour == "gray":
        network, stand_in = NETWORK.replace("width", "img_channel: 1, width"), "{name: folder, gt: gray}"
        write_gray(library.place / "gray")
    elif any(files.views for files in layout.splits.values()):
        network = DUAL
    elif declaration(REGISTRY, "task", source.tasks[0]).traits.degradation is None and not (train and test):
        stand_in = "lol_v1"
        library.prepare(stand_in, "official")
    return f"""
suite: own
metrics: {"[psnr, ssim]" if has_clean else "[niqe]"}
defaults: {{recipe: {{steps: 2, batch: 2, patch: 32, lr: 1e-3}}}}
blocks:
  - task: {source.tasks[0]}
    dataset: {train or stand_in}
    test: [{test or stand_in}]
    backbone: {network}
"""


def write_gray(folder: Path) -> None:
    """Gray photographs to train on: no data set of the field has them."""
    folder.mkdir()
    for image in Photos().images("train"):
        assert image.pixels is not None
        window = image.pixels[40:140, 60:160]
        cv2.imwrite(str(folder / f"{image.key}.png"), cv2.cvtColor(window, cv2.COLOR_RGB2GRAY))
