"""Why workers are gone, in words that name their machine."""

from __future__ import annotations

from harness.scheduling.backend import Backend
from harness.scheduling.room import Place, Slot


def why_dead(backend: Backend, place: Place, reason: str) -> tuple[str, bool]:
    """What is said of a worker that died, and whether it did because its machine took its leave."""
    absence = backend.absence(place.node)
    if absence:
        return f"{place.node.name} has left the cluster", absence == "in order"
    return f"its process on {place.node.name} ended: {reason}", False


def took_leave(backend: Backend, slot: Slot) -> bool:
    """Whether workers are lost because a machine of theirs took its leave."""
    return any(backend.absence(node) == "in order" for node in slot.shares)
