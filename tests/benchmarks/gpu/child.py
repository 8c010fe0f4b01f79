"""One section in a process of its own:
`python -m tests.benchmarks.gpu.child NAME --out FOLDER --seconds N [--small]`."""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

from tests.benchmarks.gpu.bench import Bench, machine
from tests.benchmarks.gpu.finding import WHOLE, Report


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("section")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what it has started ends with it
    return run(given.section, given.out, given.seconds, small=given.small)


def run(section: str, out: Path, seconds: float, *, small: bool) -> int:
    """Measures a section, whose findings are in `<out>/<section>.json` whatever happens. Gives the exit code."""
    began = time.monotonic()
    report = Report(out / f"{section}.json", section, machine(), small)
    report.keep()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            bench = Bench(Path(folder), report, began + seconds)
            import_module(f"tests.benchmarks.gpu.{section}").measure(bench)
        report.ended = WHOLE
    except KeyboardInterrupt:
        report.ended = "stopped: its time was over"
    except Exception as error:  # noqa: BLE001 - what was measured stays, and the other sections go on
        traceback.print_exc()
        report.ended = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    finally:
        report.seconds = time.monotonic() - began
        report.keep()
    return 0 if report.ended == WHOLE else 1


if __name__ == "__main__":
    raise SystemExit(main())
