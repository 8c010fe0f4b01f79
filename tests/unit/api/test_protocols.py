"""The protocol that a task is scored under."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.protocols import RGB_UINT8, Y_UINT8, protocol_of
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.core.errors import UnknownName
from harness.core.registry import Entry, Registry
from harness.parts.catalogue import REGISTRY

TASKS = '''
from harness.api.task import EvaluationProtocol, TaskTraits

class Own:
    """Scored in its own way."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("mine", 3, border=4))

class Misspelt:
    """Names a protocol that does not exist."""

    traits = TaskTraits(degradation="rain", protocol="rgb_uint")
'''


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    file = tmp_path / "tasks.py"
    file.write_text(TASKS)
    return REGISTRY.extended([Entry("task", name.lower(), f"{file}:{name}") for name in ("Own", "Misspelt")])


def test_a_task_names_one(registry: Registry) -> None:
    assert protocol_of(registry, PartRef(name="low_light")) is RGB_UINT8
    assert protocol_of(registry, PartRef(name="derain", options={"length": 30})) is Y_UINT8


def test_a_task_brings_its_own(registry: Registry) -> None:
    assert protocol_of(registry, PartRef(name="own")) == EvaluationProtocol("mine", 3, border=4)


def test_unknown_names_get_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownName, match="no protocol is called 'rgb_uint'") as caught:
        protocol_of(registry, PartRef(name="misspelt"))
    assert caught.value.where == "task misspelt"
    assert "'rgb_uint8'" in caught.value.hint
    with pytest.raises(UnknownName, match="no task is called 'low_lite'"):
        protocol_of(registry, PartRef(name="low_lite"))
