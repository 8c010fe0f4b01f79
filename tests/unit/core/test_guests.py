"""The boundary to plug-ins: whose an error is, what is contained, what is left alone."""

from __future__ import annotations

import errno
import functools
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import DataError, HarnessError
from harness.core.guests import (
    FAILURES,
    PARTS,
    UserInterrupt,
    blame,
    contained,
    fault,
    guest_place,
    is_users,
    tell_interrupts,
)
from harness.core.machine import shortage
from harness.core.running import import_file
from harness.jobs.classify import classify

GUEST = """
import os, signal, sys


class Own(BaseException): ...


class Mute(Exception):
    def __str__(self):
        return self.words


class Part:
    def key(self):
        return {}["x"]
    def leave(self):
        sys.exit(3)
    def interrupt(self):
        raise KeyboardInterrupt
    def own(self):
        raise Own("boo")
    def mute(self):
        raise Mute
    def memory(self):
        raise MemoryError
    def full(self):
        raise OSError(28, "No space left on device")
    def user(self):
        signal.raise_signal(signal.SIGINT)
    def calls(self, function):
        return function()
    def move(self):
        os.chdir("/")
    def talk(self):
        print("noise")
    def silence(self):
        sys.stdout = sys.stderr = None
        signal.signal(signal.SIGINT, signal.SIG_IGN)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.py"
    path.write_text(GUEST)
    return path


@pytest.fixture
def part(file: Path) -> Any:
    PARTS[str(file), "Part"] = "prior mine"
    return import_file(str(file)).Part()


@pytest.fixture
def told() -> Iterator[None]:
    """Ctrl-C as `bench` sets it up."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    tell_interrupts()
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("method", "line", "what"),
    [
        ("key", 15, "prior mine: KeyError: 'x'"),
        ("leave", 17, "prior mine: it ends the process (sys.exit, code 3)"),
        ("interrupt", 19, "prior mine: it raises KeyboardInterrupt, as if the user had pressed Ctrl-C"),
        ("own", 21, "prior mine: Own: boo"),
        ("mute", 23, "prior mine: Mute: its message cannot be read (AttributeError)"),
    ],
)
def test_what_a_guest_raises_is_told_with_its_part_file_and_line(
    part: Any, file: Path, told: None, method: str, line: int, what: str
) -> None:
    with pytest.raises(HarnessError) as caught, contained("mend it"):
        getattr(part, method)()
    error = caught.value
    assert (error.kind, error.where, error.what, error.hint) == ("plugin", f"{file}:{line}", what, "mend it")


def test_an_error_below_a_guest_is_the_guests(part: Any, file: Path) -> None:
    with pytest.raises(HarnessError) as caught, contained():
        part.calls(lambda: int("four"))
    assert caught.value.where == f"{file}:31"
    assert "ValueError: invalid literal" in caught.value.what


@pytest.mark.parametrize(("method", "kind"), [("memory", MemoryError), ("full", OSError)])
def test_a_machine_that_is_too_small_is_no_fault_of_a_guest(part: Any, method: str, kind: type) -> None:
    with pytest.raises(kind), contained():
        getattr(part, method)()


def test_errors_for_users_stay_as_they_are(part: Any) -> None:
    def lacking() -> None:
        raise DataError("no pictures")

    with pytest.raises(DataError, match=r"^no pictures$"), contained():
        part.calls(lacking)


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(2), KeyboardInterrupt()])
def test_errors_of_this_package_are_not_the_guests(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, contained(owner=object()):
        raise error
    assert caught.value is error


def test_a_real_interrupt_inside_a_guest_is_the_users(part: Any, told: None) -> None:
    with pytest.raises(UserInterrupt) as caught, contained():
        part.user()
    assert is_users(caught.value)
    assert blame(caught.value) is None


def test_without_a_handler_of_our_own_an_interrupt_may_be_the_users(part: Any) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), contained():
            part.interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_where_signals_are_ignored_an_interrupt_is_the_guests(part: Any) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in workers
    try:
        with pytest.raises(HarnessError, match="as if the user"), contained():
            part.interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("call", [lambda part: part.key(1), lambda part: part.nothing()])
