"""Published numbers in a suite: which cell they are about, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.suite import ResolvedSuite
from harness.core.errors import SpecErrors
from harness.parts.catalogue import REGISTRY
from harness.spec.expand import expand
from harness.spec.parse import load_suite
from tests.small_weights import use_registry

NET = "{name: nafnet, weights: small/net}"
NUMBER = "{test: photos, metric: psnr, protocol: rgb_uint8, value: 25.5, source: page 7}"
SUITE = """
suite: s
defaults: {{dataset: photos, task: gaussian_denoise}}
blocks:
  - backbone: {backbone}
    test_options: [{{sigma: 15}}, {{sigma: 25}}]
    published: [{numbers}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_registry(monkeypatch, tmp_path)


def read(folder: Path, numbers: str, backbone: str = NET) -> ResolvedSuite:
    file = folder / "suite.yaml"
    file.write_text(SUITE.format(backbone=backbone, numbers=numbers))
    return expand(load_suite(str(file)), REGISTRY)


def mistakes(folder: Path, numbers: str, backbone: str = NET) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        read(folder, numbers, backbone)
    return [str(problem) for problem in caught.value.problems]


def test_a_number_is_about_the_blocks_network_and_changes_no_identity(tmp_path: Path) -> None:
    known, bare = read(tmp_path, NUMBER.replace("value", "options: {sigma: 15}, value")), read(tmp_path, "")
    assert [entry.cell.id for entry in known.cells] == [entry.cell.id for entry in bare.cells]
    (number,) = known.published
    (network,) = (entry for entry in known.cells if entry.cell.backbone)
    assert (number.cell, number.test, number.metric, number.protocol) == (
        network.cell.id,
        "photos",
        "psnr",
        "rgb_uint8",
    )
    assert (number.value, number.source) == (25.5, "page 7")
    assert number.condition in [test.condition for test in network.tests]
    assert ResolvedSuite.model_validate_json(known.model_dump_json()) == known
    assert "published" not in bare.model_dump_json()


def test_every_mistake_is_found_with_its_place(tmp_path: Path) -> None:
    wrong = "{test: foto, metric: pnsr, protocol: y_uint8, value: 1.0, source: x}"
    found = mistakes(
        tmp_path, f"{NUMBER}, {wrong}, {{average: derain6, metric: psnr, protocol: y_matlab, value: 1, source: x}}"
    )
    assert [text.partition(" · ")[2].partition(" · try")[0] for text in found] == [
        "blocks.0.published.1.test · the block does not test on 'foto'",
        "blocks.0.published.1.metric · the suite has no metric 'pnsr'",
        "blocks.0.published.1.protocol · no protocol is called 'y_uint8'",
        "blocks.0.published.2.average · no mean over data sets is called 'derain6'",
    ]
    assert "it is now called y_matlab" in found[2]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("{metric: psnr, protocol: rgb_uint8, value: 1.0, source: x}", "expected `test` or `average`"),
        (NUMBER.replace("test: photos", "test: photos, average: derain5"), "expected `test` or `average`"),
        (NUMBER.replace("25.5", "'25.5'"), "value"),
        (NUMBER.replace("25.5", ".inf"), "value"),
        (NUMBER.replace("page 7", "''"), "source"),
        (NUMBER.replace("value", "valu"), "valu"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, number: str, said: str) -> None:
    assert any(said in text for text in mistakes(tmp_path, number))


def test_numbers_of_several_networks_are_refused(tmp_path: Path) -> None:
    seeds = f"{NET}\n    recipe: {{steps: 10}}\n    variant: {{refiner: ptg_rm, prior: nss, regime: from_base}}"
    assert any("published numbers are of one network" in text for text in mistakes(tmp_path, NUMBER, seeds))
