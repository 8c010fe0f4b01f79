"""What a part declares, read from its source: its options and its traits, as planning needs them.

The convention for every part, which is one class:

- positional parameters of the constructor are given by the harness (a prior's width, the image channels);
- **keyword-only parameters are the suite's options**, each with an annotation and a literal default, or no default
  when the suite must choose;
- the class attribute `traits` is a literal of the traits class of its kind (harness.api.traits).

A plug-in's version also holds a digest of its syntax tree and of the helper files that it imports from its folder, so
that editing one of them, comments aside, makes new cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, Literal, TypeVar, overload

from harness.api.backbone import BackboneTraits
from harness.api.dataset import DatasetTraits
from harness.api.degradation import DegradationTraits
from harness.api.kinds import KINDS
from harness.api.loss import LossTraits
from harness.api.metric import MetricTraits
from harness.api.prior import PriorTraits
from harness.api.reading import Reader
from harness.api.refiner import RefinerTraits
from harness.api.task import PROTOCOLS, TaskTraits, protocol_named, unknown_protocol
from harness.api.traits import Condition, Traits
from harness.core.errors import Problem, SpecErrors, did_you_mean
from harness.core.helpers import content_digest
from harness.core.registry import Registry
from harness.core.source import Option, assignments, definitions, is_file, parse_module, source_path

T = TypeVar("T", bound=Traits)


@dataclass(frozen=True)
class Declaration(Generic[T]):
    """A part's options, traits and first docstring line. `version` is the part's; a plug-in's also holds a digest."""

    target: str
    options: Mapping[str, Option]
    traits: T
    version: str
    summary: str = ""

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """These options, and the defaults of all others."""
        return {name: option.default for name, option in self.options.items()} | dict(given)

    def holds(self, condition: Condition | None, given: Mapping[str, Any]) -> bool:
        """Whether a condition of its traits holds with these options, defaults filled in; None never does."""
        return condition is not None and condition.holds(self.filled(given))


@overload
def declaration(registry: Registry, kind: Literal["dataset"], name: str) -> Declaration[DatasetTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["degradation"], name: str) -> Declaration[DegradationTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["task"], name: str) -> Declaration[TaskTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["prior"], name: str) -> Declaration[PriorTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["backbone"], name: str) -> Declaration[BackboneTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["refiner"], name: str) -> Declaration[RefinerTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["loss"], name: str) -> Declaration[LossTraits]: ...
@overload
def declaration(registry: Registry, kind: Literal["metric"], name: str) -> Declaration[MetricTraits]: ...
@overload
def declaration(registry: Registry, kind: str, name: str) -> Declaration[Any]: ...
def declaration(registry: Registry, kind: str, name: str) -> Declaration[Any]:
    """What the named part declares. A task's options are those of its degradation that the task offers.

    Raises UnknownName, and SpecErrors with everything that is wrong in the declaration.
    """
    found = read_declaration(kind, registry.get(kind, name).target)
    return found if kind != "task" else replace(found, options=_task_options(registry, found))


def _task_options(registry: Registry, task: Declaration[TaskTraits]) -> Mapping[str, Option]:
    """The options of the degradation that a task offers, with the task's own values as defaults."""
    traits = task.traits
    _check_protocol(task)
    if traits.degradation is None:
        _check_draw(task, None)
        if traits.options or traits.settings:
            what = "a task without a degradation has no options: its data sets bring their degraded images"
            raise _at_traits(task, what, "options=() and settings={}, or name the degradation")
        return {}
    degradation = read_declaration("degradation", registry.get("degradation", traits.degradation).target)
    _check_draw(task, degradation.traits)
    behind = degradation.options
    unknown = [name for name in (*traits.options, *traits.settings) if name not in behind]
    if unknown:
        what = f"the degradation {traits.degradation} has no option {unknown[0]!r}"
        raise _at_traits(task, what, did_you_mean(unknown[0], behind))
    return {
        name: replace(behind[name], default=traits.settings.get(name, behind[name].default)) for name in traits.options
    }


def _check_protocol(task: Declaration[TaskTraits]) -> None:
    """Raises SpecErrors for the name of a protocol that does not exist, or that means another one."""
    protocol = task.traits.protocol
    if isinstance(protocol, str):
        if protocol_named(protocol) is None:
            raise _at_traits(task, f"no protocol is called {protocol!r}", unknown_protocol(protocol, PROTOCOLS))
    elif PROTOCOLS.get(protocol.name, protocol) != protocol:
        what = f"{protocol.name} is the name of a built-in protocol, which scores in another way"
        raise _at_traits(task, what, "give your own protocol a name of its own")


def _check_draw(task: Declaration[TaskTraits], degradation: DegradationTraits | None) -> None:
    """Raises SpecErrors for a protocol whose test images the degradation cannot make. None: nothing is drawn."""
    named = task.traits.protocol
    protocol = protocol_named(named) if isinstance(named, str) else named
    assert protocol is not None, named
    if degradation is None and protocol.draw != "named":
        what = f"{protocol.name} says how test images are drawn, and this task's are those of its data set"
        raise _at_traits(task, what, "another protocol")
    if degradation is not None and protocol.draw not in degradation.draws:
        what = f"the degradation {task.traits.degradation} cannot draw its random numbers as {protocol.name} says"
        raise _at_traits(task, what, f"draw is one of {', '.join(degradation.draws)}")


def _at_traits(part: Declaration[Any], what: str, hint: str) -> SpecErrors:
    """A mistake at the line of a part's traits."""
    module, _, attribute = part.target.partition(":")
    cls = definitions(parse_module(module))[attribute]
    line = next((node.lineno for name, node in assignments(cls.body) if name == "traits"), cls.lineno)
    return SpecErrors([Problem(source_path(module), line, 1, f"{attribute}.traits", what, hint)])


@cache
def read_declaration(kind: str, target: str) -> Declaration[Any]:
    """What "module:Class" declares as a part of a kind, without running the module.

    Raises SpecErrors with all the mistakes of the declaration, each with file and line; ModuleNotFoundError, OSError or
    SyntaxError when the module cannot be read.
    """
    module_name, _, attribute = target.partition(":")
    try:
        return _read(kind, target)
    except RecursionError as error:
        what = "this file is nested too deeply to be read"
        raise SpecErrors([Problem(source_path(module_name), 1, 1, attribute, what)]) from error


def _read(kind: str, target: str) -> Declaration[Any]:
    module_name, _, attribute = target.partition(":")
    module, plugin = parse_module(module_name), is_file(module_name)
    reader = Reader(kind, KINDS[kind], source_path(module_name), module, plugin)
    found = reader.read(attribute)
    if reader.problems or found is None:
        raise SpecErrors(reader.problems)
    given, traits, summary = found
    version = str(traits.version) + (f"+{content_digest(module_name)}" if plugin else "")
    return Declaration(target, given, traits, version, summary)
