"""Metrics as a resolved suite holds them."""

from __future__ import annotations

from harness.api.reference import PartRef
from harness.cells.suite import SuiteMetric


def plain_metric(name: str) -> SuiteMetric:
    """A metric without options, of version 1."""
    return SuiteMetric(part=PartRef(name=name), key=name, label=name)
