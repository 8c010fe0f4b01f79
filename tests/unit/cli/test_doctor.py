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


@pytest.fixture
def account(tmp_path, monkeypatch):
    """A home folder that everybody can enter, without a token."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_ways", lambda file: True)
    return tmp_path


def write_token(home, mode):
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("0" * 64)
    (home / ".ray" / "auth_token").chmod(mode)
    return home / ".ray" / "auth_token"


def test_an_account_without_a_token_lacks_nothing_until_the_mode_is_set(account, monkeypatch):
    assert doctor._token().state == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    found = doctor._token()
    assert (found.state, "auth_token" in found.todo) == ("missing", True)
    monkeypatch.setenv("RAY_AUTH_MODE", "tokens")
    assert "which Ray does not know" in doctor._token().detail


def test_a_token_that_others_can_read_is_told_with_the_cure(account):
    file = write_token(account, 0o644)
    found = doctor._token()
    assert (found.state, found.todo) == ("missing", f"chmod 600 {file}")
    file.chmod(0o600)
    assert doctor._token().state == "ok"


def test_a_readable_token_in_a_closed_folder_is_nobody_elses(account, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(account))
    write_token(account, 0o644).parent.chmod(0o700)
    assert doctor._token().state == "ok"


def test_a_named_token_file_that_is_not_there_is_told(account, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(account / "gone"))
    found = doctor._token()
    assert found.state == "missing"
    assert str(account / "gone") in found.detail


def test_what_several_processes_need_is_told():
    found = doctor._in_process("processes", doctor.PROCESSES, "", "")
    assert found.state == "ok"
    assert found.detail.startswith("gloo for CPUs, ")
