"""What every part declares, and the small values that declarations are made of.

A part class has one class attribute, `traits`: a literal of the traits class of its kind, with keyword arguments.

    class MeanColour:
        traits = PriorTraits(version=2)

Planning reads it from the source without importing the part (harness.api.declaration), and running code uses the same
object. What is not in it does not exist: no other attribute of the class is looked at.

Everything here is immutable and free of torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from harness.core.errors import HarnessError
from harness.core.formula import Unknown, names_in, value_of
from harness.core.wording import short


@dataclass(frozen=True)
class When:
    """A condition on a part's options: it holds when the option has one of the values.

    `When("checkpoint", None)` holds when a suite leaves the option `checkpoint` at None.
    """

    option: str
    value: Any
    """The value, or a tuple of values of which one must be there; a single tuple stands in one: `((1, 2),)`."""

    def __post_init__(self) -> None:
        if isinstance(self.value, list | set | dict):
            raise ValueError("several values are a tuple: (a, b)")

    def holds(self, options: Mapping[str, Any]) -> bool:
        """Whether it holds. `options`: those of the part, defaults filled in; one that is not there is None."""
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        given = options.get(self.option)
        return (tuple(given) if isinstance(given, list) else given) in values


@dataclass(frozen=True)
class Unless(When):
    """The opposite of `When`: it holds when the option has none of the values."""

    def holds(self, options: Mapping[str, Any]) -> bool:
        return not super().holds(options)


@dataclass(frozen=True)
class FromOption:
    """Stands for the value that a suite gives to the part's option of this name."""

    option: str


@dataclass(frozen=True)
class Above(When):
    """A comparison of two options: `Above("low", FromOption("high"))` holds when `low` is more than `high`."""

    value: FromOption

    def holds(self, options: Mapping[str, Any]) -> bool:
        """Whether it holds; never when one of the options is None."""
        one, other = options.get(self.option), options.get(self.value.option)
        return one is not None and other is not None and bool(one > other)


Condition = When | Unless | Above


def all_hold(conditions: tuple[Condition, ...], options: Mapping[str, Any]) -> bool:
    """Whether all conditions hold; true for none."""
    return all(condition.holds(options) for condition in conditions)


@dataclass(frozen=True)
class Conflict:
    """Options that contradict each other; `bench check` refuses them.

    `what` and `hint` may name options in braces: `{model!r}` becomes the value that the suite gives.
    Nothing but a name, and `!r` for quotes, stands in them; braces themselves are doubled.
    """

    when: tuple[Condition, ...]
    what: str
    hint: str = ""

    def __post_init__(self) -> None:
        if not self.when:
            raise ValueError("when is empty, so it would hold for every suite")
        _ = self.options

    @property
    def options(self) -> tuple[str, ...]:
        """The options that its texts name. Raises ValueError for a text with something else in braces."""
        return (*_named_in(self.what), *_named_in(self.hint))

    def told(self, options: Mapping[str, Any]) -> tuple[str, str]:
        """(what, hint) with the values of the options; one that is not there is None."""
        given = defaultdict(lambda: None, options)
        return self.what.format_map(given), self.hint.format_map(given)


def _named_in(text: str) -> Iterator[str]:
    for _, name, layout, conversion in Formatter().parse(text):
        if name is None:
            continue
        if not name.isidentifier() or layout or conversion not in (None, "r"):
            raise ValueError(f"only the name of an option stands in braces, as {{x}} or {{x!r}}: {text!r}")
        yield name


@dataclass(frozen=True)
class Rule:
    """What must hold between options: `bench check` refuses a suite that breaks it, and says what would fit.

    `Rule("dim % heads == 0", "`heads` must divide `dim`")`. It does not apply where one of its options is None.
    """

    holds: str
    """A formula of the options (harness.core.formula), true where they fit each other."""
    what: str
    """The demand in words, with the names of the options; their values are added to it."""
    when: tuple[Condition, ...] = ()
    """It must hold only when all of these hold."""

    def __post_init__(self) -> None:
        if not names_in(self.holds):
            raise ValueError(f"{self.holds!r} names no option")

    @property
    def options(self) -> tuple[str, ...]:
        """The options that the formula names, in its order."""
        return names_in(self.holds)

    def kept(self, options: Mapping[str, Any]) -> bool:
        """Whether the options keep it; true where the formula has no value."""
        try:
            return not all_hold(self.when, options) or bool(value_of(self.holds, options))
        except Unknown:
            return True

    @property
    def summary(self) -> str:
        """The demand, and on what it depends."""
        names = ", ".join(f"`{condition.option}`" for condition in self.when)
        return f"{self.what} (with some values of {names})" if names else self.what

    def told(self, options: Mapping[str, Any]) -> str:
        """What is wrong with options that break it."""
        return f"{self.what}; here " + ", ".join(f"`{name}` is {short(options[name])}" for name in self.options)


@dataclass(frozen=True)
class Published:
    """Published weights that a part needs, by their id in the catalogue (`bench weights list`).

    Without the file the cell is blocked, with the command that gets it.
    """

    id: str
    when: tuple[Condition, ...] = ()
    """Needed only when all of these hold."""


@dataclass(frozen=True)
class OwnFile:
    """A file or folder of the user's own, whose path is the value of an option; nothing is needed when that is None.

    The option is annotated `LocalFile`, or `LocalFile | None`.
    """

    option: str
    files: tuple[str, ...] = ()
    """The files that must lie in it when it is a folder."""


@dataclass(frozen=True)
class LossUse:
    """A loss that a part declares: weight × the named loss, with the options that differ from its defaults."""

    name: str
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    refined_weight: float | None = None
    """In place of `weight` on a refiner's restoration. Zero on either side leaves the loss out there."""

    def __post_init__(self) -> None:
        weights = (self.weight,) if self.refined_weight is None else (self.weight, self.refined_weight)
        for weight in weights:
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of a loss is a number from 0 on, not {weight:g}")
        if not any(weights):
            raise ValueError(f"the loss {self.name} weighs nothing")


@dataclass(frozen=True)
class StageUse:
    """A stage of the training that a part asks for: a share of the steps in which some modules train."""

    share: float
    """Share of all optimizer steps, in (0, 1]. The shares of a part's stages add up to 1."""
    trains: tuple[str, ...] = ()
    """Modules of the part that train, by attribute name; all that may train when empty."""
    losses: tuple[LossUse, ...] = ()
    """The losses of the stage; the recipe's when empty."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the parts of all kinds declare."""

    version: int = 1
    """Raised whenever the part's results change: its cells then get new ids."""
    weights: tuple[Published | OwnFile, ...] = ()
    """Files of weights that it needs and this package may not ship."""
    conflicts: tuple[Conflict, ...] = ()
    """Options that contradict each other."""
    rules: tuple[Rule, ...] = ()
    """What must hold between options."""

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError(f"version is a whole number from 1 on, not {self.version}")

    def require(self, options: Mapping[str, Any]) -> None:
        """For constructors, which code other than a suite may call: raises HarnessError for a rule that is broken.

        `options`: at least those that the rules name, such as `locals()`.
        """
        for rule in self.rules:
            if not rule.kept(options):
                raise HarnessError(rule.told(options))


def check_stages(stages: tuple[StageUse, ...]) -> None:
    """Raises ValueError unless the shares are positive and add up to 1."""
    for stage in stages:
        if not stage.share > 0:
            raise ValueError(f"the share of a stage is a positive number, not {stage.share:g}")
    total = sum(stage.share for stage in stages)
    if stages and not abs(total - 1) <= 1e-9:
        raise ValueError(f"the shares of the stages must add up to 1; these add up to {total:g}")
