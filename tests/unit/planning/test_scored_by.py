"""Which protocols score which test sets, and which metrics they ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.protocols import LOL_GTMEAN, NOISE_SEED0, RGB_FLOAT, RGB_UINT8, SIDD
from harness.api.reference import PartRef
from harness.cells.suite import SuiteMetric
from harness.core.paths import Layout
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import REGISTRY
from harness.planning.graph import build_graph
from harness.planning.job import EvaluateWork
from harness.planning.look import not_scored
from harness.planning.plan import make_plan
from tests.small_metrics import plain_metric
from tests.unit.records import made
from tests.unit.records.made import cell, listed, photos, suite

FOG = '''
from harness.api.dataset import DatasetTraits
from harness.api.source import Files, Layout, Source
from harness.parts.shared.declared.base import Declared

class Fog:
    """Scored in a way of its own."""

    traits = DatasetTraits(
        licence="none", pairs=True,
        source=Source(
            title="Fog", page="-", citation="-", size="-", counts={}, tasks=("low_light",), protocol="rgb_float",
            layouts=(Layout(name="official", of="nobody", splits={"test": Files(lq=("a/*",), gt=("b/*",))}),),
        ),
    )
'''
DARKNESS = SuiteMetric(part=PartRef(name="darkness"), key="darkness", label="darkness", reference="none")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    file = tmp_path / "fog.py"
    file.write_text(FOG)
    return REGISTRY.extended([Entry("dataset", "fog", f"{file}:Fog")])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "out", tmp_path / "out" / "data")


def work_of(registry: Registry, *protocols, task: str = "low_light") -> EvaluateWork:
    content = cell(task=made.task(task))
    tests = [photos(), PartRef(name="fog", digest="f")]
    graph = build_graph([listed(content, tests=tests)], [plain_metric("psnr")], protocols, registry)
    (evaluate,) = (node for node in graph.nodes.values() if node.kind == "evaluate")
    assert isinstance(evaluate.work, EvaluateWork)
    return evaluate.work


def scored(work: EvaluateWork) -> list[tuple[str, str]]:
    return [(samples.dataset.name, protocol.name) for samples, protocol in work.evaluations(work.protocols)]


def test_each_test_set_is_scored_under_its_own(registry: Registry) -> None:
    work = work_of(registry)
    assert work.protocols == (RGB_UINT8, RGB_FLOAT)
    assert scored(work) == [("photos", "rgb_uint8"), ("fog", "rgb_float")]
    again = EvaluateWork.model_validate_json(work.model_dump_json())
    assert (again, scored(again)) == (work, scored(work))
    smaller = work.model_copy(update={"tests": work.tests[1:]})
    assert scored(smaller) == [("fog", "rgb_float")], "a set that cannot be had is left out of the work"


def test_the_suites_protocols_score_all_test_sets(registry: Registry) -> None:
    work = work_of(registry, SIDD, RGB_UINT8)
    assert (work.protocols, work.own) == ((SIDD, RGB_UINT8), {})
    assert scored(work) == [(name, by) for name in ("photos", "fog") for by in ("sidd", "rgb_uint8")]


def test_a_task_that_the_data_set_is_not_for_keeps_its_own(registry: Registry) -> None:
    work = work_of(registry, task="derain")
    assert scored(work) == [("photos", "y_matlab"), ("fog", "y_matlab")]


def test_plan_and_table_agree_on_the_columns(registry: Registry, layout: Layout) -> None:
    """The one that asks, the one that looks for what is on record, and the one that shows it."""
    from harness.results.survey import _scored_by

    content = cell()
    asked = listed(content, tests=[photos(), PartRef(name="fog", digest="f")])
    for protocols in ((), (NOISE_SEED0, SIDD)):
        whole = suite(asked, protocols=protocols)
        shown = [(test.dataset.name, by.name) for test, by in _scored_by(asked, whole, registry)]
        assert shown == scored(work_of(registry, *protocols))


def test_metrics_without_reference_are_not_missed_where_they_say_nothing(layout: Layout) -> None:
    content = cell()
    record = made.finish(layout, content, made.values([20.0]), protocols=[RGB_UINT8, LOL_GTMEAN])
    planned = suite(listed(content), protocols=[RGB_UINT8, LOL_GTMEAN], metrics=("psnr",))
    whole = planned.model_copy(update={"metrics": (*planned.metrics, DARKNESS)})
    graph = build_graph(whole.cells, whole.metrics, whole.protocols, REGISTRY)
    (evaluate,) = (node for node in graph.nodes.values() if node.kind == "evaluate")
    assert not_scored(record, evaluate, (DARKNESS,)) == ["darkness of photos under rgb_uint8/v1"]
    alone = build_graph(whole.cells, whole.metrics, (LOL_GTMEAN,), REGISTRY)
    (evaluate,) = (node for node in alone.nodes.values() if node.kind == "evaluate")
    assert not_scored(record, evaluate, (DARKNESS,)) == []
    assert make_plan(planned, layout, REGISTRY).cells[0].state == "done"


def test_stored_suites_say_nothing_of_metrics_with_reference() -> None:
    assert "reference" not in plain_metric("psnr").model_dump_json()
    assert SuiteMetric.model_validate_json(DARKNESS.model_dump_json()) == DARKNESS
