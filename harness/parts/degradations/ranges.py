"""The one check that all degradations make of their options."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from numbers import Integral, Real
from types import UnionType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le

from harness.core.errors import HarnessError

P = ParamSpec("P")
Made = TypeVar("Made")


def ranged(degradation: str) -> Callable[[Callable[Concatenate[Made, P], None]], Callable[Concatenate[Made, P], None]]:
    """Makes a constructor refuse options that its annotations exclude: `Annotated[float, Ge(…), Le(…)]`, `Literal[…]`,
    or a union of a number and a range of two, as `Annotated[float, …] | tuple[Annotated[float, …], Annotated[…]]`.

    A range's begin must not be above its end.

    The options of a suite are checked against the same annotations when the suite is read; this one is for callers
    from Python. The constructor then raises HarnessError.
    """

    def decorate(constructor: Callable[Concatenate[Made, P], None]) -> Callable[Concatenate[Made, P], None]:
        hints = get_type_hints(constructor, include_extras=True)

        @wraps(constructor)
        def checked(self: Made, /, *args: P.args, **options: P.kwargs) -> None:
            for option, value in options.items():
                if option in hints:
                    _check(degradation, option, value, hints[option])
            constructor(self, *args, **options)

        return checked

    return decorate


def _check(degradation: str, option: str, value: Any, hint: Any) -> None:
    """Raises HarnessError for a value of another kind, outside the range (NaN always is) or not among the choices."""
    if get_origin(hint) is UnionType or get_origin(hint) is Union:
        single, both = get_args(hint)
        if isinstance(value, tuple):
            _check_both(degradation, option, value, get_args(both))
            return
        hint = single
    if get_origin(hint) is Literal:
        wrong, choose = value not in get_args(hint), f"one of {', '.join(map(str, get_args(hint)))}"
        what = f"cannot be {value!r}"
    elif not isinstance(value, Integral if (whole := get_args(hint)[0] is int) else Real) or isinstance(value, bool):
        wrong, what, choose = True, f"cannot be {value!r}", "a whole number" if whole else "a number"
    else:
        low, high = _range(hint)
        wrong, what, choose = not low <= value <= high, f"= {value} is out of range", f"between {low} and {high}"
    if wrong:
        raise HarnessError(f"{option} {what}", where=f"degradation {degradation}", hint=f"choose {option}: {choose}")


def _check_both(degradation: str, option: str, values: tuple[Any, ...], hints: tuple[Any, ...]) -> None:
    """Raises HarnessError for what is not two numbers in range, the first one not above the second."""
    where = f"degradation {degradation}"
    if len(values) != len(hints):
        raise HarnessError(f"{option} has {len(values)} values", where=where, hint=f"give {option} a number, or two")
    for value, hint in zip(values, hints, strict=True):
        _check(degradation, option, value, hint)
    if values[0] > values[1]:
        what = f"{option} begins at {values[0]}, above its end {values[1]}"
        raise HarnessError(what, where=where, hint=f"{option}: [{values[1]}, {values[0]}]")


def _range(hint: Any) -> tuple[Any, Any]:
    """The bounds that an annotation sets."""
    limits = get_args(hint)[1:]
    low = next((limit.ge for limit in limits if isinstance(limit, Ge)), -math.inf)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), math.inf)
    return low, high
