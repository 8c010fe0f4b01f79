"""What a cell whose evaluations are made again has on record of test sets that are not the same any more."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cells.cell import evaluation_id
from harness.planning.assess import Assessment
from harness.planning.job import EvaluateWork
from harness.planning.look import changed_tests
from harness.planning.nodes import HeldOut, JobNode
from harness.records.model import vectors_of
from harness.records.remake import Outdated


def outdated_of(cell_id: str, assessment: Assessment) -> Outdated:
    """The evaluations of test sets whose images or prior vectors were made anew, by what the suite knows of them.

    Of a set of that name that is scored in a way which this suite does not know, nobody can tell whether it is the
    same: such an evaluation counts as outdated.
    """
    graph, disk = assessment.graph, assessment.disk
    record, job = disk.kept[cell_id].record, f"evaluate-{cell_id}"
    if record is None or job not in graph.nodes:
        return Outdated()
    node = graph.nodes[job]
    images, vectors = changed_tests(record, node.tests, graph, disk)
    changed = [test for test in node.tests if test in images or test in vectors]
    named = {(test.samples.dataset.called, test.samples.split) for test in changed}
    sound = _evaluations(node, [test for test in node.tests if test not in changed])
    ids = [each.id for each in record.evaluations if (each.dataset, each.split) in named and each.id not in sound]
    stored = [each for test in images for each in (test.samples.stored, test.samples.stored.source) if each is not None]
    sets = dict.fromkeys(f"{each.name}/{each.split}" for each in stored)
    work = node.work
    assert isinstance(work, EvaluateWork)
    wanted = [work.cell.test_features(test.samples) for test in vectors]
    rows = [vectors_of(features.name) for features in wanted if features is not None]
    return Outdated(evaluations=tuple(ids), data=(*sets, *rows))


def _evaluations(node: JobNode, tests: Iterable[HeldOut]) -> set[str]:
    """The ids of the evaluations of some test sets of an evaluate job."""
    work = node.work
    assert isinstance(work, EvaluateWork)
    samples = [test.samples for test in tests]
    return {evaluation_id(work.cell, each, by) for each, by in work.evaluations(work.protocols) if each in samples}
