"""The protocols that a suite names: known, each once, and possible for every task of the suite."""

from __future__ import annotations

from collections.abc import Iterable

from harness.api.declaration import declaration
from harness.api.protocols import known_protocols
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.core.errors import did_you_mean
from harness.spec.resolve import Resolver


def named_protocols(resolver: Resolver) -> tuple[EvaluationProtocol, ...]:
    """The protocols of the suite in its order; empty when it names none. Mistakes are noted."""
    known = known_protocols(resolver.registry)
    found: dict[str, EvaluationProtocol] = {}
    for index, name in enumerate(resolver.suite.protocols or ()):
        if name not in known:
            hint = did_you_mean(name, known) or "`bench list protocols` shows all"
            resolver.report(("protocols", index), f"no protocol is called {name!r}", hint)
        elif name in found:
            resolver.report(("protocols", index), f"the protocol {name!r} is given twice", "remove one")
        else:
            found[name] = known[name]
    return tuple(found.values())


def refuse_impossible(
    resolver: Resolver, protocols: Iterable[EvaluationProtocol], tasks: Iterable[PartRef | None]
) -> None:
    """Notes every protocol whose test images the degradation of some task cannot make."""
    behind = {id(task.derived_from): task for task in tasks if task is not None and task.derived_from is not None}
    for protocol in protocols:
        for task in behind.values():
            assert task.derived_from is not None
            degradation = task.derived_from.name
            if protocol.draw not in declaration(resolver.registry, "degradation", degradation).traits.draws:
                path = ("protocols", (resolver.suite.protocols or ()).index(protocol.name))
                what = (
                    f"the task {task.name} cannot be scored under {protocol.name}: "
                    f"the degradation {degradation} cannot draw its random numbers so"
                )
                resolver.report(path, what, "remove the protocol, or put the task into another suite")
