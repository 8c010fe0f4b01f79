"""Test sets of the field that have no training split, under networks with published weights, which train nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from harness.cli import exits
from harness.data.example import write_example
from harness.parts.catalogue import REGISTRY
from tests.unit.cli.results import bench

NET = "{name: restormer, weights: restormer/deraining}"
SMALL = "{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}"
SUITE = "suite: s\nmetrics: [psnr]\nblocks:\n  - {{task: derain, dataset: rain100l, backbone: {}{}}}\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A library with Rain100L and CBSD68, and no weights."""
    place = tmp_path_factory.mktemp("field")
    with pytest.MonkeyPatch.context() as patch, chdir(place):
        for name in ("XDG_CACHE_HOME", "PRIORBENCH_DATA", "PRIORBENCH_WEIGHTS"):
            patch.setenv(name, str(place / name.lower()))
        for name in ("rain100l", "cbsd68"):
            write_example(REGISTRY, name, place / name)
            done = bench("data", "prepare", name, "--from", place / name, "--executor", "local")
            assert done.exit_code == exits.DONE, done.output
        yield place


def suite(place: Path, network: str, more: str = "") -> Path:
    file = place / "s.yaml"
    file.write_text(SUITE.format(network, more))
    return file


@pytest.mark.slow
def test_the_shipped_suite_is_in_order_once_its_test_sets_are_prepared(library: Path) -> None:
    done = bench("check", "published")
    assert done.exit_code == exits.DONE, done.output
    assert "published: ok, 56 cells" in done.stdout


def test_such_a_network_lacks_its_weights_alone(library: Path) -> None:
    done = bench("plan", suite(library, NET))
    assert "no split" not in done.output
    assert "backbone restormer needs restormer/deraining · try: bench weights fetch restormer/deraining" in " ".join(
        done.stdout.split()
    )
    assert "not prepared" not in done.output


def test_a_network_behind_a_prior_that_is_published_needs_none_either(library: Path) -> None:
    source = f"{{task: derain, dataset: rain100l, backbone: {NET}}}"
    prior = f"{{refiner: ptg_rm, prior: {{name: restoration, source: {source}}}}}"
    text = f"suite: s\nblocks:\n  - {{task: low_light, dataset: photos, backbone: {SMALL}, variant: {prior}}}\n"
    (library / "s.yaml").write_text(text + "defaults: {recipe: {steps: 2, batch: 1, patch: 32}}\n")
    done = bench("check", library / "s.yaml")
    assert done.exit_code == exits.DONE, done.output


@pytest.mark.parametrize(
    ("network", "more"),
    [
        (SMALL, ""),
        (NET, ", variant: base_continued"),
        (NET, ", variant: {refiner: ptg_rm, prior: nss}"),
        (NET, ", variant: {refiner: ptg_rm, prior: nss, regime: frozen}"),
    ],
)
def test_whatever_trains_on_one_is_a_mistake_all_the_same(library: Path, network: str, more: str) -> None:
    done = bench("check", suite(library, network, more + ", recipe: {steps: 2, batch: 1, patch: 32}"))
    assert done.exit_code == exits.WRONG
    assert "data set rain100l has no split 'train'" in done.output
