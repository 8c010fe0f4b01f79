"""Units on their way to a store and back: whole or not at all, whatever is cut off, and no more than is wanted."""

from __future__ import annotations

import logging
from itertools import count
from pathlib import Path

import pytest

from harness.core.errors import DataError, HarnessError
from harness.core.fence import Superseded
from harness.core.identity import file_sha256
from harness.storage.copies import Copy, held_here
from harness.storage.mirror import bytes_elsewhere, elsewhere, everything, fetch, fetch_all, records, unchanged
from harness.storage.sending import forget, publish, remove_there, renamed
from harness.storage.state import CONTENT, pointer_key
from harness.storage.store import Store
from tests.unit.storage.conftest import Machines, contents, write

CELL = "cells/0123456789ab"
OLD = {"record.json": "old record", "events.jsonl": "1\n", "checkpoint/step-1/model": "old weights"}
NEW = {"record.json": "new record", "events.jsonl": "1\n2\n", "checkpoint/step-2/model": "new weights"}


def put(copy: Copy, files: dict[str, str], unit: str = CELL) -> None:
    """Makes the folder of a unit hold these files alone."""
    for path in (copy.files / unit).rglob("*"):
        if path.is_file():
            path.unlink()
    write(copy, unit, **{name.replace("/", "__"): text for name, text in files.items()})


def seen_elsewhere(machines: Machines, name: str = "other") -> dict[str, str]:
    copy = machines(name)
    fetch(copy, CELL)
    return contents(copy.files / CELL)


def test_what_one_machine_publishes_another_one_fetches(machines: Machines) -> None:
    one = machines("one")
    put(one, OLD)
    publish(one, CELL, whole=True)
    assert seen_elsewhere(machines) == OLD
    put(one, NEW)
    publish(one, CELL, whole=True)
    assert seen_elsewhere(machines) == NEW
    assert sum(key.startswith(CONTENT) for key in machines.objects()) == 3, "what is replaced is removed"


def test_what_writes_left_that_were_cut_off_goes_when_the_unit_is_fetched(machines: Machines) -> None:
    one, other = machines("one"), machines("other")
    put(one, NEW)
    publish(one, CELL, whole=True)
    left = {"checkpoint__.step-2.0123abcd.tmp__model": "half", ".record.json.0123abcd.tmp": "ha"}
    write(other, CELL, **left, checkpoint__step_2__model="of another state")
    fetch(other, CELL)
    assert contents(other.files / CELL) == NEW


def test_a_folder_that_the_store_does_not_have_is_removed_here(machines: Machines) -> None:
    one, other = machines("one"), machines("other")
    put(one, OLD)
    publish(one, CELL)
    fetch_all(other, "cells", everything)
    assert contents(other.files / CELL) == OLD
    forget(one, CELL)
    write(other, "cells/ffffffffffff", record__json="never published")
    fetch_all(other, "cells", everything)
    assert contents(other.files) == {}
    assert machines.objects() == []


def test_a_publish_that_is_killed_anywhere_leaves_the_old_state_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for step in count(1):
        machines = Machines(tmp_path / str(step), monkeypatch)
        one = machines("one")
        put(one, OLD)
        publish(one, CELL, whole=True)
        put(one, NEW)
        try:
            with monkeypatch.context() as patched:
                count_down(patched, step)
                publish(one, CELL, whole=True)
        except Killed:
            found.append(seen_elsewhere(machines))
        else:
            break
        publish(machines("one"), CELL, whole=True)
        assert seen_elsewhere(machines, "third") == NEW
        assert sum(key.startswith(CONTENT) for key in machines.objects()) == 3, "nothing stays of what was killed"
    assert [files == NEW for files in found] == sorted(files == NEW for files in found)
    assert [files in (OLD, NEW) for files in found] == [True] * len(found)
    assert found[0] == OLD
    assert found[-1] == NEW


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def count_down(patched: pytest.MonkeyPatch, step: int) -> None:
    """Ends the process, so to speak, before or after the operation of this number on the store."""
    calls = [0]

    def stepped(name: str) -> None:
        plain = getattr(Store, name)

        def operation(self: Store, *arguments: object, **named: object) -> object:
            calls[0] += 1
            if calls[0] == step:
                raise Killed
            found = plain(self, *arguments, **named)
            calls[0] += 1
            if calls[0] == step:
                raise Killed
            return found

        patched.setattr(Store, name, operation)

    for name in ("read", "write", "put", "remove", "find"):
        stepped(name)


def test_records_alone_are_fetched_and_what_is_not_here_is_known(machines: Machines) -> None:
    one, other = machines("one"), machines("other")
    put(one, OLD)
    publish(one, CELL, whole=True)
    fetch_all(other, "cells", records)
    weights = other.files / CELL / "checkpoint/step-1/model"
    assert set(contents(other.files / CELL)) == {"record.json", "events.jsonl"}
    assert weights.parent.parent.is_dir(), "a training was begun"
    assert elsewhere(weights) == file_sha256(one.files / CELL / "checkpoint/step-1/model")
    assert bytes_elsewhere(other.files / CELL) == len("old weights")
    assert elsewhere(other.files / CELL / "record.json") is None
    write(other, CELL, **{"record.json": "noted by the driver"})
    publish(other, CELL)
    assert seen_elsewhere(machines, "third") == OLD | {"record.json": "noted by the driver"}
    fetch(other, CELL)
    assert elsewhere(weights) is None


