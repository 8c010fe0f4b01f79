"""Which of the outcomes of a gang's processes is the job's. Imports no tensor library, as those who watch gangs ask."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.running import JobOutcome

GRACE = 1.0
"""Seconds after the first failure in which the others may still say why: the process whose connection broke may be
heard before the one that broke it."""


def decide(outcomes: Sequence[JobOutcome]) -> JobOutcome:
    """The job's outcome, of at least one of its processes', in the order in which they came.

    A reason of a process's own counts before a lost peer, of several reasons the one that is on record, else the first.
    """
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if failed:
        return min(failed, key=lambda outcome: (outcome.failure == "worker_lost", not outcome.noted))
    return min(outcomes, key=lambda outcome: outcome.rank)
