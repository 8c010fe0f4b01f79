"""`bench data`: folders become a file that suites include; prepared sets are listed, pushed and pulled."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.cli import exits
from harness.data.prepare import prepare_set
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite
from harness.parts.shared.pictures import looks
from tests.unit.cli.results import bench

DOCS = Path(__file__).parents[3] / "docs"
SUITE = """
suite: rain
include: [my_rain.yaml]
metrics: [psnr]
defaults: {recipe: {steps: 2, batch: 1, patch: 16}}
blocks:
  - task: derain
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    monkeypatch.setattr(looks, "_MEMORY", {})


def write_rain(folder: Path) -> Path:
    """The folders that the guide of data sets names: three pairs to train, two to test."""
    random = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        for side in ("input", "target"):
            (folder / "rain" / split / side).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / "rain" / split / side / f"{number}.png"), pixels)
    return folder


def test_the_commands_of_the_guide_give_a_file_that_a_suite_includes(tmp_path: Path) -> None:
    write_rain(tmp_path)
    text = (DOCS / "dataset.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).splitlines()
    assert lines
    with chdir(tmp_path):
        for line in lines:
            done = bench(*shlex.split(line)[1:])
            assert done.exit_code == exits.DONE, done.output
    assert "my_rain.yaml: 3 to train, 2 to test\n" in done.output
    assert "include: [my_rain.yaml]" in done.output
    written = (tmp_path / "my_rain.yaml").read_text()
    assert written in done.output
    shown = text.split("```\n" + written.splitlines()[0])[1].split("```")[0]
    assert [line.split() for line in re.sub(r" +#.*", "", shown).splitlines() if line] == [
        line.split() for line in written.splitlines()[1:]
    ]
    (tmp_path / "suite.yaml").write_text(SUITE)
    resolved, _ = open_suite(str(tmp_path / "suite.yaml"))
    (cell,) = {each.cell.id: each.cell for each in resolved.cells if each.labels.variant == "base"}.values()
    assert cell.train.name == "folder"
    assert cell.train.digest
    assert cell.train.files["lq"] == str(tmp_path / "rain/train/input")
    assert cell.task.derived_from is None, "the pictures bring their rain"
    with chdir(tmp_path):
        again = bench(*shlex.split(lines[0])[1:])
    assert again.exit_code == exits.WRONG
    assert "this file exists already" in again.output
    assert (tmp_path / "my_rain.yaml").read_text() == written


def test_what_does_not_fit_is_reported_and_nothing_is_written(tmp_path: Path) -> None:
    write_rain(tmp_path)
    (tmp_path / "rain/train/input/1.png").write_bytes(b"no picture")
    (tmp_path / "rain/train/target/7.png").write_bytes(b"")
    words = ["data", "add", "mine", "--lq", "rain/train/input", "--gt", "rain/train/target"]
    with chdir(tmp_path):
        done = bench(*words)
        assert done.exit_code == exits.FAILED
        assert "gt/7.png: it has 0 bytes" in done.output
        done = bench(*words, "--skip", "7.png")
        assert "lq/1.png: it is no PNG" in done.output
        assert not (tmp_path / "mine.yaml").exists()
        done = bench(*words, "--skip", "7.png", "--skip", "lq/1.png", "--holdout", "0.5", "--to", "sub.yaml")
        assert done.exit_code == exits.DONE, done.output
    assert "sub.yaml: 1 to train, 1 to test, 3 left out" in done.output
    assert "skip: ['7.png', 'lq/1.png']" in (tmp_path / "sub.yaml").read_text()
    assert "holdout: 0.5" in (tmp_path / "sub.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a/b", "--gt", "rain/train/target"], "a name holds no '/'"),
        (["mine", "--gt", "rain/train/target", "--pair", "none"], "give lq"),
        (["mine", "--gt", "rain/train/target", "--pair-lq", "(a)"], "belong together"),
        (["mine", "--gt", "rain/train/target", "--scene", "(a"], "no regular expression"),
        (["mine", "--gt", "rain/train/target", "--test-lq", "rain/test/input"], "test_lq where lq is"),
        (["mine", "--gt", "rain/train/target", "--test-gt", "rain/train/target"], "test_gt and gt are one place"),
        (["mine", "--gt", ""], "--gt: no folder is named"),
        (["mine", "--gt", "rain/train/target", "--to", "nodir/x.yaml"], "nodir: there is no such folder"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(words: list[str], says: str, tmp_path: Path) -> None:
    write_rain(tmp_path)
    with chdir(tmp_path):
        done = bench("data", "add", *words)
    assert done.exit_code == exits.WRONG
    assert says in done.output
    assert not (tmp_path / "mine.yaml").exists()


def test_expressions_and_patterns_reach_the_file_as_they_are(tmp_path: Path) -> None:
    write_rain(tmp_path)
    with chdir(tmp_path):
        words = ["--lq", "rain/*/input/*.png", "--gt", "rain/*/target/*.png", "--scene", "^(train|test)/"]
        words += ["--pair-lq", r"(.*)\.png", "--pair-gt", r"(.*)\.png", "--to", "x.yaml"]
        done = bench("data", "add", "it's", *words)
    assert done.exit_code == exits.DONE, done.output
    suite = SUITE.replace("my_rain", "x")
    (tmp_path / "suite.yaml").write_text(suite)
    resolved, _ = open_suite(str(tmp_path / "suite.yaml"))
    assert list(resolved.dataset_labels.values()) == ["it's"]
    options = resolved.cells[0].tests[0].dataset.options
    assert options["pair"] == {"lq": r"(.*)\.png", "gt": r"(.*)\.png"}
    assert options["scene"] == "^(train|test)/"


def test_prepared_sets_are_listed_pushed_and_pulled(tmp_path: Path) -> None:
    write_rain(tmp_path)
    files = {"gt": str(tmp_path / "rain/train/target"), "lq": str(tmp_path / "rain/train/input")}
    part = PartRef(name="folder", options={"holdout": 0.0, "skip": ["2.png"]}, files=files)
    stored = PreparedSet(dataset=part, split="train")
    data = tmp_path / "data"
    empty = bench("data", "list", "--data", data)
    assert (empty.exit_code, "no set has been prepared here" in empty.output) == (exits.DONE, True)
    prepare_set(stored, REGISTRY, data)
    (row,) = json.loads(bench("data", "list", "--data", data, "--format", "json").stdout)
    assert (row["set"], row["split"], row["samples"], row["images"], row["skipped"]) == (stored.name, "train", 2, 4, 2)
    table = bench("data", "list", "--data", data).stdout
    assert row["sha256"][:12] in table
    pushed = bench("data", "push", "folder", "--to", tmp_path / "store", "--data", data)
    assert pushed.exit_code == exits.DONE, pushed.output
    pulled = bench("data", "pull", tmp_path / "store", "--data", tmp_path / "other", "--all", "--limit", "1GB")
    assert pulled.exit_code == exits.DONE, pulled.output
    (there,) = json.loads(bench("data", "list", "--data", tmp_path / "other", "--format", "json").stdout)
    assert there["pulled"]
    assert there["sha256"] == row["sha256"]
    shutil.copytree(data / "sets" / stored.name, data / "sets" / stored.name.replace("folder.", "folder.low_light."))
    exact = bench("data", "push", "folder", "--to", tmp_path / "store", "--data", data)
    assert (exact.exit_code, exact.output.count("copied to")) == (exits.DONE, 1), exact.output
    shutil.rmtree(data / "sets" / stored.name.replace("folder.", "folder.low_light."))
    wrong = bench("data", "push", "photos", "--to", tmp_path / "store", "--data", data)
    assert (wrong.exit_code, "no prepared set is called photos" in wrong.output) == (exits.WRONG, True)
    shutil.copytree(data / "sets" / stored.name, data / "sets" / f"a{stored.name}")
    (data / "sets" / f"a{stored.name}" / "train" / "manifest.json").write_text("{")
    shutil.copytree(data / "sets" / stored.name, data / "sets" / f"z{stored.name}")
    (data / "sets" / f"z{stored.name}" / "train" / "origin.json").write_text("{")
    listed = json.loads(bench("data", "list", "--data", data, "--format", "json").stdout)
    assert [each.get("sha256") for each in listed] == [None, row["sha256"], None]
    assert listed[0]["problem"].startswith("the manifest is damaged")
    assert listed[2]["problem"] == "this note of where the shards lie cannot be read"
    done = bench("data", "list", "--data", data)
    assert (done.exit_code, "the manifest is damaged" in " ".join(done.stdout.split())) == (exits.DONE, True)
    assert row["sha256"][:12] in done.stdout
    for words in (["push", "folder", "--to", "x"], ["pull", "x", "--data", "y", "--limit", "all"]):
        assert bench("data", *words).exit_code == exits.WRONG
    for limit in ("-5GB", "-1", "nan", "inf"):
        refused = bench("data", "pull", "x", "--data", "y", f"--limit={limit}")
        assert (refused.exit_code, "is no size" in refused.output) == (exits.WRONG, True), refused.output
    none = bench("data", "pull", tmp_path / "store", "--data", tmp_path / "none", "--all", "--limit", "10")
    assert ", 0 of 1 shards are here" in none.output
