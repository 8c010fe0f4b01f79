"""The guides stay true: their files are parts that keep their promises, their suites are sound, their commands run."""

from __future__ import annotations

import re
import shlex
from contextlib import chdir
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from harness.api.kinds import KINDS
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet
from harness.api.traits import Traits
from harness.cli import exits
from harness.cli.main import app
from harness.data.prepare import prepare_set
from harness.data.shards import open_set
from harness.parts.catalogue import REGISTRY
from harness.parts.datasets.photos import Photos
from harness.testing.run import run_contract

DOCS = Path(__file__).parents[2] / "docs"
SMALL = ["--set", "defaults.recipe.steps=4", "--set", "defaults.recipe.batch=1"]
RUN = "dataset"
"""The guide whose run is done, and not only planned: its pictures are small."""


def text_of(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def write_files(text: str, folder: Path) -> list[str]:
    """The blocks whose first line names a file, as the reader would save them."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", text, flags=re.DOTALL)
    for name, content in blocks:
        (folder / name).write_text(content, encoding="utf-8")
    return [name for name, _ in blocks]


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line.partition(" #")[0].strip() for line in "\n".join(blocks).splitlines() if line.strip()]


def write_photographs(folder: Path) -> None:
    """What the guide of data sets expects its reader to have."""
    random = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        (folder / "my_photos" / split).mkdir(parents=True)
        for number in range(count):
            coarse = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
            pixels = cv2.resize(coarse, (72, 64), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / "my_photos" / split / f"{number}.png"), pixels)


def bench(*words: str) -> str:
    """`bench <words>` in this process, which must end well."""
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    assert done.exit_code == exits.DONE, f"bench {' '.join(words)}\n{done.output}"
    return done.output


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_of_a_guide_runs(kind: str, tmp_path: Path) -> None:
    text = text_of(kind)
    plugin, suite, *_ = write_files(text, tmp_path)
    if kind == "dataset":
        write_photographs(tmp_path)
    ran = []
    with chdir(tmp_path):
        for line in commands(text):
            name, command, *words = shlex.split(line)
            assert name == "bench", line
            if command != "run":
                output = bench(command, *words)
            elif kind == RUN:
                output = bench("run", *words, *SMALL)
                assert "5 jobs done" in output
            else:
                output = bench("plan", words[0])
            ran.append((command, output))
    assert [command for command, _ in ran] == ["test", "check", "run"]
    assert f"{kind} " in ran[0][1]
    assert all(" promises kept (" in line for line in ran[0][1].splitlines())
    assert ran[1][1].startswith(f"{suite}: ok, ")
    assert Path(plugin).stem == Path(suite).stem


def test_the_commands_on_training_data_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of("training_data").replace("/mnt/shared", str(tmp_path / "shared"))
    assert write_files(text, tmp_path) == ["blind.yaml"]
    stored = PreparedSet(dataset=PartRef(name="photos", digest=Photos().fingerprint()), split="test")
    prepare_set(stored, REGISTRY, tmp_path / "here")
    with chdir(tmp_path):
        lines = [line for line in commands(text) if not line.startswith("export PRIORBENCH_DATA=")]
        checked, planned, *moved = [shlex.split(line)[1:] for line in lines]
        assert bench(*checked).startswith("blind.yaml: ok, 1 cell")
        assert "train gaussian_denoise drunet base seed 0" in bench(*planned)
        monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "here"))
        listed, pushed = bench(*moved[0]), bench(*moved[1])
        monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "there"))
        pulled = bench(*moved[2])
    assert stored.name in listed
    assert f"{stored.name}/test" in pushed
    there = open_set(stored, tmp_path / "there")
    assert not list(there.folder.glob("*.tar"))
    assert there.image(0, "gt").shape == (300, 451, 3)
    assert f"{stored.name}/test" in pulled


@pytest.mark.parametrize(("kind", "traits"), KINDS.items())
def test_every_trait_is_explained(kind: str, traits: type[Traits]) -> None:
    common = {item.name for item in fields(Traits)}
    table = text_of(kind).split("| trait | meaning |")[1].split("\n\n")[0]
    explained = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert explained == [item.name for item in fields(traits) if item.name not in common]
    assert set(re.findall(r"^\| `(\w+)` \|", text_of("index"), re.M)) == common


def test_the_index_names_all_guides_and_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of("index")
    linked = re.findall(r"\]\((\w+)\.md\)", text)
    assert {*KINDS, "glossary"} <= {*linked} == {path.stem for path in DOCS.glob("*.md")} - {"index"}
    with chdir(tmp_path):
        outputs = [bench(*shlex.split(line)[1:]) for line in commands(text)]
    assert len(outputs) == 3
    assert "all " in outputs[1]
    assert "my_prior" in outputs[2]
    assert write_files(text, tmp_path) == ["test_mine.py"]
    monkeypatch.syspath_prepend(str(tmp_path))
    verdict = run_contract(import_module("test_mine").TestMyPrior)
    assert len(verdict.checks) >= 10
    assert not verdict.broken


def test_links_lead_somewhere() -> None:
    for path in DOCS.glob("*.md"):
        links = [link for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")) if "://" not in link]
        assert not [link for link in links if not (path.parent / link).exists()], path.name


def test_the_glossary_explains_the_words_of_suites() -> None:
    words = set(re.findall(r"^\| ([^|]+?) \|", text_of("glossary"), re.M))
    assert {*KINDS} - {"dataset"} <= words
    assert {"data set", "cell", "job", "record", "suite", "variant", "regime", "placement", "stage", "Î", "Ī"} <= words
