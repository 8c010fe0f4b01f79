"""One run at a time on a store's folder, from whichever machine: who holds it, until when, and who takes it over."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.records.lock import run_lock
from harness.storage import lock as locks
from harness.storage.copies import Copy
from harness.storage.lock import KEY, alive, holder_of, store_lock
from tests.unit.storage.conftest import Machines


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT", 0.05)


def test_a_second_run_on_another_machine_is_told_who_holds_the_folder(machines: Machines) -> None:
    one, other = machines("one"), machines("other")
    with store_lock(one):
        found = holder_of(other)
        assert found is not None
        assert alive(found)
        said = rf"another run is using this folder: process {found.pid} on "
        with pytest.raises(HarnessError, match=said) as caught, store_lock(other):
            pass
        assert caught.value.where == machines.url
        assert "--out" in caught.value.hint
    assert holder_of(other) is None
    with store_lock(other):
        pass
    assert KEY not in machines.objects()


def test_the_lock_of_a_run_that_was_killed_here_is_taken_at_once(machines: Machines) -> None:
    one = machines("one")
    died(one)
    with run_lock(Layout(one.files, one.files / "data")):
        found = holder_of(one)
        assert found is not None
        assert found.owner != "dead"


def test_elsewhere_a_holder_counts_as_dead_after_a_while_by_the_stores_clock(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines("one"), machines("other")
    died(one)
    monkeypatch.setattr(time, "time", lambda: 1e12)  # this machine's clock does not matter
    with pytest.raises(HarnessError, match="last sign of life"), store_lock(other):
        pass
    monkeypatch.setattr(locks, "EXPIRY", -1.0)
    with store_lock(other):
        assert holder_of(one) is not None


def died(copy: Copy) -> None:
    """Leaves the lock of a run that was killed."""
    lock = locks.StoreLock(copy)
    lock._sign()
    content = copy.store.read(KEY) or b""
    copy.store.write(KEY, content.replace(lock._holder.owner.encode(), b"dead"))


def test_a_holder_that_fell_silent_and_lost_the_folder_is_told(machines: Machines, quick: None) -> None:
    one, other = machines("one"), machines("other")
    with store_lock(one) as lock:
        lock.check()
        died(other)
        assert within(2.0, lambda: lock._taken_by is not None)
        with pytest.raises(HarnessError, match="another run has taken this folder"):
            lock.check()
    assert holder_of(one) is not None, "the other one's lock stays"


def test_a_holder_gives_signs_of_life(machines: Machines, quick: None) -> None:
    one = machines("one")
    with store_lock(one):
        before = one.store.find(KEY)[KEY].at
        assert within(3.0, lambda: one.store.find(KEY)[KEY].at != before)


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"owner": 1}'])
def test_a_damaged_lock_holds_nobody(machines: Machines, content: bytes) -> None:
    one = machines("one")
    one.store.write(KEY, content)
    with store_lock(one):
        assert holder_of(one) is not None
