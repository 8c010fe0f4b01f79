"""The protocols that a suite names: known, each once, and possible for every task of the suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.api.declaration import declaration
from harness.api.protocols import known_protocols
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol, present_label, unknown_protocol
from harness.spec.resolve import Resolver

Known = Mapping[EvaluationProtocol, Sequence[str]]
"""Protocols, with the tasks that bring them along."""


def named_protocols(resolver: Resolver) -> tuple[EvaluationProtocol, ...]:
    """The protocols of the suite in its order; empty when it names none. Mistakes are noted.

    A suite writes a protocol's name, or `<name>/v<version>`; one that was renamed may have its earlier name.
    """
    known = known_protocols(resolver.registry)
    found: dict[EvaluationProtocol, None] = {}
    for index, name in enumerate(resolver.suite.protocols or ()):
        meant = _meant(name, known)
        if not meant:
            hint = unknown_protocol(name.split("/v")[0], {protocol.name for protocol in known})
            hint = hint or "`bench list protocols` shows all"
            resolver.report(("protocols", index), f"no protocol is called {name!r}", hint)
        elif len(meant) > 1:
            resolver.report(("protocols", index), *_ambiguous(name, {protocol: known[protocol] for protocol in meant}))
        elif meant[0] in found:
            resolver.report(("protocols", index), f"the protocol {name!r} is given twice", "remove one")
        else:
            found[meant[0]] = None
    return tuple(found)


def _meant(name: str, known: Iterable[EvaluationProtocol]) -> list[EvaluationProtocol]:
    """The protocols of a name; a plug-in's own before a built-in one that had it once."""
    named = [protocol for protocol in known if name in (protocol.name, protocol.label)]
    now = present_label(name)
    return named or [protocol for protocol in known if now in (protocol.name, protocol.label)]


def _ambiguous(name: str, meant: Known) -> tuple[str, str]:
    """What is wrong with a name that several protocols have, and what to try."""
    number = {2: "two", 3: "three"}.get(len(meant), str(len(meant)))
    told = [f"{each.label} ({_origin(tasks)})" for each, tasks in meant.items()]
    what = f"{number} protocols are called {name}: {', '.join(told)}"
    labels = {protocol.label: None for protocol in meant}
    if len(labels) == len(meant):
        return what, f"name one: {' or '.join(labels)}"
    return what, "give each a name or a version of its own: they score in different ways"


def _origin(tasks: Sequence[str]) -> str:
    return f"of the task {', '.join(tasks)}" if tasks else "built in"


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
                path = ("protocols", _place(resolver, protocol))
                what = (
                    f"the task {task.name} cannot be scored under {protocol.name}: "
                    f"the degradation {degradation} cannot draw its random numbers so"
                )
                resolver.report(path, what, "remove the protocol, or put the task into another suite")


def _place(resolver: Resolver, protocol: EvaluationProtocol) -> int:
    """Where the suite names a protocol."""
    known = known_protocols(resolver.registry)
    return next(at for at, name in enumerate(resolver.suite.protocols or ()) if protocol in _meant(name, known))
