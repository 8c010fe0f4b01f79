"""When the cells that a run makes again are swapped in: once they are whole and nothing reads their new folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.cells.cell import evaluation_id
from harness.core.paths import Layout
from harness.planning.job import EvaluateWork, Job
from harness.planning.plan import Plan
from harness.records import anew
from harness.records.remake import Outdated, Remake, Value, is_whole


class Remakes:
    """Counts, for each cell that is made again, its own jobs that are not done and the open jobs that read it."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._layout = layout
        self._made, self._rescored = _remakes(plan), frozenset(plan.rescore)
        self._missing: Counter[str] = Counter()
        """By cell, its own jobs that have to be done before it is whole. Those that cannot run here do not count:
        planning holds back the cells that would lose something by that."""
        self._readers: Counter[str] = Counter()
        for planned in plan.jobs:
            cell_id = planned.job.cell_id
            if not planned.runs:
                continue
            self._readers.update(planned.job.anew)
            if cell_id in self._made:
                self._missing[str(cell_id)] += 1
        self._whole: set[str] = set()

    def begin(self) -> None:
        """Makes the new folders. Raises HarnessError (kind `storage`)."""
        for cell_id in self._made:
            anew.begin(self._layout, cell_id, self._made[cell_id])

    def ended(self, job: Job, *, done: bool) -> list[str]:
        """Notes that a job will not run any more; gives the cells whose new folder took the place of the old one.

        A failed evaluation counts as done when its cell is whole all the same: what could not be scored is on record
        with the reason, and no value is lost that is still good. A cell that is rescored is asked for that in any case.
        """
        own = job.cell_id
        if own is not None and own in job.anew and (done or is_whole(self._layout, own)):
            self._missing[own] -= 1
            if self._missing[own] == 0 and (own not in self._rescored or is_whole(self._layout, own)):
                anew.mark_whole(self._layout, own)
                self._whole.add(own)
        self._readers.subtract(job.anew)
        return self._swap([cell_id for cell_id in job.anew if self._readers[cell_id] == 0])

    def end(self) -> list[str]:
        """Swaps in what is whole, when no job runs any more, and removes new folders that nothing was written into."""
        swapped = self._swap(sorted(self._whole))
        for cell_id in self._made:
            anew.drop_empty(self._layout, cell_id)
        return swapped

    def _swap(self, cells: Sequence[str]) -> list[str]:
        ready = [cell_id for cell_id in cells if cell_id in self._whole]
        for cell_id in ready:
            anew.swap(self._layout, cell_id)
            self._whole.discard(cell_id)
        return ready


def _remakes(plan: Plan) -> dict[str, Remake]:
    """What each cell is made again for, by id.

    Values of a cell that is forced are still good. Those of one that is stale because it has to be trained again are
    not; those of one that is only scored again are, but for its changed test sets.
    """
    stale = {each.job.cell_id for each in plan.jobs if each.runs and each.state == "stale"}
    asked: dict[str, tuple[Value, ...]] = {
        each.job.work.cell.id: tuple(_asked(each.job.work))
        for each in plan.jobs
        if each.runs and isinstance(each.job.work, EvaluateWork)
    }
    made = {
        cell_id: Remake(purpose="train", asked=asked.get(cell_id, ()), keeps="nothing" if cell_id in stale else "asked")
        for cell_id in plan.anew
    }
    return made | {
        cell_id: Remake(
            purpose="rescore",
            asked=asked.get(cell_id, ()),
            keeps="all",
            outdated=plan.outdated.get(cell_id, Outdated()),
        )
        for cell_id in plan.rescore
    }


def _asked(work: EvaluateWork) -> Iterator[Value]:
    """The values that an evaluation is to try."""
    for samples, protocol in work.evaluations(work.protocols):
        for metric in work.metrics:
            if metric.is_measured(protocol):
                yield evaluation_id(work.cell, samples, protocol), metric.key
