"""`bench data audit`: pictures that the data sets of a suite share, and those that they are known to share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.cli import exits
from tests.small_set import blobs
from tests.unit.cli.results import bench

SUITE = """
suite: s
{top}
metrics: [psnr]
blocks:
  - task: low_light
    dataset: {{name: folder, gt: a, holdout: 0}}
    backbone: {{name: nafnet, width: 8}}
    recipe: {{steps: 2}}
    test: [{tests}]
"""
TEST_SET = "{{name: folder, label: {0}, gt: {0}, holdout: 1}}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))


def write(folder: str, pictures: dict[str, np.ndarray]) -> None:
    Path(folder).mkdir()
    for name, pixels in pictures.items():
        cv2.imwrite(f"{folder}/{name}.png", pixels)


def suite(*tests: str, top: str = "") -> str:
    Path("s.yaml").write_text(SUITE.format(tests=", ".join(tests), top=top))
    return "s.yaml"


def test_equal_and_nearly_equal_pictures_are_counted_and_shown() -> None:
    write("a", {f"a{number}": blobs(number, 64) for number in range(4)})
    dark = (blobs(2, 64)[:, ::-1] * 0.7).astype(np.uint8)
    write("b", {"b0": blobs(10, 64), "b1": blobs(1, 64), "b2": np.ascontiguousarray(dark)})
    write("c", {"c0": blobs(20, 64)})
    file = suite(TEST_SET.format("b"), TEST_SET.format("c"))
    found = bench("data", "audit", file, "--format", "json")
    assert found.exit_code == exits.FAILED
    (shared,) = (told := json.loads(found.stdout))["shared"]
    assert (shared["one"], shared["other"], shared["leak"]) == ("folder/train", "b/test", True)
    assert (shared["exact"], shared["near"]) == (1, 1)
    assert [(each["one"], each["other"]) for each in shared["examples"]] == [("a1", "b1"), ("a2", "b2")]
    assert [each["images"] for each in told["splits"]] == [4, 3, 1]
    assert (told["not_prepared"], told["not_read"], told["known"]) == ([], [], [])
    text = bench("data", "audit", file).stdout
    assert "a2 and b2 (nearly the same picture, mirrored" in text
    assert "1 leak: a network would be tested on what it was trained on" in text


def test_the_second_time_no_picture_is_read() -> None:
    write("a", {f"a{number}": blobs(number, 64) for number in range(3)})
    write("b", {"b0": blobs(10, 64)})
    file = suite(TEST_SET.format("b"))
    first = bench("data", "audit", file)
    assert (first.exit_code, "reading folder/train: 3" in first.stderr) == (exits.DONE, True)
    assert "no leak" in first.stdout
    again = bench("data", "audit", file)
    assert (again.exit_code, "reading" in again.stderr) == (exits.DONE, False)


def test_known_overlaps_and_sets_that_are_not_prepared_are_named_with_the_command() -> None:
    """As long as a suite does not allow it, nothing else tells what it would be refused for."""
    Path("s.yaml").write_text(
        "suite: s\nblocks:\n  - task: low_light\n    dataset: lol_v1\n    backbone: {name: nafnet, width: 8}\n"
        "    recipe: {steps: 2}\n    test: [lol_v2_real]\n"
    )
    refused = bench("check", "s.yaml")
    assert refused.exit_code == exits.WRONG
    assert "the training images of LOL-v1 contain test images of LOL-v2-real" in refused.stderr
    found = bench("data", "audit", "s.yaml")
    assert found.exit_code == exits.FAILED
    assert "leak: lol_v1/train and lol_v2_real/test share pictures: the training images of LOL-v1" in found.stdout
    for name in ("lol_v1", "lol_v2_real"):
        assert f"bench data prepare {name} --from DIR" in found.stdout


def test_a_suite_of_sets_that_are_not_there_is_blocked() -> None:
    Path("s.yaml").write_text(
        "suite: s\nblocks:\n  - task: derain\n    dataset: rain13k\n    backbone: {name: nafnet, width: 8}\n"
        "    recipe: {steps: 2}\n    test: [rain100l]\n"
    )
    found = bench("data", "audit", "s.yaml")
    assert found.exit_code == exits.BLOCKED
    assert "known: rain13k/val and rain100l/test share pictures" in found.stdout
    assert "0 images of 0 splits" in found.stdout


def test_all_looks_at_the_test_splits_of_the_library() -> None:
    assert bench("data", "example", "hide", "--to", "hide").exit_code == exits.DONE
    assert bench("data", "prepare", "hide", "--from", "hide", "--executor", "local").exit_code == exits.DONE
    write("a", {"a0": blobs(0, 64)})
    sharp = next(path for path in sorted(Path("hide").rglob("*.png")) if "input" not in path.parts)
    shutil.copy(sharp, "a/copy.png")
    write("b", {"b0": blobs(10, 64)})
    file = suite(TEST_SET.format("b"))
    assert bench("data", "audit", file).exit_code == exits.DONE
    told = json.loads(bench("data", "audit", file, "--all", "--format", "json").stdout)
    (shared,) = told["shared"]
    assert (shared["one"], shared["other"], shared["exact"]) == ("folder/train", "hide (example)/test", 1)
    assert not shared["leak"]
