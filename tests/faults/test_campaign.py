"""Slices of the fault campaign (tests/faults/campaign), and that it finds what it is to find."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from tests.faults.campaign.__main__ import Campaign
from tests.faults.campaign.events import sees
from tests.faults.campaign.suites import Size
from tests.faults.campaign.watch import Watch, doubled, left_over
from tests.faults.campaign.world import FAKETIME, ROOT, World, answers, free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.xdist_group("campaign")


@pytest.mark.slow
@pytest.mark.timeout(560)
@pytest.mark.parametrize(
    ("size", "kinds"),
    [
        (
            Size(alone=1, gangs=1, stored=0, steps=96),
            ["worker killed", "rank killed", "raylet killed", "driver killed"],
        ),
        (Size(alone=0, gangs=0, stored=1, steps=96), ["worker killed", "store killed", "driver killed"]),
    ],
    ids=["disk", "store"],
)
def test_a_run_that_is_struck_ends_with_the_table_of_one_that_is_not(size: Size, kinds: list[str]) -> None:
    world = World(size)
    campaign = Campaign(world, 8, random.Random(3), kinds, quick=(1.0, 3.0))
    try:
        campaign.run()
    finally:
        world.close()
        world.remove()
    assert len(campaign.struck) >= 4
    assert campaign.faults == [], campaign.report()


def journal(folder: Path, *events: tuple[str, int]) -> None:
    """Writes a cell's journal; the time of a line is its number."""
    file = folder / "cells" / "0123456789ab" / "events.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"kind": "train", "event": event, "step": step, "time": str(at)} for at, (event, step) in enumerate(events)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_a_training_lost_is_told_from_its_journal(tmp_path: Path) -> None:
    lines = [("start", 0), ("step", 6), ("step", 12), ("checkpoint", 12), ("step", 18)]
    journal(tmp_path, *lines)
    watch = Watch(tmp_path, tmp_path / "copies")
    watch.stop()
    assert watch.resumes == []
    journal(tmp_path, *lines[:-1], ("start", 12), ("step", 18))
    watch.stop()
    assert [(each.seen, each.step, each.lost) for each in watch.resumes] == [(18, 12, 6)]
    assert doubled(tmp_path) == []
    journal(tmp_path, *lines, ("start", 12), ("step", 18))
    assert doubled(tmp_path) == ["0123456789ab"]


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_a_process_sees_its_clock_jump_and_sleeps_no_longer_for_it() -> None:
    world = World(Size(alone=0, gangs=0, stored=0))
    waiting = [sys.executable, "-c", "import time\nwhile True: time.sleep(0.1)"]
    process = subprocess.Popen(waiting, env=world.env(**world.clocked()))
    try:
        for jump in ("+0", "+86400", "-3600", "+0"):
            world.clock.write_text(jump)
            wait_for(partial(sees, world, jump), f"the clock does not jump to {jump}", 20)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        world.remove()


def test_no_port_of_a_server_is_one_that_the_system_hands_out_while_it_is_down() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(1024 < free_port() < first for _ in range(20))


def test_every_suite_gets_its_share_of_events() -> None:
    world = World(Size())
    try:
        campaign = Campaign(world, 100, random.Random(0), [])
        cells = [suite.cells for suite in world.suites]
        assert (sum(cells), [campaign._share(suite) for suite in world.suites]) == (30, [53, 80, 100])
    finally:
        world.remove()


def test_halves_of_states_are_found_on_the_store_and_where_they_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.storage.copies import copy_of
    from harness.storage.sending import publish
    from tests.faults.campaign.shelf import Shelf
    from tests.s3_server import BUCKET, serving

    monkeypatch.setenv("PRIORBENCH_STORES", str(tmp_path / "copies"))
    shelf = Shelf(tmp_path / "seen")
    with serving(shelf, monkeypatch):
        copy = copy_of(f"s3://{BUCKET}/run")
        journal(copy.files, ("start", 0), ("step", 6))
        publish(copy, "cells/0123456789ab", whole=True)
        shelf.look()
        assert (tmp_path / "seen" / "cells" / "0123456789ab" / "events.jsonl").read_text().count("\n") == 2
        assert shelf.left_over() == left_over(tmp_path) == []
        copy.store.write("content/cells/0123456789ab/ff", b"half of a state")
        copy.store.write("lock.json", b"{}")
        assert shelf.left_over() == ["run/content/cells/0123456789ab/ff", "run/lock.json"]
    (copy.root / "outgoing" / "1-0").mkdir(parents=True)
    assert left_over(tmp_path) == [str(copy.root / "outgoing" / "1-0")]


def test_a_server_behind_the_proxy_is_away_while_that_is_killed_or_frozen_and_the_same_afterwards(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").write_text("content")
    port, gate = free_port(), free_port()
    server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    way = [sys.executable, "-m", "tests.faults.campaign.proxy", str(gate), str(port)]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for command in (server, way)]

    def read(seconds: float = 20) -> bytes:
        with opener.open(f"http://127.0.0.1:{gate}/kept", timeout=seconds) as reply:
            return bytes(reply.read())

    try:
        for each in (port, gate):
            wait_for(partial(answers, each), f"port {each} does not answer")
        assert read() == b"content"
        os.kill(started[1].pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            read(0.3)
        os.kill(started[1].pid, signal.SIGCONT)
        assert read() == b"content"
        started[1].kill()
        started[1].wait()
        with pytest.raises(OSError, match="refused"):
            read()
        started.append(subprocess.Popen(way, cwd=ROOT))
        wait_for(lambda: answers(gate), "the proxy does not start again")
        assert read() == b"content"
    finally:
        for process in started:
            process.kill()
            process.wait()