def test_a_call_that_does_not_fit_is_the_owners_fault(part: Any, file: Path, call: Callable[[Any], Any]) -> None:
    with pytest.raises(HarnessError, match=r"Part: (TypeError|AttributeError)") as caught, contained(owner=part):
        call(part)
    assert (caught.value.kind, caught.value.where) == ("plugin", f"{file}:13")


def test_the_working_folder_stays_and_noise_goes_to_stderr(part: Any, capsys: pytest.CaptureFixture[str]) -> None:
    here = os.getcwd()
    with contained(quiet=True):
        part.move()
        part.talk()
    assert os.getcwd() == here
    assert (capsys.readouterr().out, sys.stdout is not sys.stderr) == ("", True)


def test_streams_and_ctrl_c_stay_what_they_are(part: Any, told: None) -> None:
    before = (sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT))
    with contained():
        part.silence()
    assert (sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT)) == before


def test_a_full_disk_is_known_by_its_number(part: Any) -> None:
    assert blame(OSError(errno.ENOSPC, "")) is None
    assert guest_place(HarnessError) == ""


def test_only_classes_of_plug_ins_have_a_place(part: Any, file: Path) -> None:
    for cls in (int, Path, HarnessError, type(pytest)):
        assert (guest_place(cls), fault(cls, "gives nothing").kind, fault(cls, "").where) == ("", "bug", "")
    found = fault(part, "gives nothing", "give something")
    assert (found.kind, found.where, found.what) == ("plugin", f"{file}:13", "Part gives nothing")
    assert (fault(type(part), "").where, found.hint) == (f"{file}:13", "give something")


@pytest.mark.parametrize("quiet", [False, True])
def test_another_thread_leaves_what_the_main_thread_sets(quiet: bool, tmp_path: Path, told: None) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with contained(quiet=quiet):
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=work)
    streams, folder = (sys.stdout, sys.stderr), os.getcwd()
    thread.start()
    inside.wait(10)
    assert (sys.stdout, sys.stderr) == streams
    own = io.StringIO()
    try:
        sys.stdout = own
        os.chdir(tmp_path)
        go_on.set()
        thread.join()
        assert (sys.stdout, Path.cwd()) == (own, tmp_path)
    finally:
        sys.stdout = streams[0]
        os.chdir(folder)


class Mute(RuntimeError):
    def __str__(self) -> str:
        raise ValueError


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "memory"),
        (OutOfMemoryError("CUDA"), "memory"),
        (OSError(errno.ENOMEM, ""), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "memory"),
        (OSError(errno.ENOSPC, ""), "storage"),
        (OSError(errno.EDQUOT, ""), "storage"),
        (OSError(errno.EROFS, ""), "storage"),
        (OSError(errno.EIO, ""), "storage"),
        (Exception("SafetensorError: I/O error: No space left on device (os error 28)"), "storage"),
        (OSError(errno.EACCES, ""), None),
        (KeyError("out of memory"), None),
        (KeyboardInterrupt("no space left on device"), None),
        (Mute(), None),
    ],
)
def test_what_gave_out_is_told_alike_everywhere(part: Any, error: BaseException, expected: str | None) -> None:
    assert shortage(error) == expected
    if expected is not None:
        assert classify(error) == expected
        with pytest.raises(type(error)), contained(owner=part):
            part.calls(functools.partial(_raise, error))


def _raise(error: BaseException) -> None:
    raise error


def test_what_ends_one_thing_and_nothing_beside_it_is_defined_once() -> None:
    assert not any(issubclass(UserInterrupt, each) for each in FAILURES)
    package = Path(__file__).parents[3] / "harness"
    having = [path.relative_to(package) for path in package.rglob("*.py") if "FAILURES = " in path.read_text("utf-8")]
    assert having == [Path("core/guests.py")]
