"""Full disks, read-only folders and killed writers: nothing half-written is ever trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.records import anew, store
from harness.records.remake import Remake
from harness.records.store import ImageRow
from tests.unit.records import made

ROWS = [ImageRow("0123456789ab", "photos", f"image{number:06d}", "psnr", number / 7) for number in range(60_000)]
Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a tmpfs with the given options. Being root, tests cannot use permissions: root may write anywhere."""
    folder = tmp_path / "mounted"

    def mounted(options: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode != 0:
            pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
        return folder

    yield mounted
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_old_files_and_leaves_no_pieces(mount: Mount) -> None:
    folder = mount("size=256k")
    layout = Layout(folder, folder / "data")
    content = made.cell()
    before = made.finish(layout, content, made.values([20.0]))
    with pytest.raises(HarnessError, match="the disk is full") as caught:
        store.save_images(layout, content.id, ROWS)
    assert caught.value.kind == "storage"
    assert not list(folder.rglob("*.tmp"))
    (folder / "filler").write_bytes(b"x" * 4096)  # the failed write gave its space back
    assert store.load(layout, content.id) == before
    assert store.load_images(layout, content.id).num_rows == 1


def test_a_record_on_a_full_disk_stays_as_it_was(mount: Mount) -> None:
    folder = mount("size=64k")
    layout = Layout(folder, folder / "data")
    content = made.cell()
    before = made.finish(layout, content)
    with open(folder / "filler", "wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(b"x" * 4096)
    with pytest.raises(HarnessError, match="the disk is full"):
        store.save(layout, before.model_copy(update={"attempts": before.attempts * 50}))
    with pytest.raises(HarnessError, match="the disk is full"):
        for step in range(10_000):
            store.append_event(layout, content.id, {"event": "step", "step": step})
    assert store.load(layout, content.id) == before
    steps = [event["step"] for event in store.read_events(layout, content.id)]
    assert steps == list(range(len(steps)))


def test_a_read_only_folder_is_said_in_words(mount: Mount) -> None:
    folder = mount("size=1m")
    layout = Layout(folder, folder / "data")
    content = made.cell()
    record = made.finish(layout, content, made.values([20.0]))
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    writes: list[Callable[[], object]] = [
        lambda: store.save(layout, record),
        lambda: store.save_images(layout, content.id, ROWS[:1]),
        lambda: store.append_event(layout, content.id, {"step": 1}),
        lambda: anew.begin(layout, content.id, Remake(purpose="train")),
        lambda: anew.begin(layout, content.id, Remake(purpose="rescore")),
    ]
    for write in writes:
        with pytest.raises(HarnessError, match="cannot write here") as caught:
            write()
        assert "--out" in caught.value.hint
    assert store.load(layout, content.id) == record


KILLS = 25
WRITERS = """
import os, signal, sys, time
from pathlib import Path
import pyarrow.parquet
from harness.core.paths import Layout
from harness.records import anew, store
from tests.unit.records import made

layout = Layout(Path(sys.argv[1]), Path(sys.argv[1], "data"))
content = made.cell()
made.finish(layout, content, made.values([0.5] * 6), seconds=0.5)  # imports what is needed, once

def write_for_ever():
    round = 0
    while True:
        round += 1
        made.finish(layout, content, made.values([float(round)] * 6), seconds=float(round))
        store.append_event(layout, content.id, {"event": "step", "step": round, "padding": "x" * 200_000})

for line in sys.stdin:
    writer = os.fork()
    if writer == 0:
        write_for_ever()
    time.sleep(float(line))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    print("killed", flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_nothing_half_that_load_trusts(tmp_path: Path) -> None:
    """SIGKILL in mid-write, many times: every file that is believed is whole and of one round."""
    layout = Layout(tmp_path, tmp_path / "data")
    content = made.cell()
    command = [sys.executable, "-c", WRITERS, str(tmp_path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=root, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for kill in range(KILLS):
            process.stdin.write(f"{0.05 + kill * 0.0131:.4f}\n")
            assert process.stdout.readline() == "killed\n"
            _check(layout, content)
        process.stdin.close()


def _check(layout: Layout, content: Cell) -> None:
    """Fails when something half-written is believed, or when there is no table that the record vouches for."""
    record = store.load(layout, content.id)  # always whole: never raises
    assert record is not None
    assert record.training is not None
    steps = [event["step"] for event in store.read_events(layout, content.id)]
    assert all(later in (earlier + 1, 1) for earlier, later in pairwise(steps))
    table = store.load_images(layout, content.id)
    assert set(table.column("value").to_pylist()) == {record.training.seconds}
    assert table.num_rows == 6
