"""Numbers that papers and repositories print of published networks, as a suite names them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.api.reference import Frozen


class PublishedNumber(Frozen):
    """One printed number of one cell. Never part of any identity, and never in a table's columns of measured ones."""

    cell: str
    """The id of the cell that it is about."""
    test: str
    """The data set's name; that of a mean over several sets (harness.api.averages) where `average`."""
    average: bool = False
    metric: str
    """The metric's key."""
    protocol: str
    """The name of the protocol by which it was taken."""
    value: float
    source: str
    """Where it is printed: a page, a table, a file."""
    group: str = ""
    """The group of the test set's images that it is a mean over; empty: all of them."""
    condition: dict[str, Any] = Field(default_factory=dict)
    """The options of the task with which the inputs were made."""
