"""The workers of one unit that have no job, and which of them a job takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from harness.api.running import Request
from harness.scheduling.room import Node, Place, choose_nodes, fewer

_ByNode = dict[Node, dict[Place, None]]


class Idle:
    """Workers without a job, by machine: warm ones, and ones that will be warm soon, which a job can wait for."""

    def __init__(self) -> None:
        self._warm: _ByNode = {}
        self._starting: _ByNode = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, place: Place) -> None:
        group = self._warm if place.warm else self._starting
        group.setdefault(place.node, {})[place] = None
        self._count += 1

    def discard(self, place: Place) -> None:
        for group in (self._warm, self._starting):
            places = group.get(place.node)
            if places is not None and place in places:
                del places[place]
                self._count -= 1
                if not places:
                    del group[place.node]

    def warm_on(self, node: Node) -> Collection[Place]:
        """Those on a machine that could run something now."""
        return self._warm.get(node, {}).keys()

    def first_warm(self, kept: Collection[Node]) -> Place | None:
        """One that could run something now, on none of the machines that are `kept`."""
        return next(_first(self._warm, kept, None), None)

    def pick(self, request: Request, kept: Collection[Node], near: Node | None) -> list[Place] | None:
        """The workers for a request, rank by rank, on none of the machines that are `kept`; None when there are none.

        One that waits `near` is taken first; warm ones before others, where they are on no more machines.
        """
        if self._count < request.processes:
            return None
        if request.processes == 1:
            for group in (self._warm, self._starting):
                if found := list(_first(group, kept, near)):
                    return found
            return None
        nodes = self._over(request, kept, self._warm)
        if self._starting and (nodes is None or len(set(nodes)) > (request.nodes or 1)):
            nodes = fewer(nodes, self._over(request, kept, self._warm, self._starting))
        if nodes is None:
            return None
        return [place for node in dict.fromkeys(nodes) for place in self._on(node)[: nodes.count(node)]]

    def _over(self, request: Request, kept: Collection[Node], *groups: _ByNode) -> list[Node] | None:
        """The machine of each rank, as these workers are there."""
        counts: Counter[Node] = Counter()
        for group in groups:
            counts.update({node: len(places) for node, places in group.items() if node not in kept})
        return choose_nodes(request, counts, counts.__getitem__)

    def _on(self, node: Node) -> list[Place]:
        return [*self._warm.get(node, ()), *self._starting.get(node, ())]


def _first(group: _ByNode, kept: Collection[Node], near: Node | None) -> Iterator[Place]:
    node = near if near in group and near not in kept else next((node for node in group if node not in kept), None)
    if node is not None:
        yield next(reversed(group[node]))  # the last that ran something
