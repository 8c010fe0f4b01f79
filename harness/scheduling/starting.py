"""Workers that are not warm yet: since when, whether their process runs at all, and how many have died on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from harness.scheduling.room import Node, Place, Slot, Unit

SLOW = 120.0
"""Seconds that workers take to start before the user is told."""

LIMIT = 600.0
"""Seconds within which a worker is warm once its process runs. One that waits for room has no process yet."""

NOT_READY = f"is not ready after {LIMIT:.0f} s"

DEATHS = 3
"""So many workers of one unit that die in a row before they are warm, and their machine gets no more jobs."""


@dataclass
class _Start:
    since: float
    """When its process was first heard; until then, when it was asked for."""
    runs: bool = False
    told: bool = False


@dataclass
class Late:
    """What takes long."""

    tell: list[str] = field(default_factory=list)
    """What the user is to hear of it."""
    hung: list[Place] = field(default_factory=list)
    """Workers whose process has run for `LIMIT` and is not warm."""
    doubtful: list[Node] = field(default_factory=list)
    """Machines on which no process has appeared within `LIMIT`: others hold the room, or none can start there."""


class Starting:
    """See above. Deaths count by machine and unit, as workers with a GPU may die where those without one do not."""

    def __init__(self) -> None:
        self._places: dict[Place, _Start] = {}
        self._deaths: Counter[tuple[str, Unit]] = Counter()

    @property
    def places(self) -> Collection[Place]:
        return self._places.keys()

    @property
    def is_awaited(self) -> bool:
        """Whether a job waits for one of them."""
        return any(place.ticket is not None for place in self._places)

    def begin(self, slot: Slot, now: float) -> None:
        for place in slot.places:
            self._places[place] = _Start(now)

    def warm(self, place: Place) -> None:
        self._places.pop(place, None)
        self._deaths.pop(_kind(place), None)

    def end(self, places: Iterable[Place]) -> None:
        """Forgets workers that are ended."""
        for place in places:
            self._places.pop(place, None)

    def died(self, place: Place) -> bool:
        """Notes a death; whether there have been so many that the machine is to get no more jobs."""
        self._places.pop(place, None)
        self._deaths[_kind(place)] += 1
        if self._deaths[_kind(place)] < DEATHS:
            return False
        del self._deaths[_kind(place)]
        return True

    def note(self, heard: Collection[Place], now: float) -> None:
        """Takes which workers have given a sign of life."""
        for place in heard:
            start = self._places.get(place)
            if start is not None and not start.runs:
                start.since, start.runs = now, True

    def late(self, now: float) -> Late:
        """What takes long now. Of each worker it is said once; a doubtful machine comes again after another `LIMIT`."""
        late, slow, doubtful = Late(), set(), {}
        for place, start in self._places.items():
            if now - start.since > SLOW and not start.told:
                start.told = True
                slow.add(place.node.name)
            if now - start.since <= LIMIT:
                continue
            if start.runs:
                late.hung.append(place)
            else:
                start.since = now
                doubtful[place.node.id] = place.node
        if slow:
            names = ", ".join(sorted(slow))
            late.tell.append(f"workers on {names} have not started for {SLOW:.0f} s: do others use the cluster?")
        late.tell += [f"a worker on {place.node.name} {NOT_READY}: it is ended" for place in late.hung]
        late.doubtful = list(doubtful.values())
        return late


def _kind(place: Place) -> tuple[str, Unit]:
    return place.node.id, place.slot.unit
