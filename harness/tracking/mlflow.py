"""Records mirrored to MLflow: one parent run per suite, one child run per cell.

MLflow is imported when there is something to mirror. A cell that was trained anew with another loss curve gets a new
run, as MLflow cannot take points back; the old one is deleted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.outlast import outlast
from harness.core.paths import Layout
from harness.records.store import load
from harness.storage.copies import shown_place
from harness.tracking.answers import Refused, Unreachable, answered
from harness.tracking.database import damage, database_file, is_there, opening, set_aside, unhurried
from harness.tracking.fetch import cells_of, fetch_suite
from harness.tracking.ledger import Ledger
from harness.tracking.server import CELL, EXPERIMENT, RECORD, Server

__all__ = ["CELL", "EXPERIMENT", "RECORD", "MLflowTracker", "Refused", "Unreachable", "default_uri", "ping"]

FILE = "mlflow.db"
"""The database in a folder of results."""

_opened: set[str] = set()
"""Databases that MLflow has opened in this process. It keeps its connections, so they can no longer be set aside."""


def own_database(layout: Layout) -> Path:
    """The database that a folder of results has when no server is named."""
    return layout.out.absolute() / FILE


def default_uri(layout: Layout) -> str:
    """MLFLOW_TRACKING_URI, else a database in the output folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own_database(layout)}"


class MLflowTracker:
    """Mirrors a suite's records. `uri` None: MLFLOW_TRACKING_URI, else `sqlite:///<out>/mlflow.db`.

    With `verify` the server is asked about every cell instead of trusting the ledger. Not for several threads at once.
    The folder's own database is renamed away when it is damaged, and everything mirrored anew: the records are the
    truth.
    """

    def __init__(self, uri: str | None, layout: Layout, suite: str, *, verify: bool = False) -> None:
        self.uri = uri or default_uri(layout)
        self._own = database_file(self.uri) == own_database(layout)
        self._layout, self._suite, self._verify = layout, suite, verify
        self._ledger = Ledger(layout, FILE if self._own else self.uri, suite, older=self.uri)
        self._server: Server | None = None
        self._owed: list[str] = []
        """Cells that were mirrored to a database that is gone."""
        self._told_all = verify
        """Whether the suite's other cells have been looked at: those that another suite finished in this folder."""

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        """See harness.api.running.Tracker: asks the ledger alone, without importing MLflow."""
        return list(self._ledger.behind(list(cell_ids), trust=is_there(self.uri)))

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        """See harness.api.running.Tracker. Stops at the first sign that the server is not there."""
        trust = not self._verify and is_there(self.uri)
        behind = self._ledger.behind(list(cell_ids), trust=trust)
        reasons: dict[str, str] = {}
        mirrored: dict[str, str] = {}
        if not behind:
            return reasons
        try:
            with answered(self.uri):
                server = self._open()
            if not self._told_all:
                self._owed += cells_of(self._layout, self._suite)
            behind |= self._ledger.behind(list(dict.fromkeys(self._owed)))
            self._owed, self._told_all = [], True
            for cell_id, sha in behind.items():
                try:
                    self._mirror(server, cell_id, sha)
                    mirrored[cell_id] = sha
                except Unreachable:
                    raise
                except HarnessError as error:  # of this cell alone
                    reasons[cell_id] = str(error)
        except (Unreachable, Refused) as error:
            self._server = None  # opened afresh next time: what it knew of the runs may be wrong
            reasons |= {cell_id: str(error) for cell_id in behind if cell_id not in mirrored | reasons}
        if mirrored:
            self._ledger.note(mirrored)
        return reasons

    def _mirror(self, server: Server, cell_id: str, sha: str) -> None:
        record = load(self._layout, cell_id)
        if record is None:
            return
        with answered(self.uri):
            try:
                server.mirror(cell_id, sha, record)
            except ValueError as error:  # the record names a cell that this release cannot read
                what = f"cannot be mirrored: {str(error).splitlines()[0]}"
                raise Refused(what, where=f"cell {cell_id}") from error

    def _open(self) -> Server:
        if self._server is None:
            file = database_file(self.uri)
            with ExitStack() as held:
                if file is not None:
                    held.enter_context(opening(file))
                    self._mend(file)
                    if self._own:
                        unhurried(file)
                    import_module("mlflow.store.tracking.sqlalchemy_store")  # takes seconds
                    outlast(file.parent.stat, file)  # MLflow would make a folder in place of one that is away
                _opened.add(self.uri)
                server = Server(self.uri, self._layout, self._suite, own=self._own)
                server.prepare()
            self._server = server
        return self._server

    def _mend(self, file: Path) -> None:
        """Renames the folder's own database away when it is damaged. Raises Unreachable for one that is the user's."""
        why = damage(file)
        if why and (not self._own or self.uri in _opened):
            raise _damaged(self.uri, why)
        if why:
            place = set_aside(file)
            what = f"MLflow's database could not be used: {why}. It is kept as {place}; the records are mirrored anew."
            logging.getLogger(__name__).warning(what)
        if why or not is_there(self.uri):
            self._owed = self._ledger.forget()

    def close(self) -> None:
        """Writes the ledger, and marks the suite's run as finished, if this tracker mirrored anything."""
        self._ledger.flush()
        if self._server is not None:
            try:
                with answered(self.uri):
                    self._server.finish()
            except HarnessError:
                logging.getLogger(__name__).info("the suite's run could not be marked as finished")

    @staticmethod
    def fetch(layout: Layout, suites: Sequence[str], into: Layout) -> None:
        """Downloads the records, per-image metrics and resolved suites of every run of these suites into `into`.

        Raises HarnessError when the server does not answer, has none of a suite's runs, or lacks an artifact of one.
        """
        uri = default_uri(layout)
        file = database_file(uri)
        with answered(uri):
            if file is not None and (why := damage(file)):
                raise _damaged(uri, why)
            if file is not None and not is_there(uri):
                what = "there is no database here" if not file.exists() else "the database is empty"
                hint = f"bench track sync {shown_place(layout.out)}"
                raise HarnessError(f"nothing has been mirrored to MLflow yet: {what}", where=uri, hint=hint)
            for suite in suites:
                fetch_suite(Server(uri, layout, suite), into)


def _damaged(uri: str, why: str) -> Unreachable:
    hint = "bench track sync DIR mirrors the records anew; a database of your own, move it away or restore it before"
    return Unreachable(f"MLflow's database cannot be used: {why}", where=uri, hint=hint, kind="storage")


def ping(uri: str | None) -> str:
    """One line about the server at `uri`, or about MLflow itself when runs would write a database of their own.

    Raises HarnessError when the server does not answer.
    """
    if not uri:
        from mlflow import __version__

        return f"{__version__}, a database in each folder of results (MLFLOW_TRACKING_URI is not set)"
    with answered(uri):
        from mlflow import MlflowClient, __version__

        MlflowClient(uri).search_experiments(max_results=1)
    return f"{__version__}, {uri} answers"
