"""`bench new suite`: a suite of the user's choice, which passes the check as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import exits
from harness.cli.new_suite import Choices, suite_text
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite
from harness.recipes.presets import network_presets
from tests.unit.cli.results import bench

PRIORS = REGISTRY.names("prior")


def test_the_default_suite_compares_with_its_base_and_a_control(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    made = bench("new", "suite", file)
    assert made.exit_code == 0, made.output
    assert made.output == f"{file}: 9 trainings\n  check it: bench check {file}\n  run it:   bench run {file}\n"
    checked = bench("check", file)
    assert (checked.exit_code, "9 cells (1 task, 1 backbone, 3 variants, 3 seeds)" in checked.output) == (0, True)
    suite, _ = open_suite(str(file))
    assert {cell.labels.variant for cell in suite.cells} == {"input", "base", "ptg_rm+nss", "ptg_rm+shuffled(nss)"}


@pytest.mark.parametrize("backbone", REGISTRY.names("backbone"))
def test_every_network_gives_a_suite(tmp_path: Path, backbone: str) -> None:
    file = tmp_path / f"{backbone}.yaml"
    made = bench("new", "suite", file, "--backbone", backbone, "--task", "gaussian_denoise")
    assert made.exit_code == 0, made.output
    text = file.read_text()
    assert ("{preset: proxy}" in text) == ("proxy" in network_presets(backbone))
    official = "gaussian_denoise" in network_presets(backbone)
    assert ("on a GPU: {preset: official}" in text) == official


@pytest.mark.parametrize("prior", PRIORS)
def test_every_prior_gives_a_suite(tmp_path: Path, prior: str) -> None:
    file = tmp_path / "mine.yaml"
    made = bench("new", "suite", file, "--prior", prior)
    assert made.exit_code == 0, made.output
    suite, _ = open_suite(str(file))
    used = {cell.cell.variant.prior.name for cell in suite.cells if cell.cell.variant.prior is not None}
    assert prior in used
    assert used & {"shuffled", "random"}, "there is a control"
    assert ("needs weights: bench weights fetch clip" in file.read_text()) == (prior == "clip")


def test_several_priors_of_the_users_own_too(tmp_path: Path) -> None:
    assert bench("new", "prior", tmp_path / "tint.py").exit_code == 0
    file = tmp_path / "suites" / "mine.yaml"
    file.parent.mkdir()
    made = bench("new", "suite", file, "--prior", "tint", "--prior", "nss", "--plugin", tmp_path / "tint.py")
    assert made.exit_code == 0, made.output
    assert "plugins: ['../tint.py']" in file.read_text()
    assert bench("check", file).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine.txt",), "written to a .yaml file"),
        (("no/mine.yaml",), "there is no such folder"),
        (("there.yaml",), "this file exists already"),
        (("mine.yaml", "--task", "low_ligth"), "did you mean 'low_light'"),
        (("mine.yaml", "--backbone", "nafnett"), "did you mean 'nafnet'"),
        (("mine.yaml", "--prior", "cilp"), "did you mean 'clip'"),
        (("mine.yaml", "--dataset", "photo"), "did you mean 'photos'"),
        (("mine.yaml", "--plugin", "none.py"), "there is no such file"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("suite: there\n")
    made = bench("new", "suite", *arguments)
    assert (made.exit_code, said in made.output) == (exits.WRONG, True), made.output
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "suite: there\n"


def test_names_that_yaml_would_read_otherwise_are_quoted() -> None:
    text = suite_text("true", Choices("low_light", "nafnet", ("nss",), "photos"), REGISTRY)
    assert "\nsuite: 'true'\n" in text


def test_a_data_set_of_folders_gets_places_for_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    made = bench("new", "suite", file, "--dataset", "folder")
    assert made.exit_code == 0, made.output
    assert "  dataset: {name: folder, gt: FOLDER}    # put yours for what is in capitals" in file.read_text()
    checked = bench("check", file, "--quick")
    assert checked.exit_code == 0, checked.output
    assert f"data set folder: {tmp_path}/FOLDER: gt: there is no such folder" in checked.stderr
    file.write_text(file.read_text().replace("{name: folder, gt: FOLDER}", "folder"))
    assert "dataset folder needs the option 'gt' · try: add gt: FOLDER" in bench("check", file).stderr
