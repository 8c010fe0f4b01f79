"""Every data set of the field in every layout, from an example of it to the table: prepare, verify, train, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from harness.api.declaration import declaration
from harness.api.source import Layout, Source
from harness.api.task import PROTOCOLS
from harness.cli import exits
from harness.core.paths import Layout as Places
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.records.store import load, load_images
from harness.results.frames import open_results
from harness.tracking.entries import means
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
CONTRAST = """
from harness.api.metric import MetricTraits


class Contrast:
    \"\"\"Standard deviation of a picture.\"\"\"

    traits = MetricTraits(higher_is_better=True, reference="none")

    def __init__(self, protocol):
        pass

    def __call__(self, restored):
        return float(restored.std())


CATALOGUE = (("metric", "contrast", "Contrast"),)
"""
"""A metric that needs neither a clean picture nor weights."""
RUN = ("--executor", "local", "--tracker", "none")


def source_of(name: str) -> Any:
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
    (library.place / "contrast.py").write_text(CONTRAST)
    return f"""
suite: own
plugins: [contrast.py]
metrics: {"[psnr, ssim]" if has_clean else "[contrast]"}
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


def test_every_form_of_results_says_which_numbers_are_of_examples(library: Library) -> None:
    for name in ("dpdd", "cbsd68"):
        library.prepare(name, source_of(name).layouts[0].name)
    (library.place / "own.yaml").write_text(f"""
suite: own
metrics: [psnr]
defaults: {{backbone: {NETWORK}, recipe: {{steps: 2, batch: 2, patch: 32, lr: 1e-3}}}}
blocks:
  - {{task: {{name: defocus, label: Sharpen}}, dataset: {{name: dpdd, label: Ours}}}}
  - {{task: gaussian_denoise, dataset: photos, test: [photos, cbsd68]}}
""")
    shown = {"run": library.ok("run", "own.yaml", *RUN), "status": library.ok("status", "own.yaml")}
    shown |= {form: library.ok("leaderboard", "own.yaml", "--format", form) for form in ("table", "md", "csv")}
    for form, text in shown.items():
        flat = " ".join(text.split())
        assert "Sharpen (example)" in flat, form
        assert "Sharpen" not in flat.replace("Sharpen (example)", ""), form
        if form != "status":
            assert "Ours (example)" in flat, form
            assert "cbsd68 (example)" in flat, form
            assert "photos (example)" not in flat, form
            assert "Ours" not in flat.replace("Ours (example)", ""), form
    results = open_results(library.place / "results/own", library.place / "library")
    labels = set(results.images()["dataset_label"])
    assert labels == {"Ours (example)", "cbsd68 (example)", "photos"}
    layout = Places(library.place / "results/own", library.place / "library")
    mirrored: set[str] = set()
    for cell in (library.place / "results/own/cells").iterdir():
        record, images = load(layout, cell.name), load_images(layout, cell.name)
        assert record is not None
        assert set(images["dataset"].to_pylist()) <= {"dpdd (example)", "cbsd68 (example)", "photos"}
        mirrored |= {*means(record, images), record.labels["task"]}
        strips = [path.name for path in (cell / "samples").glob("*.png")]
        assert strips or record.labels["backbone"] == "input"
        assert all("example" in name or name.startswith("photos") for name in strips), strips
    assert mirrored == {
        "Sharpen (example)", "gaussian_denoise", "psnr.photos", "psnr.cbsd68 (example)",
        "psnr.dpdd (example)", "psnr.dpdd (example) indoor", "psnr.dpdd (example) outdoor",
    }  # fmt: skip


def test_pictures_without_clean_ones_need_a_metric_without_reference(library: Library) -> None:
    for name in ("ebdb", "lol_v1"):
        library.prepare(name, source_of(name).layouts[0].name)
    block = f"{{task: defocus, dataset: lol_v1, test: [ebdb], backbone: {NETWORK}}}"
    for metrics, code in (("[psnr]", exits.WRONG), ("[psnr, contrast]", exits.DONE)):
        (library.place / "contrast.py").write_text(CONTRAST)
        (library.place / "own.yaml").write_text(
            f"suite: own\nplugins: [contrast.py]\nmetrics: {metrics}\n"
            f"defaults: {{recipe: {{steps: 2, batch: 2, patch: 32}}}}\nblocks:\n  - {block}\n"
        )
        checked = bench("check", "own.yaml")
        assert checked.exit_code == code, checked.output
        assert ("ebdb (example) have no clean ones" in checked.output) == (code == exits.WRONG)
