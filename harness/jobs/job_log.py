"""The log of a job: all that it and its libraries say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.core.beat import beat
from harness.core.fence import superseded
from harness.core.outlast import make_folder, outlast
from harness.core.paths import storage_error

log = logging.getLogger(__name__)


class _JobLog(logging.FileHandler):
    """Every line is a sign of life; a try that was given up adds none to the log of its replacement."""

    def emit(self, record: logging.LogRecord) -> None:
        beat()
        if not superseded():
            super().emit(record)


@contextmanager
def logging_to(path: Path) -> Iterator[bool]:
    """Sends Python's logging and warnings to the job's log, which earlier attempts have begun; says whether it can.

    A log that cannot be written costs no result: the job goes on without it, and says so where warnings go.
    """
    try:
        outlast(lambda: make_folder(path.parent), path)
        handler = _JobLog(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.warning("there will be no log: %s", storage_error(error, path))
        yield False
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk would put a traceback on standard error for every line
    try:
        yield True
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        with suppress(OSError):  # it writes what is left, on a disk that may be full
            handler.close()
