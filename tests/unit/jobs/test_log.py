"""The log of a job on a disk that is full."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from harness.jobs.job_log import logging_to


def test_a_full_disk_puts_no_traceback_on_the_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with logging_to(Path("/dev/full")):
        logging.getLogger("harness.test").warning("x" * 100_000)
    assert capfd.readouterr().err == ""
