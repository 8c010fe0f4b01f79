"""Folders of results whose plug-ins have gone, broken or changed since they were run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.api.protocols import RGB_UINT8
from harness.api.reference import PartRef
from harness.cells.cell import Variant
from harness.cells.recipe import LossTerm, Recipe
from harness.cells.suite import SuiteMetric
from harness.core.helpers import helpers_of
from harness.core.paths import Layout, write_text
from harness.core.source import parse_module
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.places import plugin_copies
from harness.records import store
from harness.records.model import Failure
from harness.reports.leaderboard import leaderboard
from harness.reports.render import render
from harness.results.frames import open_results
from harness.results.shelf import cell_statuses, keep_plugins, shelve
from harness.results.suites import read_suites
from tests.unit.cli.results import bench
from tests.unit.records.made import cell, conditioned, finish, listed, suite, values

PLUGIN = """
import beside
from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol, TaskTraits
from harness.parts.tasks.low_light import LowLight


class Shade(LowLight):
    '''A task of my own.'''

    traits = TaskTraits(degradation="paired", protocol=EvaluationProtocol(name="mine", version=1, border=3))


class Sharp:
    '''A metric of my own.'''

    traits = MetricTraits(higher_is_better=False, unit="px", decimals=1)


CATALOGUE = (("task", "shade", "Shade"), ("metric", "sharp", "Sharp"))
"""


@pytest.fixture
def folder(layout, tmp_path):
    """A suite with a task and a metric of a plug-in beside cells without; one cell of each is done, one is not."""
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    (tmp_path / "beside.py").write_text("WORDS = 'a module of my own'")
    registry = extend(REGISTRY, [str(file)])
    protocols = {name: protocol_of(registry, name) for name in ("shade", "low_light")}
    shade = [cell(seed, task=PartRef(name="shade")) for seed in (0, 1)]
    for done, name in ((shade[0], "shade"), (cell(0), "low_light")):
        scores = {"psnr": {"a": 20.0, "b": 22.0}, "sharp": {"a": 1.0, "b": 2.0}}
        finish(layout, done, scores, protocols=[protocols[name]])
    named = [listed(each).model_copy(update={"labels": labels("shade")}) for each in shade]
    made = suite(listed(cell(0)), listed(cell(1)), *named, metrics=["psnr"])
    metric = SuiteMetric(part=PartRef(name="sharp"), key="sharp", label="sharp")
    made = made.model_copy(update={"plugins": (str(file),), "metrics": (*made.metrics, metric)})
    write_text(layout.suite(made.name), made.model_dump_json())
    keep_plugins(made, layout)
    return layout, file, made


def protocol_of(registry, task):
    from harness.api.protocols import protocol_of as found

    return found(registry, PartRef(name=task))


def labels(task):
    return listed(cell()).labels.model_copy(update={"task": task})


def gone(file):
    file.unlink()


def broken(file):
    file.write_text("def (")


def changed(file):
    file.write_text(PLUGIN.replace('("task", "shade", "Shade"), ', ""))


def binary(file):
    file.write_bytes(b"\0\xff\xfe" * 50)


def a_folder(file):
    file.unlink()
    file.mkdir()


def deep(file):
    file.write_text("x = " + "(" * 5000 + ")" * 5000)


def helperless(file):
    (file.parent / "beside.py").unlink()


def happens(lose, file):
    """What is done to a file while no process has read it: each reads it once."""
    lose(file)
    for read in (parse_module, helpers_of):
        read.cache_clear()


LOSSES = [gone, broken, helperless, changed, binary, a_folder, deep]


def states(layout: Layout):
    made = read_suites(layout).suites[0]
    found = cell_statuses(made, layout, shelve(made, layout, REGISTRY))
    return [(each.state, each.reason) for each in found]


@pytest.mark.parametrize("lose", LOSSES)
def test_complete_results_are_shown_as_before_and_the_rest_is_blocked(folder, lose):
    layout, file, _ = folder
    before, images = render(leaderboard(layout), "csv"), open_results(layout.out).images()
    assert [state for state, _ in states(layout)] == ["done", "todo", "done", "todo"]
    happens(lose, file)
    shown = re.sub('"[^"\\n]*blocked: [^"\\n]*"|blocked: .*|not run yet', "", render(leaderboard(layout), "csv"))
    assert shown == before.replace("not run yet", "")
    assert open_results(layout.out).images().equals(images)
    assert open_results(layout.out).metrics().row(1)[3:] == ("px", False, 1)
    found = states(layout)
    assert [found[0][0], found[2][0]] == ["done", "done"]
    assert found[3][0] == "blocked"
    assert found[3][1].startswith(f"task shade is gone: plug-in {file}")


@pytest.mark.parametrize("lose", LOSSES[:2])
def test_folders_of_earlier_releases_have_no_copies_and_keep_their_numbers(folder, lose):
    layout, file, made = folder
    (plugin_copies(layout, made.name) / "0.py").unlink()
    images = open_results(layout.out).images()
    happens(lose, file)
    found = states(layout)
    assert [found[0][0], found[2][0], found[3][0]] == ["done", "done", "blocked"]
    results = open_results(layout.out)
    again = results.images()
    assert again.drop("protocol_digest").equals(images.drop("protocol_digest"))
    assert again.filter(task="shade")["protocol"].unique().to_list() == ["mine/v1"]
    missing = results.coverage().filter(cell=cell(1, task=PartRef(name="shade")).id)
    assert missing["protocol"].unique().to_list() == ["mine/v1"]
    assert all(reason.startswith("blocked: task shade is gone: plug-in ") for reason in missing["reason"])
    render(leaderboard(layout), "table")


def test_commands_on_the_folder_go_on_and_warn_once(folder):
    layout, file, made = folder
    other = made.model_copy(update={"name": "other", "plugins": ()})
    write_text(layout.suite("other"), other.model_copy(update={"cells": other.cells[:1]}).model_dump_json())
    write_text(layout.suite("bad"), "{")
    happens(gone, file)
    for command in ("status", "leaderboard"):
        done = bench(command, layout.out)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert done.exit_code == (3 if command == "status" else 0)
        warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
        assert len(warnings) == 2
        assert "bad.json: cannot be read as a suite" in warnings[0]
        assert f"plug-in {file}: cannot be read" in warnings[1]


def test_a_copy_follows_its_file_at_the_next_run(folder):
    layout, file, made = folder
    kept = plugin_copies(layout, made.name) / "0.py"
    assert kept.read_text() == PLUGIN
    file.write_text(PLUGIN + "# changed\n")
    keep_plugins(made, layout)
    assert kept.read_text() == PLUGIN + "# changed\n"
    file.unlink()
    keep_plugins(made, layout)
    assert kept.read_text() == PLUGIN + "# changed\n"


def test_a_changed_protocol_or_unit_leaves_what_is_on_record_as_it_was(folder):
    layout, file, _ = folder
    before = render(leaderboard(layout), "csv")
    changed = PLUGIN.replace("border=3", "border=4").replace('unit="px"', 'unit="mm"')
    happens(lambda file: file.write_text(changed), file)
    assert render(leaderboard(layout), "csv") == before
    assert [state for state, _ in states(layout)] == ["done", "todo", "done", "todo"]


LOST: dict[str, dict[str, Any]] = {
    "backbone": {"backbone": PartRef(name="mine")},
    "prior": {"variant": Variant(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="mine"))},
    "refiner": {"variant": Variant(refiner=PartRef(name="mine"))},
    "loss": {"recipe": Recipe(losses=(LossTerm(part=PartRef(name="mine")),))},
    "dataset": {"train": PartRef(name="mine", digest="d")},
}


def test_a_failed_remake_beside_whole_results_leaves_them_done(layout):
    lost = cell(0, task=PartRef(name="mine"))
    record = finish(layout, lost, values([20.0], [0.5]), protocols=[RGB_UINT8])
    failure = Failure(kind="nan", message="no", log="x.log")
    store.save(layout, record.model_copy(update={"status": "failed", "failure": failure}))
    made = suite(listed(lost))
    write_text(layout.suite(made.name), made.model_copy(update={"plugins": ("/nowhere/mine.py",)}).model_dump_json())
    assert [state for state, _ in states(layout)] == ["done"]


def test_a_suite_finds_what_another_one_scored_under_another_condition(layout):
    """Of a task that is gone: by the very images, as the condition on record is that of the suite that scored first."""
    lost = cell(0, task=PartRef(name="mine", options={"sigma": 25.0}))
    named = conditioned(lost, sigma=25.0)
    plain, other = named.model_copy(update={"condition": {}}), conditioned(lost, sigma=50.0)
    finish(layout, lost, tests=[(named, values([20.0]))], protocols=[RGB_UINT8])
    for name, tests in (("here", [plain, named]), ("there", [other])):
        made = suite(listed(lost, tests=tests), metrics=["psnr"], name=name)
        write_text(layout.suite(name), made.model_copy(update={"plugins": ("/nowhere/mine.py",)}).model_dump_json())
    results = open_results(layout.out)
    assert results.cells("here")["state"].to_list() == ["done"]
    assert results.images("here").select("condition", "value").rows() == [("", 20.0), ("sigma=25", 20.0)]
    assert results.cells("there")["state"].to_list() == ["blocked"]
    assert results.images("there").is_empty()


@pytest.mark.parametrize("kind", LOST)
def test_a_part_of_any_kind_may_be_gone(layout, kind):
    lost = [cell(seed, **LOST[kind]) for seed in (0, 1)]
    finish(layout, lost[0], values([20.0], [0.5]))
    finish(layout, cell(0), values([21.0], [0.6]))
    base = cell(2, base=lost[0], variant=Variant(regime="from_base"))  # rests on a cell with such a part
    made = suite(*map(listed, (*lost, cell(0), cell(1), base)))
    write_text(layout.suite(made.name), made.model_copy(update={"plugins": ("/nowhere/mine.py",)}).model_dump_json())
    layout.suite("odd").mkdir()
    found = states(layout)
    assert [state for state, _ in found] == ["done", "blocked", "done", "todo", "blocked"]
    assert found[1][1].startswith(f"{kind} mine is gone: plug-in /nowhere/mine.py: ")
    assert found[4][1] == found[1][1]
    results = open_results(layout.out)
    assert results.problems == (f"{layout.suite('odd')}: cannot be read as a suite: this is a folder, left out",)
    assert results.cells()["state"].to_list() == [state for state, _ in found]
    assert results.images()["cell"].unique(maintain_order=True).to_list() == [lost[0].id, cell(0).id]
