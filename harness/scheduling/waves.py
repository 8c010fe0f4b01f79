"""The jobs of a plan in waves, for batch systems that run many small jobs and allow no daemon of one's own."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.errors import HarnessError
from harness.core.paths import Layout, write_text
from harness.planning.job import Job
from harness.planning.plan import Plan
from harness.planning.together import apart
from harness.scheduling.backlog import Backlog

LIST = "wave-{}.txt"
"""Name of the list of a wave's job files, in the folder of job files."""


def waves(plan: Plan) -> Iterator[list[Job]]:
    """The jobs that are to be run, those first that need no other, then those that need only these, and so on.

    Within a wave they are in the plan's order. Jobs that need a blocked one are in none. Every cell is trained by
    itself: a batch system starts a wave when the one before has succeeded, and a job that trains several cells may fail
    without harm to them.
    """
    backlog = Backlog(apart(plan.jobs))
    wave = backlog.first()
    while wave:
        yield wave
        wave = sorted((ready for job in wave for ready in backlog.done(job)), key=backlog.priority)


def write_waves(plan: Plan, layout: Layout) -> list[tuple[str, int]]:
    """Writes every job file of the plan, and for each wave the list of its files; gives (path of the list, jobs) each.

    To be called under the folder's lock. Lists of an earlier plan are removed. Raises HarnessError when cells are to be
    made again beside their old results: when they may take their place is known only to who sees all jobs end.
    """
    if again := {*plan.anew, *plan.rescore}:
        raise HarnessError(
            f"{len(again)} cell{'s are' if len(again) > 1 else ' is'} to be made again, which single jobs cannot do",
            where=str(layout.out),
            hint="`bench run SUITE` does it, with --executor local without Ray; or another --out",
        )
    folder = layout.out / "jobs"
    for old in folder.glob(LIST.format("*")):
        old.unlink()
    written = []
    for number, wave in enumerate(waves(plan), 1):
        for job in wave:
            write_text(layout.job_file(job.id), job.model_dump_json(indent=1) + "\n")
        place = folder / LIST.format(number)
        write_text(place, "".join(f"{layout.job_file(job.id)}\n" for job in wave))
        written.append((str(place), len(wave)))
    return written
