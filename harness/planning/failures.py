"""Which failed job keeps others from running."""

from __future__ import annotations

from collections.abc import Mapping

from harness.planning.assess import Assessment
from harness.planning.verdict import Reason, Why

Failed = tuple[str, Reason]
"""A job whose last attempt failed, and why."""


def failed_before(assessment: Assessment) -> dict[str, Failed]:
    """For each job that waits for one whose last attempt failed: the first such job."""
    found: dict[str, Failed] = {}
    for job, node in assessment.graph.nodes.items():
        failed = next((each for needed in node.depends if (each := _failure(needed, assessment, found))), None)
        if failed is not None:
            found[job] = failed
    return found


def _failure(job: str, assessment: Assessment, before: Mapping[str, Failed]) -> Failed | None:
    """The failure of a job, else of one that it waits for; None when there is none."""
    verdict = assessment.verdicts[job]
    if verdict.runs and verdict.reason is not None and verdict.reason.kind is Why.FAILED:
        return job, verdict.reason
    return before.get(job)


def lost_sets(evaluate: str | None, assessment: Assessment, before: Mapping[str, Failed]) -> dict[str, str]:
    """Why each test set of an evaluate job cannot be prepared, by the name of its data set; none of the others."""
    if evaluate is None or not assessment.verdicts[evaluate].runs:
        return {}
    lost: dict[str, str] = {}
    for test in assessment.graph.nodes[evaluate].tests:
        failed = next((each for job in test.jobs if (each := _failure(job, assessment, before))), None)
        if failed is not None:
            lost.setdefault(test.samples.dataset.called, failed_words(failed, assessment))
    return lost


def failed_words(failed: Failed, assessment: Assessment) -> str:
    """Which job failed, why, and where its log lies."""
    job, why = failed
    return f"{assessment.graph.title(job)} {why} · log: {assessment.disk.layout.job_log(job)}"
