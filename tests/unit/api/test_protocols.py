"""The protocol that a task is scored under."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.declaration import declaration
from harness.api.protocols import (
    GAUSSIAN_FIELD,
    PROTOCOLS,
    RGB_UINT8,
    SIDD,
    Y_UINT8,
    known_protocols,
    protocol_of,
    protocols_of,
)
from harness.api.reference import PartRef
from harness.api.sets import FeatureSet, PreparedSet
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell, evaluation_id
from harness.core.errors import SpecErrors, UnknownName
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import REGISTRY

TASKS = '''
from harness.api.task import EvaluationProtocol, TaskTraits

class Own:
    """Scored in its own way."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=4))

class Same:
    """Scored in the same way."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=4))

class Other:
    """Scored in another way of the same name."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=8))

class Misspelt:
    """Names a protocol that does not exist."""

    traits = TaskTraits(degradation="rain", protocol="rgb_uint")

class Drawn:
    """Wants noise of a degradation that cannot be drawn so."""

    traits = TaskTraits(degradation="rain", protocol="gaussian_field")
'''


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    file = tmp_path / "tasks.py"
    file.write_text(TASKS)
    return REGISTRY.extended(
        [Entry("task", name.lower(), f"{file}:{name}") for name in ("Own", "Same", "Other", "Misspelt", "Drawn")]
    )


def test_a_task_names_one(registry: Registry) -> None:
    assert protocol_of(registry, PartRef(name="low_light")) is RGB_UINT8
    assert protocol_of(registry, PartRef(name="derain", options={"length": 30})) is Y_UINT8


def test_a_task_brings_its_own(registry: Registry) -> None:
    assert protocol_of(registry, PartRef(name="own")) == EvaluationProtocol("mine", 3, border=4)


def test_a_suites_protocols_stand_in_place_of_the_tasks_own(registry: Registry) -> None:
    assert protocols_of(registry, PartRef(name="derain"), ()) == (Y_UINT8,)
    assert protocols_of(registry, PartRef(name="derain"), (SIDD, RGB_UINT8)) == (SIDD, RGB_UINT8)


def test_a_suite_may_name_the_protocols_that_plug_ins_bring(registry: Registry) -> None:
    built_in = dict.fromkeys(PROTOCOLS.values(), ())
    assert known_protocols(REGISTRY) == built_in
    own, other = EvaluationProtocol("mine", 3, border=4), EvaluationProtocol("mine", 3, border=8)
    assert known_protocols(registry) == {**built_in, own: ("own", "same"), other: ("other",)}


def test_a_task_whose_degradation_cannot_be_drawn_so_is_refused(registry: Registry) -> None:
    with pytest.raises(SpecErrors, match="rain cannot draw its random numbers as gaussian_field says") as caught:
        declaration(registry, "task", "drawn")
    (problem,) = caught.value.problems
    assert (problem.path, problem.hint) == ("Drawn.traits", "draw is one of named")


def test_ids_of_earlier_releases_stay() -> None:
    """The values are those of the release before `draw` and `mean` existed."""
    data = PartRef(name="photos", digest="d")
    task = PartRef(name="low_light", derived_from=PartRef(name="low_light"))
    samples = PreparedSet(dataset=data, task=task, split="test")
    cell = Cell(task=task, train=data, backbone=None)
    assert samples.name == "photos.low_light.5edb50ea937a"
    assert FeatureSet(prior=PartRef(name="nss"), samples=samples, reference=samples).digest == "4bd25dd5a51e"
    assert evaluation_id(cell, samples, RGB_UINT8) == "54ea72a9042d"
    assert evaluation_id(cell, samples, Y_UINT8) == "53ab3b61a763"


def test_another_draw_is_another_set_and_another_mean_another_evaluation() -> None:
    cell = Cell(task=PartRef(name="low_light"), train=PartRef(name="photos"), backbone=None)
    samples = cell.test_set(cell.train)
    drawn = cell.test_set(cell.train, draw=GAUSSIAN_FIELD.draw)
    assert samples.draw == "named"
    assert drawn.draw == "seed0"
    assert drawn.name != samples.name
    assert PreparedSet.model_validate_json(samples.model_dump_json(exclude={"draw"})) == samples
    protocols = [EvaluationProtocol("p", 1), EvaluationProtocol("p", 1, mean="scene")]
    assert len({evaluation_id(cell, samples, protocol) for protocol in protocols}) == 2


def test_unknown_names_get_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownName, match="no protocol is called 'rgb_uint'") as caught:
        protocol_of(registry, PartRef(name="misspelt"))
    assert caught.value.where == "task misspelt"
    assert "'rgb_uint8'" in caught.value.hint
    with pytest.raises(UnknownName, match="no task is called 'low_lite'"):
        protocol_of(registry, PartRef(name="low_lite"))
