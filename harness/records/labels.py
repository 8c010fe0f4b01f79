"""How people tell protocols apart that records call `<name>/v<version>`, and test sets that differ in a condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.api.sets import Samples
from harness.core.identity import canonical_json, text_digest

DIGITS = 4
"""How much of a digest tells apart what shares a name."""

_LARGE = 1e15
"""From here on whole numbers are not exact."""

Labelled = tuple[str, str]
"""A protocol's label, and a digest of what it is about."""


def short_names(found: Iterable[Labelled]) -> Mapping[Labelled, str]:
    """The shortest name of each that no other one has: the name, the label, or the label and the digest's beginning."""
    pairs = list(dict.fromkeys(found))
    names = Counter(label.partition("/")[0] for label, _ in pairs)
    labels = Counter(label for label, _ in pairs)

    def short(label: str, content: str) -> str:
        name = label.partition("/")[0]
        if names[name] == 1:
            return name
        return label if labels[label] == 1 else f"{label} {content[:DIGITS]}"

    return {(label, content): short(label, content) for label, content in pairs}


def samples_digest(samples: Samples) -> str:
    """What records call test images with what degrades them, however their random numbers are drawn, 12 hex digits."""
    named = samples if samples.draw == "named" else samples.model_copy(update={"draw": "named"})
    return text_digest(named.canonical, 12)


def condition_text(condition: Mapping[str, Any], sign: str = "=") -> str:
    """The condition of a test set as tables say it, `sigma=15`; several options by name; empty without one."""
    return " ".join(f"{name}{sign}{_value(condition[name])}" for name in sorted(condition))


def _value(value: Any) -> str:
    """A number as short as it can be read back (15, not 15.0), a text as it is."""
    if isinstance(value, str):
        return value
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _LARGE
    return str(int(value)) if whole else canonical_json(value)
