"""Whatever is trained or tested on examples says so, under every name that a suite may give it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.library import Note, write_note
from harness.api.reference import EXAMPLE, PartRef
from harness.cells.suite import ResolvedSuite
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.records.labels import samples_digest
from harness.results.columns import column_of
from harness.spec.expand import expand
from harness.spec.parse import load_suite

NET = "{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1], label: small}"
LEARNED = (
    "{refiner: ptg_rm, prior: {name: restoration, source: {task: low_light, backbone: " + NET + ", dataset: lol_v1}}}"
)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRIORBENCH_DATA", str(tmp_path / "library"))
    return tmp_path / "library"


def prepared(library: Path, digest: str, *names: str) -> None:
    for name in names:
        ref = PartRef(name=name, digest=digest + "0" * 20)
        write_note(Note(dataset=ref, splits={"train": 3, "test": 2}), library)


def expanded(folder: Path, *blocks: str) -> ResolvedSuite:
    file = folder / "suite.yaml"
    listed = "".join(f"  - {{{block}}}\n" for block in blocks)
    file.write_text(
        f"suite: s\ndefaults: {{backbone: {NET}, recipe: {{steps: 4, batch: 2, patch: 32}}}}\nblocks:\n{listed}"
    )
    return expand(load_suite(str(file)), REGISTRY)


def rows(suite: ResolvedSuite) -> list[str]:
    told = {f"{each.labels.task} | {each.labels.backbone} | {each.labels.variant}": None for each in suite.cells}
    return list(told)


def columns(suite: ResolvedSuite) -> set[str]:
    found = [column_of(test, "p/v1", "0", "psnr") for each in suite.cells for test in each.tests]
    return {suite.dataset_labels.get(each.dataset_digest, each.dataset) for each in found}


def test_cells_trained_on_examples_and_their_input_say_so_in_rows_columns_and_titles(
    library: Path, tmp_path: Path
) -> None:
    prepared(library, EXAMPLE, "lol_v1")
    suite = expanded(tmp_path, "task: low_light, dataset: lol_v1")
    assert rows(suite) == ["low_light (example) | input | input", "low_light (example) | small | base"]
    assert columns(suite) == {"lol_v1 (example)"}
    graph = build_graph(suite.cells, suite.metrics, (), REGISTRY)
    titles = [graph.title(job) for job in graph.nodes]
    assert len(titles) == 5
    assert all("(example)" in title for title in titles)


def test_the_downloaded_set_has_no_mark(library: Path, tmp_path: Path) -> None:
    prepared(library, "", "lol_v1")
    suite = expanded(tmp_path, "task: low_light, dataset: lol_v1")
    assert rows(suite) == ["low_light | input | input", "low_light | small | base"]
    assert columns(suite) == {"lol_v1"}


def test_no_label_of_a_suite_hides_it(library: Path, tmp_path: Path) -> None:
    prepared(library, EXAMPLE, "lol_v1")
    named = "task: {name: low_light, label: Dark}, dataset: {name: lol_v1, label: LOL}, variant: {label: ours}"
    suite = expanded(tmp_path, named)
    assert rows(suite) == ["Dark (example) | input | input", "Dark (example) | small | ours"]
    assert columns(suite) == {"LOL (example)"}
    again = expanded(tmp_path, named.replace("LOL", "LOL (example)").replace("Dark", "Dark (example)"))
    assert (rows(again), columns(again)) == (rows(suite), columns(suite)), "and none says it twice"


def test_a_cell_whose_prior_learned_from_examples_says_so(library: Path, tmp_path: Path) -> None:
    prepared(library, EXAMPLE, "lol_v1")
    suite = expanded(tmp_path, f"task: gaussian_denoise, dataset: photos, matrix: {{variant: [base, {LEARNED}]}}")
    assert rows(suite) == [
        "gaussian_denoise | input | input",
        "gaussian_denoise | small | base",
        "low_light (example) | small | base",
        "gaussian_denoise | small | ptg_rm+restoration (example)",
    ]
    assert columns(suite) == {"photos"}


def test_examples_that_are_only_tested_on_mark_their_column(library: Path, tmp_path: Path) -> None:
    prepared(library, EXAMPLE, "cbsd68")
    both = expanded(tmp_path, "task: gaussian_denoise, dataset: photos, test: [photos, cbsd68]")
    assert rows(both) == ["gaussian_denoise | input | input", "gaussian_denoise | small | base"]
    assert columns(both) == {"photos", "cbsd68 (example)"}
    alone = expanded(tmp_path, "task: gaussian_denoise, dataset: photos, test: [cbsd68]")
    assert {each.split(" | ")[0] for each in rows(alone)} == {"gaussian_denoise (example)"}
    [samples] = {samples_digest(test.samples()) for each in alone.cells for test in each.tests}
    assert samples in {samples_digest(test.samples()) for each in both.cells for test in each.tests}


def test_rows_of_examples_and_of_real_images_are_not_in_one_section(library: Path, tmp_path: Path) -> None:
    prepared(library, EXAMPLE, "div2k")
    suite = expanded(
        tmp_path, "task: gaussian_denoise, matrix: {dataset: [photos, {name: div2k, label: D}]}, test: [photos]"
    )
    assert rows(suite) == [
        "gaussian_denoise | input | input",
        "gaussian_denoise | small | base",
        "gaussian_denoise (example) | small | base",
    ]


def test_rules_take_the_name_as_tables_show_it(library: Path, tmp_path: Path) -> None:
    prepared(library, EXAMPLE, "lol_v1")
    blocks = "matrix: {task: [low_light, gaussian_denoise]}, dataset: lol_v1, exclude: [{task: %s}]"
    for called in ("low_light", "low_light (example)"):
        suite = expanded(tmp_path, blocks % called)
        assert {each.cell.task.name for each in suite.cells} == {"gaussian_denoise"}
