"""The kinds of parts that suites name, and what the parts of each declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Literal

from harness.api.backbone import BackboneTraits
from harness.api.dataset import DatasetTraits
from harness.api.degradation import DegradationTraits
from harness.api.loss import LossTraits
from harness.api.metric import MetricTraits
from harness.api.prior import PriorTraits
from harness.api.refiner import RefinerTraits
from harness.api.source import Count, Files, Group, Layout, Shared, Source
from harness.api.task import EvaluationProtocol, TaskTraits
from harness.api.traits import (
    Above,
    Conflict,
    FromOption,
    LossUse,
    OwnFile,
    Published,
    Rule,
    StageUse,
    Traits,
    Unless,
    When,
)

Kind = Literal["dataset", "degradation", "task", "prior", "backbone", "refiner", "loss", "metric"]

KINDS: Mapping[str, type[Traits]] = {
    "dataset": DatasetTraits,
    "degradation": DegradationTraits,
    "task": TaskTraits,
    "prior": PriorTraits,
    "backbone": BackboneTraits,
    "refiner": RefinerTraits,
    "loss": LossTraits,
    "metric": MetricTraits,
}
"""The traits class of each kind."""

VALUES = (
    When, Unless, Above, FromOption, Conflict, Rule, Published, OwnFile, LossUse, StageUse, EvaluationProtocol,
    Source, Layout, Files, Group, Count, Shared,
)  # fmt: skip
"""The classes whose calls may stand in traits, besides plain literals."""

ONLY_IN_TRAITS = frozenset({"VERSION", "name"}) | {item.name for traits in KINDS.values() for item in fields(traits)}
"""Names that belong in the traits; a part that sets one as another attribute is refused."""
