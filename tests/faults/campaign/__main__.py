"""`python -m tests.faults.campaign`: random faults over a run on a cluster, then the table of an undisturbed run.

Three suites, of single processes, of gangs, and of single processes whose results and data lie on an S3 server, are
run on three nodes on loopback while workers, ranks, nodes, the driver and servers are killed or frozen, the disk is
full for a while and the clock jumps. The same command is given again as often as it ends. At the end the tables must be
the undisturbed run's byte for byte, no loss curve may hold a step twice, no attempt may have lost more than one
checkpoint interval of what was on the disk or the store, nothing temporary, no half of a state and no process may be
left.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from tests.faults.campaign.events import EVENTS, Event, strike
from tests.faults.campaign.suites import SUITES, Size, Suite
from tests.faults.campaign.watch import Resume, Watch, doubled, left_over, nothing
from tests.faults.campaign.world import World, answers, end_group

HANG = 180.0
"""Seconds in which something must move, whatever happened."""
STARTS = 20.0
"""Seconds for which a command is left alone, unless something moves before."""
AGAIN = 4.0
"""Seconds after which a node or a server that ended is started again."""


@dataclass
class Campaign:
    """A disturbed run and what it came to."""

    world: World
    events: int
    chance: random.Random
    kinds: list[str]
    quick: tuple[float, float] = (1.5, 6.0)
    """Between how many seconds of each other things happen."""
    struck: list[Event] = field(default_factory=list)
    commands: int = 0
    faults: list[str] = field(default_factory=list)
    """What was not as it must be."""
    resumes: list[Resume] = field(default_factory=list)

    def run(self) -> None:
        world = self.world
        wanted = self._undisturbed()
        world.start_servers()
        world.start_cluster()
        self._gone: dict[str, float] = {}
        for suite in world.suites:
            self._watched(suite)
        self._whole()
        tables = {suite.name: self._table(suite) for suite in world.suites}
        self.faults += [f"the table of {name} is another" for name in tables if tables[name] != wanted[name]]
        self._nothing_left()

    def _table(self, suite: Suite) -> str:
        try:
            return self.world.table(suite, *suite.places)
        except AssertionError as error:  # of a run that hung: the report tells the rest
            return f"there is none: {error}"

    def _watched(self, suite: Suite) -> None:
        world, before = self.world, len(self.struck)
        world.going = suite
        bring = world.shelf.look if world.shelf and suite.name == "stored" else nothing
        watch = Watch(suite.seen, world.copies, bring)
        try:
            self._disturbed(suite, watch)
        finally:
            watch.stop()
        self._recoveries(watch, self.struck[before:])
        self.resumes += watch.resumes

    def _whole(self) -> None:
        """Loss curves, and what was lost of them."""
        for folder in {suite.seen for suite in self.world.suites}:
            self.faults += [f"cell {cell} has a step twice in its loss curve" for cell in doubled(folder)]
        lost = [resume for resume in self.resumes if resume.lost > self.world.size.checkpoint_every]
        self.faults += [f"cell {each.cell} lost {each.lost} steps, from {each.seen} to {each.step}" for each in lost]

    def _nothing_left(self) -> None:
        """No process, no file, no object. Ends the cluster."""
        world = self.world
        deadline = time.monotonic() + 20
        while (left := world.of_the_run()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.faults += [f"left running: {line[:120]}" for line in left.values()]
        lying = world.shelf.left_over() if world.shelf else []
        world.close()
        lying += left_over(world.shared, world.folder / "home")
        self.faults += [*world.faults, *(f"left lying: {name}" for name in lying)]

    def _undisturbed(self) -> dict[str, str]:
        world, out = self.world, self.world.shared / "undisturbed"
        tables = {}
        for suite in world.suites:
            command = world.command("run", suite.file, "--out", out, "--tracker", "none")
            done = subprocess.run(command, cwd=world.folder, env=world.env(), capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"the undisturbed run failed\n{done.stdout}\n{done.stderr}")
            tables[suite.name] = world.table(suite, "--out", str(out))
        return tables

    def _share(self, suite: Suite) -> int:
        """How many events may have been by the end of a suite: shared out by the number of cells."""
        suites = self.world.suites
        cells = [each.cells for each in suites]
        return round(self.events * sum(cells[: suites.index(suite) + 1]) / sum(cells))

    def _disturbed(self, suite: Suite, watch: Watch) -> None:
        """Until the suite's command ends with 0."""
        share = self._share(suite)
        driver = self._start(suite)
        began = following = watch.moved = time.monotonic()
        while (code := driver.poll()) != 0:
            now = time.monotonic()
            self._mend(now)
            if code is not None:
                if answers(self.world.head):
                    driver = self._start(suite)
                    began = now
            elif now > following and len(self.struck) < share and (watch.moved > began or now > began + STARTS):
                if event := strike(self.world, self.chance, self.kinds):
                    self.struck.append(event)
                    print(f"{len(self.struck):4d} {event.kind}: {event.hit}", flush=True)
                following = time.monotonic() + self.chance.uniform(*self.quick)
            if now - watch.moved > HANG:
                self.faults.append(f"nothing moved for {HANG:.0f} s in {suite.name}, after {self._last()}")
                end_group(driver, signal.SIGKILL)
                return
            time.sleep(0.2)

    def _last(self) -> str:
        return self.struck[-1].kind if self.struck else "no event"

    def _start(self, suite: Suite) -> subprocess.Popen[bytes]:
        self.commands += 1
        return self.world.start_driver(suite)

    def _mend(self, now: float) -> None:
        """Starts again what has ended, as a batch system or an administrator would, some seconds later."""
        world = self.world
        ended = {name: each for name, each in (*world.nodes.items(), *world.servers.items()) if each.poll() is not None}
        if "head" in ended:  # its nodes end with it
            ended |= world.nodes
        self._gone = {name: self._gone.get(name, now) for name in ended}
        due = [name for name, since in self._gone.items() if now - since > AGAIN]
        for name, start in (("mlflow", world.start_mlflow), ("store", world.start_store)):
            if name in due:
                start()
                del self._gone[name]
        if "head" in due:
            for process in world.nodes.values():
                end_group(process, signal.SIGKILL)
                process.wait()
            world.start_cluster()
            self._gone.clear()
            return
        for name in due:
            if name in world.nodes:
                end_group(world.nodes[name], signal.SIGKILL)
                world.start_node(name)
                del self._gone[name]

    def _recoveries(self, watch: Watch, events: list[Event]) -> None:
        """When the cell that was hit, or any, made a step after each event; on a store, when that had it. Not said of
        events before the first step: what they held up was no training."""
        every = sorted(at for steps in watch.steps.values() for at, _ in steps)
        for event in [each for each in events if every and every[0] < each.at]:
            times = [at for at, _ in watch.steps.get(event.cell, ())] if event.cell else every
            later = [at for at in times if at > event.at]
            event.recovered = later[0] - event.at if later else None

    def report(self) -> str:
        """A table of Markdown, by kind."""
        lines = ["| event | times | goes on after, median (s) | at most (s) |", "|---|---|---|---|"]
        by_kind: dict[str, list[Event]] = defaultdict(list)
        for event in self.struck:
            by_kind[event.kind].append(event)
        for kind, events in sorted(by_kind.items()):
            seconds = [event.recovered for event in events if event.recovered is not None]
            told = f"{median(seconds):.1f} | {max(seconds):.1f}" if seconds else "– | –"
            lines.append(f"| {kind} | {len(events)} | {told} |")
        lost = [resume.lost for resume in self.resumes] or [0]
        most = self.world.size.checkpoint_every
        lines.append(
            f"\n{len(self.struck)} events, {self.commands} commands, {len(self.resumes)} trainings resumed; "
            f"steps lost each: median {median(lost):.0f}, at most {max(lost)} (checkpoints every {most})"
        )
        lines += [f"FAULT: {fault}" for fault in self.faults] or ["tables equal byte for byte; nothing left behind"]
        return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=Size.steps)
    parser.add_argument("--kinds", nargs="*", default=sorted(EVENTS), choices=sorted(EVENTS))
    parser.add_argument("--suites", nargs="*", default=SUITES, choices=SUITES)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    given = parser.parse_args()
    without = {name: 0 for name in SUITES if name not in given.suites}
    world = World(Size(steps=given.steps, **without))
    campaign = Campaign(world, given.events, random.Random(given.seed), given.kinds)
    print(f"in {world.folder}", flush=True)
    try:
        campaign.run()
        print(campaign.report())
    finally:
        world.close()
        if not given.keep:
            world.remove()
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
