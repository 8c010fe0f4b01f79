"""Whether the processes of running jobs still live and get on, by the signs of life that they give."""

from __future__ import annotations

from dataclasses import dataclass

from harness.scheduling.room import Place, Ticket

SILENCE = 60.0
"""Seconds without any sign of a process after which it counts as frozen or cut off."""


@dataclass
class _Seen:
    pulse: bytes
    heard: float
    """When the sign last changed at all: the process runs."""
    beats: bytes
    moved: float
    """When the job's own count last changed: it gets on."""


class Watch:
    """What was last heard of the workers that have a job. A sign is `<number> <beats>`, the number always another."""

    def __init__(self, silence: float = SILENCE) -> None:
        self._silence = silence
        self._seen: dict[Place, _Seen] = {}

    def begin(self, place: Place, now: float) -> None:
        self._seen[place] = _Seen(b"", now, b"", now)

    def end(self, place: Place) -> None:
        self._seen.pop(place, None)

    def watched(self) -> list[Place]:
        return list(self._seen)

    def note(self, place: Place, pulse: bytes, now: float) -> None:
        """Takes what a worker said last."""
        seen = self._seen[place]
        beats = pulse.partition(b" ")[2]
        if pulse != seen.pulse:
            seen.pulse, seen.heard = pulse, now
        if beats != seen.beats:
            seen.beats, seen.moved = beats, now

    def lost(self, ticket: Ticket, now: float) -> tuple[Place, str] | None:
        """The process of a job that counts as lost, and why.

        One that is silent; or, where none of them has got on for the suite's patience, the one that stopped first. As
        long as one gets on, the others may be waiting for it.
        """
        for place in ticket.places:
            if (silent := now - self._seen[place].heard) > self._silence:
                return (
                    place,
                    f"its process on {place.node.name} has not answered for {silent:.0f} s: it is frozen or cut off",
                )
        still = now - max(self._seen[place].moved for place in ticket.places)
        if still <= ticket.request.patience:
            return None
        first = min(ticket.places, key=lambda place: self._seen[place].moved)
        return first, f"its process on {first.node.name} has made no progress for {still:.0f} s"
