"""The one check that all degradations make of their options."""

from __future__ import annotations

from harness.core.errors import HarnessError


def check_range(degradation: str, option: str, value: float, low: float, high: float) -> None:
    """Raises HarnessError unless low ≤ value ≤ high (NaN never is)."""
    if not low <= value <= high:
        raise HarnessError(
            f"{option} = {value} is out of range",
            where=f"degradation {degradation}",
            hint=f"choose {option} between {low} and {high}",
        )
