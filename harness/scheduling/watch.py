"""Whether the processes of running jobs still live and get on, by the signs of life that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.scheduling.room import Place, Ticket

SILENCE = 60.0
"""Seconds without any sign of a process after which it counts as frozen or cut off."""

STRIDE = 15.0
"""Longest time between two looks that counts, in seconds: while the driver is held up, nobody looks."""


@dataclass
class _Seen:
    pulse: bytes
    heard: float
    """When the sign last changed at all: the process runs."""
    beats: bytes
    moved: float
    """When the job's own count last changed: it gets on."""


class Watch:
    """What was last heard of the workers that have a job. A sign is `<number> <beats>`, the number always another.

    Only time in which signs could be read counts against a worker: it has a clock of its own, which goes on by looks.
    """

    def __init__(self, silence: float = SILENCE) -> None:
        self._silence = silence
        self._seen: dict[Place, _Seen] = {}
        self._clock = 0.0
        self._looked: float | None = None

    def begin(self, place: Place, now: float) -> None:
        at = self._at(now)
        self._seen[place] = _Seen(b"", at, b"", at)

    def end(self, place: Place) -> None:
        self._seen.pop(place, None)

    def watched(self) -> list[Place]:
        return list(self._seen)

    def look(self, signs: Mapping[Place, bytes] | None, now: float) -> None:
        """Takes what the workers said last; None when that could not be read."""
        if signs is not None:
            self._clock = self._at(now)
            for place in self._seen:
                self._note(place, signs.get(place, b""))
        self._looked = now

    def lost(self, ticket: Ticket) -> tuple[Place, str] | None:
        """The process of a job that counts as lost, and why, as of the last look.

        One that is silent; or, where none of them has got on for the suite's patience, the one that stopped first. As
        long as one gets on, the others may be waiting for it.
        """
        now = self._clock
        for place in ticket.places:
            if (silent := now - self._seen[place].heard) > self._silence:
                return (
                    place,
                    f"its process on {place.node.name} has not answered for {silent:.0f} s: it is frozen or cut off",
                )
        patience = ticket.request.patience
        still = now - max(self._seen[place].moved for place in ticket.places)
        if still <= patience:
            return None
        first = min(ticket.places, key=lambda place: self._seen[place].moved)
        where = f"its process on {first.node.name}"
        return first, f"{where} has made no progress for {still:.0f} s, and run.patience is {patience:g} s"

    def _note(self, place: Place, pulse: bytes) -> None:
        seen = self._seen[place]
        beats = pulse.partition(b" ")[2]
        if pulse != seen.pulse:
            seen.pulse, seen.heard = pulse, self._clock
        if beats != seen.beats:
            seen.beats, seen.moved = beats, self._clock

    def _at(self, now: float) -> float:
        """What the own clock shows."""
        if self._looked is None:
            self._looked = now
        return self._clock + min(now - self._looked, STRIDE)
