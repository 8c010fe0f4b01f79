"""The one check that all degradations make of their options."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from numbers import Integral, Real
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le

from harness.core.errors import HarnessError

P = ParamSpec("P")
Made = TypeVar("Made")


def ranged(degradation: str) -> Callable[[Callable[Concatenate[Made, P], None]], Callable[Concatenate[Made, P], None]]:
    """Makes a constructor refuse options that its annotations exclude: `Annotated[float, Ge(…), Le(…)]`, `Literal[…]`.

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


def _range(hint: Any) -> tuple[Any, Any]:
    """The bounds that an annotation sets."""
    limits = get_args(hint)[1:]
    low = next((limit.ge for limit in limits if isinstance(limit, Ge)), -math.inf)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), math.inf)
    return low, high
