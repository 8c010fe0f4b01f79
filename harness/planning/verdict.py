"""What planning says of a job: its state, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from harness.records.state import JobState


class Why(Enum):
    """The kinds of reasons."""

    FORCED = auto()
    NOT_NEEDED = auto()

    # of shards and features
    MANIFEST_DAMAGED = auto()
    MANIFEST_MISSING = auto()
    OTHER_CONTENT = auto()
    SAMPLES_CHANGED = auto()

    # of a cell's record
    NEWER_RELEASE = auto()
    DAMAGED = auto()
    FAILED = auto()
    INTERRUPTED = auto()
    NOT_ALL_SCORED = auto()
    TRAIN_IMAGES_CHANGED = auto()
    TEST_IMAGES_CHANGED = auto()
    CHECKPOINT_GONE = auto()
    TRAINED_AGAIN = auto()

    # of this machine
    LACKING = auto()
    NO_METRICS = auto()
    WAITS = auto()


_WORDS: Mapping[Why, str] = {
    Why.FORCED: "forced",
    Why.NOT_NEEDED: "not needed: all that would use it is done",
    Why.MANIFEST_DAMAGED: "{what}/manifest.json is damaged",
    Why.MANIFEST_MISSING: "its manifest is missing",
    Why.OTHER_CONTENT: "{what}/manifest.json describes something else",
    Why.SAMPLES_CHANGED: "its samples have been prepared anew since",
    Why.FAILED: "failed before ({what}): {detail}",
    Why.INTERRUPTED: "interrupted: goes on from its checkpoint",
    Why.NOT_ALL_SCORED: "evaluated before, not yet: {what}",
    Why.TRAIN_IMAGES_CHANGED: "its training images have been prepared anew and differ from those it saw",
    Why.TEST_IMAGES_CHANGED: "test images prepared anew since: {what}",
    Why.CHECKPOINT_GONE: "its checkpoint is gone and something needs it",
    Why.TRAINED_AGAIN: "its cell is trained again",
    Why.NO_METRICS: "the suite names no metrics",
    Why.WAITS: "waits for {what}: {detail}",
}
"""The words of each kind. The kinds that are not here say an error's own, `what`."""


@dataclass(frozen=True)
class Reason:
    """Why a job is in its state: the kind, for decisions, and what its words need. As text it is for people."""

    kind: Why
    what: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return _WORDS.get(self.kind, "{what}").format(what=self.what, detail=self.detail)


@dataclass(frozen=True)
class Verdict:
    """The state of a job and, unless it is plainly done or to do, why."""

    state: JobState
    reason: Reason | None = None

    @property
    def runs(self) -> bool:
        """Whether the job is to be run."""
        return self.state in ("todo", "stale")

    @property
    def words(self) -> str:
        """The reason for people; empty without one."""
        return "" if self.reason is None else str(self.reason)


TODO = Verdict("todo")
DONE = Verdict("done")


def stale(kind: Why, what: str = "") -> Verdict:
    """The verdict on what has to be made again."""
    return Verdict("stale", Reason(kind, what))
