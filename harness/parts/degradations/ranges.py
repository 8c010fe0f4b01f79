"""The one check that all degradations make of their options."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le

from harness.core.errors import HarnessError

P = ParamSpec("P")
Made = TypeVar("Made")


def ranged(degradation: str) -> Callable[[Callable[Concatenate[Made, P], None]], Callable[Concatenate[Made, P], None]]:
    """Makes a constructor refuse options outside the ranges of its annotations, `Annotated[float, Ge(…), Le(…)]`.

    The options of a suite are checked against the same annotations when the suite is read; this one is for callers
    from Python. The constructor then raises HarnessError.
    """

    def decorate(constructor: Callable[Concatenate[Made, P], None]) -> Callable[Concatenate[Made, P], None]:
        hints = get_type_hints(constructor, include_extras=True)
        ranges = {name: _range(hint) for name, hint in hints.items() if get_origin(hint) is not Literal}

        @wraps(constructor)
        def checked(self: Made, /, *args: P.args, **options: P.kwargs) -> None:
            for option, value in options.items():
                if option in ranges:
                    check_range(degradation, option, value, *ranges[option])  # type: ignore[arg-type]
            constructor(self, *args, **options)

        return checked

    return decorate


def check_range(degradation: str, option: str, value: float, low: float, high: float) -> None:
    """Raises HarnessError unless low ≤ value ≤ high (NaN never is)."""
    if not low <= value <= high:
        raise HarnessError(
            f"{option} = {value} is out of range",
            where=f"degradation {degradation}",
            hint=f"choose {option} between {low} and {high}",
        )


def _range(hint: Any) -> tuple[Any, Any]:
    """The bounds that an annotation sets."""
    limits = get_args(hint)[1:]
    low = next((limit.ge for limit in limits if isinstance(limit, Ge)), -math.inf)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), math.inf)
    return low, high
