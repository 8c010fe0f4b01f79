"""When the cells that a run makes again are swapped in: once they are whole and nothing reads their new folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.cells.cell import evaluation_id
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.planning.job import EvaluateWork, Job
from harness.planning.plan import Plan
from harness.records import anew, store
from harness.records.model import RunRecord


class Remakes:
    """Counts, for each cell that is made again, its own jobs that are not done and the open jobs that read it."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._layout = layout
        self._anew, self._rescored = plan.anew, plan.rescore
        made = {*plan.anew, *plan.rescore}
        self._missing: Counter[str] = Counter()
        """By cell, its own jobs that have to be done before it is whole. Those that cannot run here do not count:
        planning holds back the cells that would lose something by that."""
        self._readers: Counter[str] = Counter()
        self._stale: set[str] = set()
        for planned in plan.jobs:
            cell_id = planned.job.cell_id
            if not planned.runs:
                continue
            self._readers.update(planned.job.anew)
            if cell_id in made:
                self._missing[str(cell_id)] += 1
            if cell_id is not None and planned.state == "stale":
                self._stale.add(cell_id)
        self._whole: set[str] = set()

    def begin(self) -> None:
        """Makes the new folders. Raises HarnessError (kind `storage`)."""
        for cell_id in self._anew:
            anew.begin(self._layout, cell_id, keep_training=False)
        for cell_id in self._rescored:
            anew.begin(self._layout, cell_id, keep_training=True)

    def ended(self, job: Job, *, done: bool) -> list[str]:
        """Notes that a job will not run any more; gives the cells whose new folder took the place of the old one."""
        own = job.cell_id
        if own is not None and own in job.anew and (done or self._all_tried(job)):
            self._missing[own] -= 1
            if self._missing[own] == 0:
                anew.mark_whole(self._layout, own)
                self._whole.add(own)
        self._readers.subtract(job.anew)
        return self._swap([cell_id for cell_id in job.anew if self._readers[cell_id] == 0])

    def end(self) -> list[str]:
        """Swaps in what is whole, when no job runs any more, and removes new folders that nothing was written into."""
        swapped = self._swap(sorted(self._whole))
        for cell_id in (*self._anew, *self._rescored):
            anew.drop_empty(self._layout, cell_id)
        return swapped

    def _swap(self, cells: Sequence[str]) -> list[str]:
        ready = [cell_id for cell_id in cells if cell_id in self._whole]
        for cell_id in ready:
            anew.swap(self._layout, cell_id)
            self._whole.discard(cell_id)
        return ready

    def _all_tried(self, job: Job) -> bool:
        """Whether a failed evaluation has tried all, and has no value less than the old record that is still good.

        What could not be scored is on record with the reason. Values of a cell that is forced are still good. Those of
        one that is only scored again may be, unless the metric refuses an image for good. Those of a cell that is
        stale because it has to be trained again are not.
        """
        work = job.work
        if not isinstance(work, EvaluateWork):
            return False
        plain = Layout(self._layout.out, self._layout.data)
        new, old = _sound(replace(plain, anew=frozenset(job.anew)), work.cell.id), _sound(plain, work.cell.id)
        if new is None:
            return False
        tried = {(each.id, key) for each in new.evaluations for key in (*each.metrics, *each.left_out)}
        asked = {
            (evaluation_id(work.cell, samples, protocol), metric.key)
            for samples, protocol in work.evaluations(work.protocols)
            for metric in work.metrics
        }
        if not asked or not asked <= tried:
            return False
        if old is None or (work.cell.id in self._stale and work.cell.id in self._anew):
            return True
        refused = {(each.id, key) for each in new.evaluations for key in each.refused}
        return _values(old) <= _values(new) | (refused if work.cell.id in self._stale else set())


def _sound(layout: Layout, cell_id: str) -> RunRecord | None:
    """A cell's record; None when there is none that can be read."""
    try:
        return store.load(layout, cell_id)
    except HarnessError:
        return None


def _values(record: RunRecord) -> set[tuple[str, str]]:
    """The (evaluation, metric) pairs that have values."""
    return {(each.id, key) for each in record.evaluations for key in each.metrics}
