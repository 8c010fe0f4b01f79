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
    SET_DAMAGED = auto()
    OTHER_CONTENT = auto()
    SAMPLES_CHANGED = auto()
    PARENTS_CHANGED = auto()
    NETWORK_CHANGED = auto()
    INPUTS_MADE_AGAIN = auto()

    # of a cell's record
    NEWER_RELEASE = auto()
    UNREADABLE = auto()
    DAMAGED = auto()
    FAILED = auto()
    INTERRUPTED = auto()
    NOT_ALL_SCORED = auto()
    TRAIN_IMAGES_CHANGED = auto()
    TRAIN_VECTORS_CHANGED = auto()
    TEST_IMAGES_CHANGED = auto()
    TEST_VECTORS_CHANGED = auto()
    BASE_CHANGED = auto()
    SOURCE_CHANGED = auto()
    CHECKPOINT_GONE = auto()
    CHECKPOINT_DAMAGED = auto()
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
    Why.SET_DAMAGED: "{what} is damaged: {detail}",
    Why.OTHER_CONTENT: "{what}/manifest.json describes something else",
    Why.SAMPLES_CHANGED: "its samples have been prepared anew since",
    Why.PARENTS_CHANGED: "the vectors that it is made from have been made anew since",
    Why.NETWORK_CHANGED: "its prior's network (cell {what}) was trained again to other weights",
    Why.INPUTS_MADE_AGAIN: "to be compared with what it is made from, which is made again",
    Why.FAILED: "failed ({what}): {detail}",
    Why.INTERRUPTED: "interrupted: goes on from its checkpoint",
    Why.NOT_ALL_SCORED: "evaluated before, not yet: {what}",
    Why.TRAIN_IMAGES_CHANGED: "its training images have been prepared anew and differ from those it saw",
    Why.TRAIN_VECTORS_CHANGED: "its prior vectors have been made anew and differ from those it saw",
    Why.TEST_IMAGES_CHANGED: "test images prepared anew since: {what}",
    Why.TEST_VECTORS_CHANGED: "prior vectors of test images made anew since: {what}",
    Why.BASE_CHANGED: "its base cell ({what}) was trained again to other weights",
    Why.SOURCE_CHANGED: "its prior's network (cell {what}) was trained again to other weights",
    Why.CHECKPOINT_GONE: "its checkpoint is gone and something needs it",
    Why.CHECKPOINT_DAMAGED: "its checkpoint is damaged: {what} is not the file that its record names",
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

    @property
    def is_damage(self) -> bool:
        """Whether a cell's record is damaged."""
        return self.kind is Why.DAMAGED

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
        """The reason as a plan says it, to which a failure is one of before; empty without one."""
        said = "" if self.reason is None else str(self.reason)
        return said.replace("failed", "failed before", 1) if self.reason and self.reason.kind is Why.FAILED else said


TODO = Verdict("todo")
DONE = Verdict("done")


def stale(kind: Why, what: str = "") -> Verdict:
    """The verdict on what has to be made again."""
    return Verdict("stale", Reason(kind, what))
