"""How people tell protocols apart that records call `<name>/v<version>`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

DIGITS = 4
"""How much of a digest tells apart what shares a name."""

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
