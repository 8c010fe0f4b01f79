"""Findings of `bench doctor`; the libraries themselves are started by tests/flow."""

from __future__ import annotations

import pytest

from harness.cli import doctor


def test_weights_are_missing_in_an_empty_home_with_the_command_that_gets_them(tmp_path, monkeypatch):
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME", "PRIORBENCH_WEIGHTS"):
        monkeypatch.setenv(variable, str(tmp_path))
    findings = {finding.subject: finding for finding in doctor._weights()}
    assert {"prior clip", "loss perceptual", "metric lpips"} <= set(findings)
    assert all(finding.state == "missing" and finding.todo for finding in findings.values())
    assert findings["prior clip"].todo == "bench weights fetch clip/ViT-B-32-openai"
    assert findings["metric lpips"].todo.count("bench weights fetch") == 2


def test_python_and_packages_of_this_environment_are_fine():
    (python,) = doctor._python()
    packages, *missing = doctor._packages()
    assert python.state == packages.state == "ok"
    assert missing == []


def test_the_disk_is_judged_where_the_folder_would_be_made(tmp_path, monkeypatch):
    found = doctor._disk("results", tmp_path / "a" / "b")
    assert found.state == "ok"
    assert found.detail.endswith(f"GB free in {tmp_path}")
    monkeypatch.setattr(doctor, "ROOM", 1e9)
    assert doctor._disk("results", tmp_path).state == "missing"
    (tmp_path / "file").write_text("")
    assert "cannot write" in doctor._disk("results", tmp_path / "file" / "x").detail


@pytest.mark.parametrize(
    ("program", "state", "detail"),
    [
        ("print('noise'); print('1.2.3')", "ok", "1.2.3"),
        ("raise ImportError('no such library')", "missing", "ImportError: no such library"),
        ("import sys; print(sys.argv[1])", "ok", "argument"),
    ],
)
def test_a_library_is_asked_in_its_own_process(program, state, detail):
    found = doctor._in_process("x", program, "argument", "do this")
    assert (found.state, found.detail, found.todo) == (state, detail, "do this" if state == "missing" else "")


def test_a_library_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE", 0.2)
    found = doctor._in_process("x", "import time; time.sleep(60)", "", "do this")
    assert (found.state, found.todo) == ("missing", "do this")