def test_what_was_changed_here_and_not_published_gives_way(machines: Machines) -> None:
    one = machines("one")
    put(one, OLD)
    publish(one, CELL, whole=True)
    assert unchanged(one, CELL)
    put(one, NEW)
    assert not unchanged(one, CELL)
    fetch_all(one, "cells", everything)
    assert contents(one.files / CELL) == OLD


def test_a_unit_that_a_process_here_works_on_is_left_alone(machines: Machines) -> None:
    one = machines("one")
    put(one, OLD)
    publish(one, CELL, whole=True)
    put(one, NEW)
    with held_here(one, CELL, 0) as free:
        assert free
        fetch_all(one, "cells", everything)
    assert contents(one.files / CELL) == NEW


def test_nothing_changes_hands_when_nothing_has_changed(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = machines("one"), machines("other")
    put(one, OLD)
    publish(one, CELL, whole=True)
    fetch_all(other, "cells", records)
    fetch_all(other, "cells", records)
    read: list[str] = []
    plain = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: read.append(key) or plain(self, key))  # type: ignore[func-returns-value]
    fetch_all(other, "cells", records)
    assert read == []


def test_who_was_superseded_replaces_nothing_and_removes_nothing(machines: Machines) -> None:
    one = machines("one")
    put(one, OLD)
    publish(one, CELL, whole=True)
    put(one, NEW)

    def refused() -> None:
        raise Superseded("given up", kind="worker_lost")

    with pytest.raises(Superseded):
        publish(one, CELL, refused, whole=True)
    assert seen_elsewhere(machines) == OLD
    with pytest.raises(Superseded):
        publish(machines("empty"), CELL, refused, whole=True)
    assert seen_elsewhere(machines) == OLD


def test_files_that_vanish_while_they_are_published_are_sent_again(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another try, which was given up, sweeps at the wrong moment."""
    one = machines("one")
    put(one, OLD)
    plain = Store.write
    cut: list[str] = []

    def write_and_lose(self: Store, key: str, content: bytes) -> None:
        plain(self, key, content)
        if not cut and key == pointer_key(CELL):
            cut.append(next(name for name in self.find(CONTENT)))
            self.remove(cut)

    monkeypatch.setattr(Store, "write", write_and_lose)
    publish(one, CELL, whole=True)
    assert cut
    assert seen_elsewhere(machines) == OLD


def test_a_damaged_object_comes_as_it_is_and_is_told(machines: Machines, caplog: pytest.LogCaptureFixture) -> None:
    one = machines("one")
    put(one, OLD)
    publish(one, CELL, whole=True)
    key = next(key for key, seen in one.store.find(CONTENT).items() if seen.bytes == len("old record"))
    one.store.write(key, b"bad record")
    with caplog.at_level(logging.WARNING):
        assert seen_elsewhere(machines) == OLD | {"record.json": "bad record"}
    assert "is not what it was" in caplog.text
    one.store.remove([key])
    assert seen_elsewhere(machines, "third") == {name: text for name, text in OLD.items() if name != "record.json"}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 1, "files": {"../../x": {"sha256": "0", "bytes": 1}}}'])
def test_a_damaged_pointer_is_named(machines: Machines, content: bytes) -> None:
    one = machines("one")
    one.store.write(pointer_key(CELL), content)
    with pytest.raises(DataError, match="damaged") as caught:
        fetch(one, CELL)
    assert caught.value.where == f"{machines.url}/{pointer_key(CELL)}"


def test_a_swap_here_is_one_there(machines: Machines) -> None:
    one, other = machines("one"), machines("other")
    new = "cells/.0123456789ab.anew"
    put(one, OLD)
    put(one, {**NEW, ".whole": ""}, new)
    publish(one, CELL, whole=True)
    publish(one, new, whole=True)
    fetch_all(other, "cells", records)  # the driver's copy, without weights
    (other.files / CELL).rename(other.files / "cells/.0123456789ab.old")
    (other.files / new).rename(other.files / CELL)
    (other.files / CELL / ".whole").unlink()
    renamed(other, new, CELL, (".whole",))
    assert seen_elsewhere(machines, "third") == NEW
    assert unchanged(other, CELL)
    assert [key for key in machines.objects() if key.startswith("units/")] == [pointer_key(CELL)]
    assert sum(key.startswith(CONTENT) for key in machines.objects()) == 3


def test_what_is_removed_here_can_be_removed_there(machines: Machines) -> None:
    one = machines("one")
    put(one, OLD)
    publish(one, CELL, whole=True)
    one.store.write("data/sets/a/train/manifest.json", b"{}")
    one.store.write("data/sets/a/train/000000.tar", b"tar")
    one.store.write("data/sets/ab/train/000000.tar", b"tar")
    remove_there(one.files / CELL)
    remove_there(one.files / "data/sets/a")
    assert machines.objects() == ["data/sets/ab/train/000000.tar"]


def test_a_store_that_cannot_be_reached_is_named(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    one = machines("one")
    put(one, OLD)

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.cat_file", lost)
    with pytest.raises(HarnessError, match="cannot be reached: refused") as caught:
        publish(one, CELL)
    assert caught.value.kind == "storage"
