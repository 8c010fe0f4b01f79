"""The benchmark of a GPU does what it says, in small and without one: its numbers are of no interest here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import pytest
import torch

from tests.benchmarks.gpu import __main__ as command
from tests.benchmarks.gpu import child, wheels
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.finding import WHOLE, Finding, Goal, Report, read, table
from tests.benchmarks.gpu.processes import ROOT, beside

HERE = Path(__file__).parent
NO_GPU = ("there is no GPU", "one by one: no batch was tried")
"""Why rows may be without a number on a CPU."""
SECTIONS = {
    "ptg_rm": ("1×16×16 bf16 step", "1×16×16 bf16 forward", "1×16×16 bf16 memory of a step"),
    "steps": ("NAFNet-4 b2 p32 bf16 step", "NAFNet-4 b2 p32 bf16 losses apart", "NAFNet-4 b2 p32 bf16 graphs"),
    "deterministic": (
        "PTG-RM, twice: same weights",
        "PTG-RM, killed and resumed: same weights as without",
        "PTG-RM, step with it against without",
    ),
    "evaluation": ("an image restored and scored", "LPIPS (random weights), cpu against cpu"),
    "together": ("4 refiners together, as written",),
    "features": ("NAFNet-8, as written: cached against live",),
    "host_tensors": ("drunet runs (no GPU: nothing is captured)",),
}
"""Some rows of every section in small, on a CPU."""
LONG = ("ptg_rm", "steps", "deterministic", "together")
"""They compile, start several processes, or train for long."""


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU `make benchmarks-gpu` says more")
@pytest.mark.parametrize(
    "section", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in SECTIONS]
)
def test_a_section_measures_all_that_it_has(section: str, tmp_path: Path) -> None:
    code = child.run(section, tmp_path, 500, small=True)
    report = read(tmp_path / f"{section}.json")
    assert (report.ended, code) == (WHOLE, 0)
    assert report.machine["device"] == "no GPU"
    names = [each.name for each in report.findings]
    assert set(SECTIONS[section]) <= set(names), names
    lacking = [each for each in report.findings if each.value is None and each.note not in NO_GPU]
    assert not lacking
    assert all(each.met is not False for each in report.findings), report.findings


def test_every_section_has_a_share_and_a_trial() -> None:
    assert command.SHARES.keys() == SECTIONS.keys()
    assert all((HERE / f"{name}.py").is_file() for name in SECTIONS)
    assert sum(command.SHARES.values()) == 100


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "odd.json", "odd", {"device": "no GPU"})


def _section(monkeypatch: pytest.MonkeyPatch, measure: object) -> None:
    module = types.ModuleType("odd")
    monkeypatch.setattr(module, "measure", measure, raising=False)
    monkeypatch.setitem(sys.modules, "tests.benchmarks.gpu.odd", module)


def test_a_section_that_fails_keeps_what_it_has_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(bench: Bench) -> None:
        bench.report.tell("first", 2.0, "×")
        assert read(tmp_path / "odd.json").findings == [Finding("first", 2.0, "×")], "whole while it goes on"
        raise ValueError("no more")

    _section(monkeypatch, measure)
    assert child.run("odd", tmp_path, 10, small=True) == 1
    found = read(tmp_path / "odd.json")
    assert found.findings == [Finding("first", 2.0, "×")]
    assert found.ended == "failed: ValueError: no more"


def test_pieces_that_fail_or_find_no_time_cost_the_others_nothing(tmp_path: Path, report: Report) -> None:
    bench = Bench(tmp_path, report, time.monotonic() + 60)

    def late() -> None:
        bench.deadline = 0.0

    bench.each({"broken": lambda: 1 // 0, "late": late, "never": lambda: report.tell("never", 1)})
    assert [(each.name, each.note) for each in report.findings] == [
        ("broken", "ZeroDivisionError: integer division or modulo by zero"),
        ("never", "its time was over"),
    ]


def test_a_section_whose_time_is_over_is_stopped(tmp_path: Path) -> None:
    found = command.measured("features", tmp_path, 0.5, small=True)
    assert found.ended == "stopped: its time was over"
    assert json.loads((tmp_path / "features.json").read_text())["ended"] == found.ended


def test_goals_are_met_or_missed(report: Report) -> None:
    report.tell("fast", 4.5, "×", Goal("≥", 4.0), "2 ms | 9 ms")
    report.tell("slow", 1.0, "×", Goal("≥", 1.5))
    report.tell("idle", 10.0, "%", Goal("<", 10))
    report.tell("equal", value=True, goal=Goal("=", 1))
    report.tell("odd", float("nan"), "s", Goal("≤", 1))
    report.skip("absent", "there is no GPU")
    report.tell("large", 4321.5, "ms")
    assert [each.met for each in report.findings] == [True, False, False, True, None, None, None]
    assert read(report.path) == report
    text = table([report])
    assert "| odd | fast | 4.5× (2 ms / 9 ms) | ≥ 4× | met |" in text
    assert "| odd | equal | yes | yes | met |" in text
    assert "| odd | large | 4322 ms |" in text
    assert "not measured: there is no GPU" in text
    assert "2 of 4 goals met." in text
    assert "device no GPU" in text


def test_in_small_no_number_is_judged(report: Report) -> None:
    report.small = True
    report.tell("slow", 1.0, "×", Goal("≥", 1.5))
    report.tell("equal", value=False, goal=Goal("=", 1))
    assert [each.met for each in report.findings] == [None, False]
    assert "A trial in small" in table([report])


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["step"]) == 2
    assert "steps" in capsys.readouterr().err


def test_processes_beside_each_other_end_with_their_time(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", code] for code in ("", "raise SystemExit(3)", "import time; time.sleep(600)")]
    began = time.monotonic()
    assert beside(commands, tmp_path, 2, 20) == [0, 3, None]
    assert time.monotonic() - began < 100
    assert (tmp_path / "2.log").is_file()


def test_wheels_are_of_tested_versions_and_leave_pytorch_out() -> None:
    assert len({wheels.pinned(name) for name in wheels.PACKAGES}) == len(wheels.PACKAGES)
    assert not [name for name in wheels.PACKAGES if name.startswith(("torch", "nvidia", "triton"))]
    assert wheels.names_in("Torch==2.11.0\nruamel.yaml 0.19\n\n# no\nopen_clip_torch") == {
        "torch",
        "ruamel-yaml",
        "open-clip-torch",
    }


def test_wheels_are_divided_by_size(tmp_path: Path) -> None:
    sizes = {"a": 50, "b": 30, "c": 30, "d": 9, "e": 70}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    parts = wheels.divided(sorted(tmp_path.iterdir()), 60)
    assert [[file.name for file in part] for part in parts] == [["e"], ["a", "d"], ["b", "c"]]


def test_a_bare_machine_installs_what_it_lacks_and_runs(tmp_path: Path) -> None:
    """Wheels from two folders; what is there in any version, as numpy, is left alone."""
    for folder, name in (("one", "odd_absent_part"), ("two", "numpy")):
        (tmp_path / folder).mkdir()
        with zipfile.ZipFile(tmp_path / folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            about = f"{name}-1.0.dist-info"
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    place = tmp_path / "place"
    script = ["sh", str(HERE / "device.sh")]
    given = {"PYTHON": sys.executable, "PLACE": str(place), "PATH": "/usr/bin:/bin"}
    kept = subprocess.run([*script, str(tmp_path / "one"), "keep"], cwd=ROOT, env=given, check=False)
    done = subprocess.run(
        [*script, str(tmp_path / "two"), "no_section"], cwd=ROOT, env=given, capture_output=True, text=True, check=False
    )
    assert kept.returncode == 0
    assert (done.returncode, "no section is called 'no_section'" in done.stderr) == (2, True), done.stderr
    installed = {path.name for path in (place / "site").iterdir()}
    assert "odd_absent_part" in installed
    assert "numpy" not in installed
