"""Options and summaries shared by the whole suite of tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:  # the server's libraries are imported by the tests that use it
    from tests.s3_server import S3Server

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):  # new random cases belong to a developer's run, where somebody looks at what they find
    settings.load_profile("ci")

if os.environ.get("PYTEST_XDIST_WORKER"):  # before torch is imported: workers with a thread for every core would fight
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

DEFAULT_GOLDENS = Path(__file__).resolve().parents[2] / "shared" / "goldens" / "public"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--goldens", type=Path, metavar="DIR", help="folder of parity goldens (JSON); see tests/parity/goldens.py"
    )


def pytest_collection_finish() -> None:
    """Ten thousand tests and all that they import stay: no search for garbage has to walk over them."""
    from harness.core.garbage import spare_modules

    spare_modules()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the parity table from what the parity tests recorded."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    calls = [report for report in reports if report.when == "call"]
    rows = [value for report in calls for name, value in report.user_properties if name == "parity"]
    if not rows:
        return
    terminalreporter.section("parity with the authors' networks")
    terminalreporter.line(f"{'network':<14} {'config':<28} {'parameters':>12} {'max error':>10} {'tolerance':>10}")
    for network, config, parameters, error, tolerance in sorted(rows):
        numbers = f"{parameters:>12,} {error:>10.2e} {tolerance:>10.2e}"
        terminalreporter.line(f"{network:<14} {config:<28} {numbers}{'' if error <= tolerance else '  OVER'}")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An S3 server of the test's own, which may be killed; a lost one is tried again at once."""
    from harness.storage import reach
    from tests.s3_server import s3_server

    monkeypatch.setattr(reach, "WAITS", (0.05, 0.1))
    with s3_server(monkeypatch) as running:
        yield running
