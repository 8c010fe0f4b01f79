"""In which order jobs start that could: the plan's, but the trainings that take longest before others, and those that
share prior vectors next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.planning.job import EvaluateWork, ScoresWork, TogetherWork, TrainWork
from harness.planning.planned import PlannedJob
from harness.records.job_ids import job_id_of


def priorities(planned: Sequence[PlannedJob]) -> dict[str, int]:
    """The priority of each job by its id; lower goes first.

    The trainings change places among themselves: first those that are expected to take longest, with all that waits
    for them, so that no long one is left for the end, when the other machines have nothing to do. Those of unknown
    length follow. Of those that take equally long, the ones that read the same vectors go together, so that these are
    still in the memory of a machine; else they stand as in the plan. An evaluation goes with its training, as soon as
    it can, and the end of a training with the job that trained its cell beside others.
    """
    place = {each.id: at for at, each in enumerate(planned)}
    length = _lengths(planned)
    trainings = [each.id for each in planned if isinstance(each.job.work, TrainWork | TogetherWork)]
    near = _near(planned, place)
    longest = sorted(trainings, key=lambda job_id: (-length[job_id], near[job_id], place[job_id]))
    key = {job_id: (at, 0, at) for job_id, at in place.items()}
    key |= {job_id: (place[old], 0, place[job_id]) for job_id, old in zip(longest, trainings, strict=True)}
    for each in planned:
        for together in each.job.ahead:
            if together in key:
                key[each.id] = (key[together][0], 1, place[each.id])
    for each in planned:
        if isinstance(each.job.work, ScoresWork | EvaluateWork):
            own = job_id_of("train", each.job.work.cell.id)
            if own in key:
                key[each.id] = (key[own][0], 1, place[each.id])
    return {job_id: at for at, job_id in enumerate(sorted(key, key=lambda job_id: key[job_id]))}


def _near(planned: Sequence[PlannedJob], place: Mapping[str, int]) -> dict[str, int]:
    """Of each training the place of the first one that is made from the same images and cached vectors; its own for
    one that reads no vectors."""
    first: dict[tuple[str, ...], int] = {}
    found = {}
    for each in planned:
        work = each.job.work
        if isinstance(work, TogetherWork):
            found[each.id] = place[each.id]
        if isinstance(work, TrainWork):
            cells = {job_id_of("train", cell.id) for cell in work.cell.requires}
            sets = tuple(needed for needed in each.job.depends if needed not in cells)
            cached = work.cell.variant.prior is not None and work.cell.variant.features != "live"
            found[each.id] = first.setdefault(sets, place[each.id]) if cached else place[each.id]
    return found


def _lengths(planned: Sequence[PlannedJob]) -> dict[str, float]:
    """Expected seconds of each job and of the longest chain that waits for it; what is unknown counts as nothing.

    The plan lists every job after those that it depends on.
    """
    length = {each.id: each.estimate_s or 0.0 for each in planned}
    after: dict[str, float] = {}
    for each in reversed(planned):
        length[each.id] += after.get(each.id, 0.0)
        for needed in each.job.depends:
            if needed in length:
                after[needed] = max(after.get(needed, 0.0), length[each.id])
    return length
