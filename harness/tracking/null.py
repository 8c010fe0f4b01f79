"""No tracking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core.paths import Layout


class NullTracker:
    """Takes what every tracker takes and does nothing."""

    def __init__(self, uri: str | None, layout: Layout, suite: str) -> None: ...

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        return ()

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    def close(self) -> None: ...
