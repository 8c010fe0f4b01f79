"""What every task promises. Inherit the class in a test file and name yours.

class TestMine(TaskContract):
    def make(self):
        return Mine

A task whose degradation is in a plug-in file needs that file's parts: `registry = extend(REGISTRY, ["/…/my_task.py"])`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness.api.declaration import read_declaration
from harness.api.degradation import DegradationTraits
from harness.api.protocols import PROTOCOLS
from harness.api.task import EvaluationProtocol
from harness.core.errors import did_you_mean
from harness.core.registry import Registry
from harness.core.source import REQUIRED, Option
from harness.parts.catalogue import REGISTRY
from harness.spec.options import fill
from harness.testing.part import PartContract, picture


class TaskContract(PartContract):
    """A task is its traits alone: a degradation that exists, or none, options that it has, a known protocol."""

    kind = "task"
    registry: ClassVar[Registry] = REGISTRY
    """Where the degradation is looked up."""

    def make(self) -> Any:
        """The task's class."""
        raise NotImplementedError

    @property
    def part(self) -> Any:
        return self.make()

    def behind(self) -> dict[str, Option]:
        """The options of the degradation; none without one. Raises UnknownName when there is none of that name."""
        if self.part.traits.degradation is None:
            return {}
        entry = self.registry.get("degradation", self.part.traits.degradation)
        return dict(read_declaration("degradation", entry.target).options)

    def test_says_what_it_is(self) -> None:
        """Says in its docstring what is solved."""
        assert (self.part.__doc__ or "").strip(), "there is no docstring, which `bench list tasks` shows"

    def test_degradation_exists(self) -> None:
        """Names a degradation that exists, or none: its data sets bring their degraded images."""
        name = self.part.traits.degradation
        known = self.registry.names("degradation")
        assert name is None or name in known, f"no degradation is called {name!r}; {did_you_mean(name, known)}"

    def test_options_exist(self) -> None:
        """Offers and sets options that its degradation has."""
        traits, behind = self.part.traits, self.behind()
        for name in (*traits.options, *traits.settings):
            assert name in behind, f"{traits.degradation} has no option {name!r}; {did_you_mean(name, behind)}"
        filled = fill({name: behind[name] for name in traits.settings}, traits.settings, traits.degradation)
        wrong = [f"{'.'.join(map(str, mistake.path))}: {mistake.what}" for mistake in filled.mistakes]
        assert not wrong, f"settings: {'; '.join(wrong)}"

    def test_degradation_can_be_made(self) -> None:
        """Gives its degradation all that it needs, or offers it."""
        traits, behind = self.part.traits, self.behind()
        required = {name for name, option in behind.items() if option.default is REQUIRED}
        lost = sorted(required - {*traits.options, *traits.settings})
        assert not lost, f"{traits.degradation} needs {', '.join(lost)}, which the task neither sets nor offers"
        if traits.degradation is not None and required <= set(traits.settings):
            degradation = self.registry.load("degradation", traits.degradation)(**traits.settings)
            degradation(picture(48, 64), np.random.default_rng(0))

    def test_protocol_is_known(self) -> None:
        """Names a protocol that exists, or has one of its own under a name of its own."""
        protocol = self.part.traits.protocol
        if isinstance(protocol, EvaluationProtocol):
            known = PROTOCOLS.get(protocol.name, protocol)
            assert known == protocol, f"{protocol.name!r} is the name of another protocol: {known}"
            assert protocol.border >= 0, f"border = {protocol.border} pixels"
        else:
            assert protocol in PROTOCOLS, f"no protocol is called {protocol!r}; {did_you_mean(protocol, PROTOCOLS)}"

    def test_its_test_images_can_be_drawn(self) -> None:
        """Is scored on test images that its degradation can draw, or on those of the data set as they are."""
        named, degradation = self.part.traits.protocol, self.part.traits.degradation
        protocol = PROTOCOLS.get(named) if isinstance(named, str) else named
        if protocol is None or degradation not in (None, *self.registry.names("degradation")):
            return  # said by other promises
        if degradation is None:
            assert protocol.draw == "named", f"{protocol.name} draws test images, and the data set brings them"
            return
        traits: DegradationTraits = read_declaration(
            "degradation", self.registry.get("degradation", degradation).target
        ).traits
        assert protocol.draw in traits.draws, (
            f"{protocol.name} wants random numbers drawn as {protocol.draw!r}, and {degradation} knows "
            f"{', '.join(traits.draws)}"
        )
