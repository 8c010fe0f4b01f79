"""Source files of parts, and what is wrong with them."""

from __future__ import annotations

import pytest

from harness.api.declaration import read_declaration
from harness.core.errors import SpecErrors

IMPORTS = """\
from typing import ClassVar, Final
from harness.api.backbone import BackboneTraits
from harness.api.loss import LossTraits
from harness.api.metric import MetricTraits
from harness.api.prior import PriorTraits
from harness.api.refiner import RefinerTraits
from harness.api.task import EvaluationProtocol, TaskTraits
from harness.api.traits import Conflict, LossUse, OwnFile, Published, StageUse, When
LINES = 10
"""
"""Ten lines: what follows begins at line 11."""


def mistakes(kind: str, target: str) -> list[tuple[int, str, str]]:
    """(line, what, hint) of every problem with a declaration."""
    with pytest.raises(SpecErrors) as caught:
        read_declaration(kind, target)
    assert all(problem.file == target.partition(":")[0] for problem in caught.value.problems)
    return [(problem.line, problem.what, problem.hint) for problem in caught.value.problems]
