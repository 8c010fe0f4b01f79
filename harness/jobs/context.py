"""What a job needs besides its work."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from harness.api.running import ALONE, Seat
from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.records import store
from harness.records.migrate import Untouchable
from harness.records.model import RunRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """Where a job reads and writes, and the parts it may use (built-ins and the suite's plug-ins)."""

    layout: Layout
    registry: Registry
    seat: Seat = ALONE
    """The place of this process among those that run the job."""

    def record(self, cell_id: str) -> RunRecord | None:
        """The cell's record; None also when it is damaged, as it is then made anew. Refuses what must stay."""
        try:
            return store.load(self.layout, cell_id)
        except Untouchable:
            raise
        except DataError as error:
            log.warning("%s", error)
            return None
